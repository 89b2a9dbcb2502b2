"""docs/stac.md does what it says: from a STAC catalog on a server, by a few labels, to a published map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.warp
from catalogs import catalog, keep, naip, served
from examples import blocks, run_script

from tile2vec_cli.commands.demo import SAMPLE

pystac = pytest.importorskip("pystac")
onnxruntime = pytest.importorskip("onnxruntime")

PLACES = ("ashland_2021-05-18", "birch_2021-05-18")


def write_catalog(folder: Path) -> None:
    """Two scenes of the sample as items of a static catalog, with relative links."""
    for name in PLACES:
        item = naip(name, f"scenes/{name}.tif")
        item["properties"]["datetime"] = f"{name.rpartition('_')[2]}T17:30:00Z"
        keep(folder / f"{name}.json", item)
    links = [("item", f"./{name}.json") for name in PLACES]
    keep(folder / "catalog.json", catalog("sample", *links))
    (folder / "scenes").symlink_to(SAMPLE / "scenes")


def fill_in(table: Path) -> None:
    """As a person would: the class at the middle of each suggested tile."""
    rows = pd.read_csv(table, dtype={"label": object})
    with rasterio.open(SAMPLE / "labels.tif") as labels:
        x, y = rasterio.warp.transform("OGC:CRS84", labels.crs, rows["longitude"], rows["latitude"])
        rows["label"] = [str(value[0]) for value in labels.sample(zip(x, y, strict=True))]
    rows.to_csv(table, index=False)


def test_the_tutorial_ends_in_a_published_map(tmp_path: Path) -> None:
    write_catalog(tmp_path)
    tiles, vectors, first, second, classes, examples, publish = blocks("docs/stac.md")
    with served(tmp_path) as shelf:
        steps = [
            tiles.replace("catalog.json", f"{shelf.url}/catalog.json"),
            vectors.replace("--out triplets", "--count 500 --out triplets").replace(
                "--out model", "--steps 2 --out model"
            ),
            first.replace("--count 40", "--count 20"),
            fill_in,
            second.replace("--count 40", "--count 10"),
            classes,
            examples,
            publish,
        ]
        for step in steps:
            if callable(step):
                step(tmp_path / "first.csv")
                continue
            done = run_script(step, tmp_path)
            assert done.returncode == 0, f"{step}\n{done.stderr}"

    suggested = pd.read_csv(tmp_path / "second.csv")
    assert len(suggested) == 10
    assert not set(suggested["tile_id"]) & set(pd.read_csv(tmp_path / "first.csv")["tile_id"])
    told = pd.read_parquet(tmp_path / "map.parquet")
    assert len(told) == 2 * 12 * 12 and np.allclose(
        told.filter(like="probability_").sum(axis=1), 1, atol=1e-5
    )
    (map_,) = tmp_path.glob("map*.tif")
    with rasterio.open(map_) as written:
        assert written.count == 1 and written.crs == rasterio.open(SAMPLE / "labels.tif").crs
    found = pystac.Catalog.from_file(str(tmp_path / "catalog" / "catalog.json"))
    items = list(found.get_items(recursive=True))
    assert len(items) == 3
    assert all(Path(asset.get_absolute_href()).exists() for item in items for asset in item.assets.values())
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: np.full((3, 4, 50, 50), 90, np.float32)})
    assert answer.shape == (3, 144) and np.isfinite(answer).all()

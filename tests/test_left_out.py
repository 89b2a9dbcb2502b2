"""Labels of which some cannot be used: commands say how many, and why, and take the layer asked for."""

from __future__ import annotations

import json
from pathlib import Path

import embedded
import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from conftest import Run
from embedded import Tool
from rasterio.transform import from_origin

from tile2vec_cli.config.pipeline import TileConfig, TripletConfig
from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.labelling import labels
from tile2vec_cli.segmentation import weak_labels
from tile2vec_cli.tiling import cutting, triplets
from tile2vec_cli.tiling.tiles import TileSet

SIDE = 12  # tiles
LEFT_OUT = {"features without a class": 1, "points in no tile": 2, "features that are lines": 1}
QUICK = ("--n-labels", "30", "--repeats", "2", "--classifier", "logistic", "--block", "200")
SHORT = ("--objective", "supervised", "--no-place", "--steps", "2", "--batch-size", "8", "--dim", "4")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiles/, embeddings that know the classes, and labels.gpkg of two layers; all classes in `crops`."""
    folder = tmp_path_factory.mktemp("left_out")
    random = np.random.default_rng(0)
    profile = {"driver": "GTiff", "count": 1, "height": 4 * SIDE, "width": 4 * SIDE, "dtype": "uint8"}
    profile |= {"crs": "EPSG:32614", "transform": from_origin(500_000, 4_400_000, 10, 10)}
    with rasterio.open(folder / "s.tif", "w", **profile) as file:
        file.write(random.integers(1, 250, (1, 4 * SIDE, 4 * SIDE)).astype(np.uint8))
    cutting.cut([str(folder / "s.tif")], folder / "tiles", TileConfig(size=4))
    tiles = TileSet.open(folder / "tiles")
    classes = random.integers(0, 2, len(tiles))
    vectors = np.eye(2)[classes] + random.normal(0, 0.1, (len(tiles), 2))
    embedded.write(folder / "e.parquet", tiles.parts[0], vectors)
    triplets.save(folder / "t.parquet", triplets.draw(tiles, TripletConfig(count=3000)))
    points = shapely.points(tiles.lonlat)
    far = shapely.Point(-90, 40)
    frame = geopandas.GeoDataFrame(
        {"crop": [*np.array(["rye", "oats"])[classes], None, "rye", "oats", "rye"]},
        geometry=[*points, points[0], far, far, shapely.LineString([(0, 0), (1, 1)])],
        crs="OGC:CRS84",
    )
    frame.to_file(folder / "labels.gpkg", layer="crops")
    frame[:1].to_file(folder / "labels.gpkg", layer="drafts", mode="a")
    return folder


@pytest.fixture
def call(data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tool:
    monkeypatch.chdir(data)
    return lambda command, *arguments: embedded.call(
        capsys, monkeypatch, command, *arguments, "--labels", "labels.gpkg", "--field", "crop", "--json"
    )


def said(run: Run) -> str:
    return next(line for line in run.err.splitlines() if line.startswith("labels.gpkg: left out: "))


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("probe", "e.parquet", *QUICK), ("left_out",)),
        (("analogy", "e.parquet", "rye", "oats", "oats"), ("labels_left_out",)),
        (("analogy", "e.parquet", "--score", "--block", "50"), ("labels_left_out",)),
        (("inspect", "e.parquet", "--out", "inspect"), ("probe", "left_out")),
        (("train", "t.parquet", "--tiles", "tiles", "--out", "model", *SHORT), ("left_out",)),
    ],
)
def test_the_report_and_stderr_count_by_reason(
    call: Tool, arguments: tuple[str, ...], keys: tuple[str, ...]
) -> None:
    run = call(*arguments, "--layer", "crops")
    assert run.code == 0, run.err
    found = run.report
    for key in keys:
        found = found[key]
    assert found == LEFT_OUT
    assert said(run) == "labels.gpkg: left out: " + ", ".join(f"{why}: {n}" for why, n in LEFT_OUT.items())


def test_layers_are_asked_for_and_stay_what_they_were(call: Tool, data: Path) -> None:
    run = call("probe", "e.parquet", *QUICK)
    assert run.code == 65
    assert "labels.gpkg: holds the layers crops, drafts; one is needed" in run.err
    probe = ("probe", "e.parquet", *QUICK, "--out", "verdict", "--layer")
    assert call(*probe, "crops").code == 0
    again = call(*probe, "crops")
    assert again.report["up_to_date"] and said(again)
    other = call(*probe, "drafts")
    assert (other.code, "made with layer = 'crops'; this run has 'drafts'" in other.err) == (65, True)
    without = call(*probe[:-1])
    assert (without.code, "made with layer = 'crops'; this run has None" in without.err) == (65, True)
    settings = json.loads((data / "verdict" / "report.json").read_text())["made_from"]["settings"]
    assert settings["layer"] == "crops" and "crs" not in settings


def test_weak_labels_too(data: Path) -> None:
    tiles, source = TileSet.open(data / "tiles"), labels.named([str(data / "labels.gpkg")], layer="crops")
    config = {"field": "crop", "positive": "rye"}
    found = weak_labels.read(source, tiles, WeakConfig(**config))
    assert found.left_out == {
        "features without a class": 1,
        "features that are not points": 1,
        "points on no valid pixel of a tile": 2,
    }
    assert weak_labels.read(source, tiles, WeakConfig(**config, supervision=("image",))).left_out == LEFT_OUT

"""`stac`: the published schemas of STAC, PySTAC and the MLM's own model as independent judges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from conftest import SceneWriter
from embedded import call

pystac = pytest.importorskip("pystac")
stac_model = pytest.importorskip("stac_model.schema")

from pystac.validation.local_validator import LocalValidator  # noqa: E402

from tile2vec_cli.config.catalogs import StacConfig  # noqa: E402
from tile2vec_cli.errors import UsageError  # noqa: E402
from tile2vec_cli.tiling import tiles as tile_sets  # noqa: E402


@pytest.fixture
def stac(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "stac", *arguments)


@pytest.fixture
def scene_map(write_scene: SceneWriter) -> Path:
    pixels = np.zeros((1, 30, 40), np.uint8)
    path = write_scene("maps/farm_2021-05-18.tif", pixels, nodata=255)
    with rasterio.open(path, "r+") as file:
        file.update_tags(TILE2VEC_CLASS_0="other", TILE2VEC_CLASS_1="Corn & soy")
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder called "model", whose description is what its item must not be written over."""
    import torch

    from tile2vec_cli.neural import models

    folder = tmp_path / "model"
    folder.mkdir()
    described = models.Model(
        kind="encoder",
        architecture={"encoder": "small", "bands": 2, "dim": 8},
        bands=(1, 2),
        dtype="uint8",
        size=10,
        normalisation={"mean": [0.0, 0.0], "std": [1.0, 1.0]},
        settings={},
        provenance={},
        band_names=("red", None),
    )
    models.write(folder, described, {"w": torch.zeros(2)}, [])
    return folder


@pytest.fixture
def embeddings(tmp_path: Path, model: Path, write_scene: SceneWriter, tile2vec) -> Path:
    from embedded import write

    from tile2vec_cli.neural import models

    for day in ("2021-05-18", "2021-08-27"):
        write_scene(f"scenes/farm_{day}.tif", np.ones((2, 20, 30), np.uint8))
    done = tile2vec("tile", "scenes", "--size", "10", "--out", "tiles", cwd=tmp_path)
    assert done.code == 0, done.err
    part = tile_sets.TileSet.open(tmp_path / "tiles").parts[0]
    path = tmp_path / "vectors.parquet"
    vectors = np.random.default_rng(0).normal(size=(6, 8))
    write(path, part, vectors, kind="int8", model=models.fingerprint(model))
    return path


def documents(out: Path) -> list[Path]:
    return [out / "catalog.json", *out.glob("*/collection.json"), *out.glob("*/*/item.json")]


def test_a_catalog_is_valid_and_whole(
    stac, tmp_path: Path, embeddings: Path, scene_map: Path, model: Path
) -> None:
    out = tmp_path / "catalog"
    done = stac(embeddings, scene_map.parent, model, "--out", out, "--json")
    assert done.code == 0, done.err
    assert {kind: done.report[kind] for kind in ("embeddings", "maps", "models")} == {
        "embeddings": 1,
        "maps": 1,
        "models": 1,
    }
    judge = LocalValidator()
    for path in documents(out):
        said = json.loads(path.read_text())
        kind = {"Catalog": "catalog", "Collection": "collection", "Feature": "item"}[said["type"]]
        assert not list(getattr(judge, f"{kind}_validator")().iter_errors(said)), path
        for entry in (*said["links"], *said.get("assets", {}).values()):
            assert entry["href"].startswith(".") and (path.parent / entry["href"]).is_file()
    catalog = pystac.Catalog.from_file(str(out / "catalog.json"))
    assert {item.id for item in catalog.get_items(recursive=True)} == {"vectors", "farm_2021-05-18", "model"}
    copy = out / "models" / "model" / "model.json"
    assert copy.read_bytes() == (model / "model.json").read_bytes()


def test_a_map_says_where_it_lies_and_what_its_values_are(stac, tmp_path: Path, scene_map: Path) -> None:
    out = tmp_path / "catalog"
    assert stac(scene_map, "--out", out).code == 0
    item = pystac.Item.from_file(str(out / "maps" / scene_map.stem / "item.json"))
    assert item.properties["datetime"] == "2021-05-18T00:00:00Z"
    assert item.properties["proj:code"] == "EPSG:32614"
    assert item.properties["proj:shape"] == [30, 40]
    with rasterio.open(scene_map) as file:
        assert item.properties["proj:transform"] == list(file.transform)[:6]
        place = pyproj.Transformer.from_crs(file.crs, 4326, always_xy=True).transform
        corners = [place(*file.xy(row, col, offset="ul")) for row in (0, 30) for col in (0, 40)]
    lon, lat = zip(*corners, strict=True)
    np.testing.assert_allclose(item.bbox, [min(lon), min(lat), max(lon), max(lat)], atol=1e-9)
    asset = item.to_dict()["assets"]["map"]
    assert asset["file:size"] == scene_map.stat().st_size
    (band,) = asset["bands"]
    assert (band["data_type"], band["nodata"]) == ("uint8", 255)
    named = [(one["value"], one["name"], one["title"]) for one in band["classification:classes"]]
    assert named == [(0, "other", "other"), (1, "Corn-soy", "Corn & soy"), (255, "nodata", "no data")]


def test_embeddings_have_their_fields_and_lead_to_their_model(
    stac, tmp_path: Path, embeddings: Path, model: Path
) -> None:
    out = tmp_path / "catalog"
    assert stac(embeddings, model, "--out", out).code == 0
    home = out / "embeddings"
    item = json.loads((home / "vectors" / "item.json").read_text())
    found = item["properties"]
    assert (found["emb:type"], found["emb:dimensions"], found["data_type"]) == ("chip", 8, "int8")
    assert found["emb:quantization"]["method"] == "linear" and found["table:row_count"] == 6
    assert found["datetime"] == "2021-05-18T00:00:00Z"
    columns = {column["name"]: column["type"] for column in found["table:columns"]}
    assert columns["embedding"].startswith("fixed_size_list<") and columns["geometry"] == "binary"
    links = {link["rel"]: link["href"] for link in item["links"]}
    assert (home / "vectors" / links["emb:model"]).resolve() == out / "models" / "model" / "item.json"
    collection = json.loads((home / "collection.json").read_text())
    assert collection["emb:dimensions"] == 8
    assert "emb:model" in {link["rel"] for link in collection["links"]}


def test_a_model_is_what_the_mlm_extension_wants(stac, tmp_path: Path, model: Path) -> None:
    out = tmp_path / "catalog"
    assert stac(model, "--out", out).code == 0
    item = json.loads((out / "models" / "model" / "item.json").read_text())
    fields = {name: value for name, value in item["properties"].items() if name.startswith("mlm:")}
    known = stac_model.MLModelProperties.model_validate(fields)
    assert known.input[0].input.shape == [-1, 2, 10, 10] and known.output[0].result.shape == [-1, 8]
    assert [band["name"] for band in item["assets"]["model"]["bands"]] == ["red", "band2"]
    assert item["properties"]["end_datetime"].startswith("9999")


def test_run_again(stac, tmp_path: Path, scene_map: Path) -> None:
    out, twin = tmp_path / "catalog", tmp_path / "twin"
    assert stac(scene_map.parent, "--out", out).code == stac(scene_map.parent, "--out", twin).code == 0
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    assert "up to date" in stac(scene_map.parent, "--out", out).err
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before
    for file in filter(Path.is_file, out.rglob("*")):
        assert file.read_bytes() == (twin / file.relative_to(out)).read_bytes()
    refused = stac(scene_map.parent, "--out", out, "--title", "Farms")
    assert refused.code == 65 and "title" in refused.err and "--overwrite" in refused.err
    assert stac(scene_map.parent, "--out", out, "--title", "Farms", "--overwrite").code == 0
    (scene_map.parent / "late_2022-01-01.tif").write_bytes(scene_map.read_bytes())
    assert stac(scene_map.parent, "--out", out, "--title", "Farms", "--json").report["maps"] == 2


def test_what_has_no_date(stac, tmp_path: Path, write_scene: SceneWriter) -> None:
    path = write_scene("farm.tif", np.ones((1, 4, 4), np.uint8))
    done = stac(path, "--out", tmp_path / "any")
    assert done.code == 0 and "--date" in done.err
    assert stac(path, "--out", tmp_path / "said", "--date", "2020-02-03").code == 0
    item = json.loads((tmp_path / "said" / "maps" / "farm" / "item.json").read_text())
    assert item["properties"]["datetime"] == "2020-02-03T00:00:00Z"


def test_a_map_across_the_antimeridian(stac, tmp_path: Path, write_scene: SceneWriter) -> None:
    place = rasterio.transform.from_origin(179.5, 1, 0.1, 0.1)
    path = write_scene("fiji_2020-01-01.tif", np.ones((1, 10, 10), np.uint8), crs=4326, transform=place)
    assert stac(path, "--out", tmp_path / "catalog").code == 0
    item = json.loads((tmp_path / "catalog" / "maps" / path.stem / "item.json").read_text())
    assert item["geometry"]["type"] == "MultiPolygon"
    np.testing.assert_allclose(item["bbox"], [179.5, 0, -179.5, 1], atol=1e-9)


def test_what_is_refused(stac, tmp_path: Path, scene_map: Path) -> None:
    out = tmp_path / "catalog"
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    twin = tmp_path / "more" / scene_map.name
    twin.parent.mkdir()
    twin.write_bytes(scene_map.read_bytes())
    for paths, code, said in (
        ([tmp_path / "none"], 66, "no such"),
        ([tmp_path / "empty"], 65, "model folder"),
        ([tmp_path / "notes.txt"], 65, "embeddings"),
        ([scene_map, twin], 65, "farm_2021-05-18"),
    ):
        done = stac(*paths, "--out", out)
        assert done.code == code and said in done.err and done.err.count("\n") == 1
        assert not out.exists()
    assert stac(scene_map, "--out", twin.parent).code == 65  # other files are never replaced
    assert twin.exists()
    with pytest.raises(UsageError, match="--date"):
        StacConfig(date="soon")

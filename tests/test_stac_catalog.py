"""`stac`: the published schemas of STAC, PySTAC, and the MLM's own model as independent judges."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyproj
import pytest
import rasterio
import shapely
from conftest import SceneWriter
from embedded import call

pystac = pytest.importorskip("pystac")
stac_model = pytest.importorskip("stac_model.schema")

from pystac.extensions.classification import ClassificationExtension  # noqa: E402
from pystac.extensions.mlm import MLMExtension  # noqa: E402
from pystac.extensions.projection import ProjectionExtension  # noqa: E402
from pystac.validation.local_validator import LocalValidator  # noqa: E402

from tile2vec_cli.config.catalogs import StacConfig  # noqa: E402
from tile2vec_cli.embedding import embedding_files  # noqa: E402
from tile2vec_cli.errors import UsageError  # noqa: E402
from tile2vec_cli.geo import geoparquet  # noqa: E402

ALWAYS = ("1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
LAYOUT = {"layout_type": "regular_grid", "chip_size": [10, 10], "stride": [10, 10]}


@pytest.fixture
def stac(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "stac", *arguments)


@pytest.fixture
def scene_map(write_scene: SceneWriter) -> Path:
    """A map as `map` writes one, but for the pixels."""
    path = write_scene("maps/farm_2021-05-18.tif", np.zeros((1, 30, 40), np.uint8), nodata=255)
    with rasterio.open(path, "r+") as file:
        file.update_tags(TILE2VEC_CLASS_0="other", TILE2VEC_CLASS_1="Corn & soy")
        file.write_colormap(1, {0: (222, 222, 214, 255), 1: (0, 114, 178, 255)})
    return path


def write_model(folder: Path, kind: str = "encoder") -> Path:
    """A model folder whose weights are of no use."""
    import torch

    from tile2vec_cli.neural import models

    own: dict[str, Any] = {
        "encoder": {"encoder": "small", "bands": 2, "dim": 8},
        "segmenter": {"network": "unet"},
    }
    folder.mkdir()
    described = models.Model(
        kind=kind,
        architecture=own[kind],
        bands=(1, 2),
        dtype="uint8",
        size=10,
        normalisation={"mean": [0.0, 0.0], "std": [1.0, 1.0]},
        settings={},
        provenance={"class": "cropland"},
        band_names=("red", None),
    )
    models.write(folder, described, {"w": torch.zeros(2)}, [])
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")  # whose model.json its item must not be written over


def write_embeddings(path: Path, days: tuple[str | None, ...], model: str = "m", lon: float = 8.0) -> Path:
    """One tile a day, from west to east, as int8."""
    west = lon + np.arange(len(days)) / 10
    west[west >= 180] -= 360
    corners = np.stack([west, west + 0.1, west + 0.1, west, *[np.full(len(days), y) for y in (1, 1, 2, 2)]])
    dates = [day and datetime.fromisoformat(day).replace(tzinfo=UTC) for day in days]
    index = {
        "tile_id": [f"s/0/{at}" for at in range(len(days))],
        "scene": ["s"] * len(days),
        **({"datetime": pa.array(dates, pa.timestamp("ms", "UTC"))} if any(days) else {}),
    }
    table = geoparquet.with_footprints(pa.table(index), corners.reshape(2, 4, -1).T)
    header = {
        "model": model,
        "architecture": {"encoder": "small", "dim": 4},
        "settings": {"dtype": "int8"},
        "parts": [{"name": path.stem, "fingerprint": "f"}],
    }
    vectors = np.random.default_rng(0).normal(size=(len(days), 4)).astype(np.float32)
    rows = embedding_files.rows(table, vectors, "int8", 0.1)
    path.parent.mkdir(exist_ok=True)
    geoparquet.write(path, rows, embedding_files.footer(header, LAYOUT, 0.1))
    return path


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def hrefs(document: dict[str, Any]) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in document["links"]}


def test_a_catalog_is_valid_and_whole(stac, tmp_path: Path, scene_map: Path, model: Path) -> None:
    out = tmp_path / "catalog"
    write_embeddings(tmp_path / "vectors" / "a.parquet", ("2021-05-18", "2021-08-27"))
    write_embeddings(tmp_path / "vectors" / "b.parquet", ("2022-01-01",))
    segmenter = write_model(tmp_path / "segmenter", "segmenter")
    done = stac(tmp_path / "vectors", scene_map.parent, scene_map, model, segmenter, "--out", out, "--json")
    assert done.code == 0, done.err
    assert [done.report[kind] for kind in ("embeddings", "maps", "models", "undated")] == [2, 1, 2, []]
    judge = LocalValidator()
    documents = [out / "catalog.json", *out.glob("*/collection.json"), *out.glob("*/*/item.json")]
    for path in documents:
        said = read(path)
        kind = {"Catalog": "catalog", "Collection": "collection", "Feature": "item"}[said["type"]]
        assert not list(getattr(judge, f"{kind}_validator")().iter_errors(said)), path
        for entry in (*said["links"], *said.get("assets", {}).values()):
            assert entry["href"].startswith(".") and (path.parent / entry["href"]).is_file()
        for asset in said.get("assets", {}).values():
            assert (path.parent / asset["href"]).stat().st_size == asset["file:size"]
    catalog = pystac.Catalog.from_file(str(out / "catalog.json"))
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    assert items.keys() == {"a", "b", scene_map.stem, "model", "segmenter"}
    assert {item.get_collection().id for item in items.values()} == {
        f"tile2vec-{kind}" for kind in ("embeddings", "maps", "models")
    }
    extent = catalog.get_child("tile2vec-embeddings").extent
    assert extent.temporal.to_dict() == {"interval": [["2021-05-18T00:00:00Z", "2022-01-01T00:00:00Z"]]}
    np.testing.assert_allclose(extent.spatial.bboxes, [[8, 1, 8.2, 2]])
    copy = out / "models" / "model" / "model.json"
    assert copy.read_bytes() == (model / "model.json").read_bytes()


def test_a_map_says_where_it_lies_and_what_its_values_are(stac, tmp_path: Path, scene_map: Path) -> None:
    out = tmp_path / "catalog"
    assert stac(scene_map, "--out", out).code == 0
    item = pystac.Item.from_file(str(out / "maps" / scene_map.stem / "item.json"))
    assert item.properties["datetime"] == "2021-05-18T00:00:00Z"
    place = ProjectionExtension.ext(item)
    with rasterio.open(scene_map) as file:
        assert (place.code, place.shape) == (file.crs.to_string(), [30, 40])
        assert place.transform == list(file.transform)[:6]
        lonlat = pyproj.Transformer.from_crs(file.crs, 4326, always_xy=True).transform
        corners = [lonlat(*file.xy(row, col, offset="ul")) for row in (0, 30) for col in (0, 40)]
    np.testing.assert_allclose(item.bbox, [*np.min(corners, axis=0), *np.max(corners, axis=0)], atol=1e-9)
    (band,) = item.assets["map"].to_dict()["bands"]
    assert (band["data_type"], band["nodata"]) == ("uint8", 255)
    classes = ClassificationExtension.ext(item.assets["map"]).classes
    assert [(one.value, one.name, one.description, one.color_hint) for one in classes[:2]] == [
        (0, "other", "other", "DEDED6"),
        (1, "Corn-soy", "Corn & soy", "0072B2"),
    ]
    assert (classes[2].value, classes[2].nodata) == (255, True)


def test_names_of_classes_beside_a_map_come_along(stac, tmp_path: Path, write_scene: SceneWriter) -> None:
    path = write_scene("lc_2020-01-01.tif", np.ones((1, 4, 4), np.uint8))
    with rasterio.open(path, "r+") as file:
        file.update_tags(TILE2VEC_CLASSES='{"1": "from the tag"}')
    listed = "<CategoryNames><Category/><Category>Wald und Heide</Category></CategoryNames>"
    sidecar = Path(f"{path}.aux.xml")
    sidecar.write_text(f'<PAMDataset><PAMRasterBand band="1">{listed}</PAMRasterBand></PAMDataset>')
    assert stac(path, "--out", tmp_path / "both").code == 0
    assets = read(tmp_path / "both" / "maps" / path.stem / "item.json")["assets"]
    assert [one["description"] for one in assets["map"]["classification:classes"]] == ["Wald und Heide"]
    assert (tmp_path / "both" / "maps" / path.stem / assets["legend"]["href"]).is_file()
    sidecar.unlink()
    assert stac(path, "--out", tmp_path / "tag").code == 0
    assets = read(tmp_path / "tag" / "maps" / path.stem / "item.json")["assets"]
    assert [one["description"] for one in assets["map"]["classification:classes"]] == ["from the tag"]


def test_probabilities_are_no_classes(stac, tmp_path: Path, write_scene: SceneWriter) -> None:
    path = write_scene("p_2020-01-01.tif", np.ones((1, 4, 4), np.float32), nodata=float("nan"))
    with rasterio.open(path, "r+") as file:
        file.update_tags(TILE2VEC_CLASS_0="other", TILE2VEC_CLASS_1="corn")
    assert stac(path, "--out", tmp_path / "catalog").code == 0
    item = read(tmp_path / "catalog" / "maps" / path.stem / "item.json")
    assert "classification:classes" not in item["assets"]["map"]
    assert item["assets"]["map"]["bands"][0]["nodata"] == "nan"
    assert not any("classification" in name for name in item["stac_extensions"])


def test_embeddings_have_the_fields_their_extension_takes(stac, tmp_path: Path, model: Path) -> None:
    from tile2vec_cli.neural import models

    out = tmp_path / "catalog"
    own = write_embeddings(
        tmp_path / "v.parquet", ("2021-08-27", None, "2021-05-18"), models.fingerprint(model)
    )
    assert stac(own, model, "--out", out).code == 0
    item, collection = (read(out / "embeddings" / name) for name in ("v/item.json", "collection.json"))
    found = item["properties"]
    # The schema of 0.0.1: an item has no other field of the prefix, a collection must have these and both links.
    assert {name for name in found if name.startswith("emb:")} == {
        "emb:quantization",
        "emb:runtime_parameters",
    }
    assert found["emb:quantization"] == {
        "method": "linear",
        "original_dtype": "float32",
        "quantized_dtype": "int8",
        "scale": [0.1],
        "offset": [0],
    }
    assert collection["stac_extensions"] == [
        "https://stac-extensions.github.io/embeddings/v0.0.1/schema.json"
    ]
    assert {
        name: collection[name] for name in ("emb:type", "emb:dimensions", "data_type", "emb:chip_layout")
    } == {
        "emb:type": "chip",
        "emb:dimensions": 4,
        "data_type": "int8",
        "emb:chip_layout": LAYOUT,
    }
    made_from = read(out / "embeddings" / hrefs(collection)["emb:source-data"])
    assert made_from["parts"] == [{"name": "v", "fingerprint": "f"}]
    assert (out / "embeddings" / hrefs(collection)["emb:model"]).resolve() == out / "models/model/item.json"
    assert (out / "embeddings/v" / hrefs(item)["emb:model"]).resolve() == out / "models/model/item.json"
    assert (found["datetime"], found["start_datetime"], found["end_datetime"]) == (
        None,
        "2021-05-18T00:00:00Z",
        "2021-08-27T00:00:00Z",
    )
    assert (found["table:row_count"], found["table:primary_geometry"]) == (3, "geometry")
    columns = {column["name"]: column["type"] for column in found["table:columns"]}
    assert columns["embedding"].startswith("fixed_size_list<") and columns["geometry"] == "binary"


def test_embeddings_of_two_models_are_two_collections(stac, tmp_path: Path) -> None:
    one = write_embeddings(tmp_path / "a.parquet", ("2021-05-18",))
    two = write_embeddings(tmp_path / "b.parquet", ("2021-05-18",), model="other")
    assert stac(one, two, "--out", tmp_path / "catalog").code == 0
    found = {path.parent.name: read(path) for path in (tmp_path / "catalog").glob("*/collection.json")}
    assert {name: said["title"] for name, said in found.items()} == {
        "embeddings-1": "Embeddings of tiles 1",
        "embeddings-2": "Embeddings of tiles 2",
    }
    assert hrefs(found["embeddings-2"])["item"] == "./b/item.json"


@pytest.mark.parametrize(("kind", "shape"), [("encoder", [-1, 8]), ("segmenter", [-1, 10, 10])])
def test_a_model_is_what_the_mlm_extension_wants(stac, tmp_path: Path, kind: str, shape: list[int]) -> None:
    out = tmp_path / "catalog"
    assert stac(write_model(tmp_path / "net", kind), "--out", out).code == 0
    path = out / "models" / "net" / "item.json"
    fields = {name: value for name, value in read(path)["properties"].items() if name.startswith("mlm:")}
    known = stac_model.MLModelProperties.model_validate(fields)
    assert known.input[0].input.shape == [-1, 2, 10, 10] and known.output[0].result.shape == shape
    item = pystac.Item.from_file(str(path))
    assert [str(task) for task in MLMExtension.ext(item).tasks] == [
        {"encoder": "similarity-search", "segmenter": "semantic-segmentation"}[kind]
    ]
    # Bands named in an input stand in the item's properties; one asset, of this role, is the model.
    assert [band["name"] for band in read(path)["properties"]["bands"]] == ["red", "band2"]
    roles = {
        key: asset.roles for key, asset in item.assets.items() if "mlm:artifact_type" in asset.extra_fields
    }
    assert roles == {"model": ["mlm:model", "mlm:weights"]}
    assert (item.properties["start_datetime"], item.properties["end_datetime"]) == ALWAYS


def test_run_again(stac, tmp_path: Path, scene_map: Path) -> None:
    out, twin, maps = tmp_path / "catalog", tmp_path / "twin", scene_map.parent
    assert stac(maps, "--out", out).code == stac(scene_map, "--out", twin).code == 0
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    for more in ((), ("--overwrite",)):
        assert "up to date" in stac(maps, "--out", out, *more).err
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before
    for file in filter(Path.is_file, out.rglob("*")):
        assert file.read_bytes() == (twin / file.relative_to(out)).read_bytes()
    refused = stac(maps, "--out", out, "--title", "Farms")
    assert refused.code == 65 and "title" in refused.err and "--overwrite" in refused.err
    assert stac(maps, "--out", out, "--title", "Farms", "--overwrite").code == 0
    (maps / "late_2022-01-01.tif").write_bytes(scene_map.read_bytes())
    assert stac(maps, "--out", out, "--title", "Farms", "--json").report["maps"] == 2
    fewer = stac(scene_map, "--out", out, "--title", "Farms")
    assert fewer.code == 65 and "maps/late_2022-01-01" in fewer.err and "--overwrite" in fewer.err
    (out / "maps" / scene_map.stem / scene_map.name).unlink()
    assert "up to date" not in stac(maps, "--out", out, "--title", "Farms").err
    assert (out / "maps" / scene_map.stem / scene_map.name).read_bytes() == scene_map.read_bytes()


def test_what_has_no_date_is_said(stac, tmp_path: Path, write_scene: SceneWriter) -> None:
    path = write_scene("farm.tif", np.ones((1, 4, 4), np.uint8))
    own = write_embeddings(tmp_path / "v.parquet", (None, None))
    done = stac(path, own, "--out", tmp_path / "catalog", "--json")
    assert done.report["undated"] == ["farm", "v"] and "without a date" in done.err.lower()
    item = read(tmp_path / "catalog" / "maps" / "farm" / "item.json")
    assert (item["properties"]["start_datetime"], item["properties"]["end_datetime"]) == ALWAYS


def test_across_the_antimeridian(stac, tmp_path: Path, write_scene: SceneWriter) -> None:
    place = rasterio.transform.from_origin(179.5, 1, 0.1, 0.1)
    path = write_scene("fiji_2020-01-01.tif", np.ones((1, 10, 10), np.uint8), crs=4326, transform=place)
    own = write_embeddings(tmp_path / "v.parquet", ("2020-01-01",) * 4, lon=179.75)
    assert stac(path, own, "--out", tmp_path / "catalog").code == 0
    for name, bbox in (
        (f"maps/{path.stem}", [179.5, 0, -179.5, 1]),
        ("embeddings/v", [179.75, 1, -179.85, 2]),
    ):
        item = read(tmp_path / "catalog" / name / "item.json")
        assert (
            shapely.geometry.shape(item["geometry"]).is_valid and item["geometry"]["type"] == "MultiPolygon"
        )
        np.testing.assert_allclose(item["bbox"], bbox, atol=1e-9)


def test_what_is_refused(stac, tmp_path: Path, scene_map: Path) -> None:
    out = tmp_path / "catalog"
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    geoparquet.write(
        tmp_path / "t.parquet", geoparquet.read(write_embeddings(tmp_path / "v.parquet", (None,)))[0]
    )
    twin = tmp_path / "more" / scene_map.name
    twin.parent.mkdir()
    twin.write_bytes(scene_map.read_bytes())
    for paths, code, said in (
        ([tmp_path / "none"], 66, "no such"),
        ([tmp_path / "empty"], 65, "model folder"),
        ([tmp_path / "notes.txt"], 65, "embeddings"),
        ([tmp_path / "t.parquet"], 65, "t.parquet: no embeddings of ours"),
        ([scene_map, twin], 65, "farm_2021-05-18"),
    ):
        done = stac(*paths, "--out", out)
        assert done.code == code and said in done.err and done.err.count("\n") == 1
        assert not out.exists()
    assert stac(scene_map, "--out", twin.parent).code == 65  # other files are never replaced
    assert stac(scene_map, "--out", scene_map.parent).code == 2 and twin.exists() and scene_map.exists()
    for wrong in ({"id": "a b"}, {"license": "of mine"}, {"description": " "}):
        with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
            StacConfig(**wrong)

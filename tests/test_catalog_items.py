"""What `stac` says of a map, of embeddings and of a model.

Independent judges: PySTAC and the own model of the MLM, rasterio and pyproj; of the embeddings
extension, the rules of its schema.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from catalogued import LAYOUT, hrefs, read, write_embeddings, write_map, write_model
from conftest import SceneWriter
from embedded import call

pystac = pytest.importorskip("pystac")
stac_model = pytest.importorskip("stac_model.schema")

from pystac.extensions.classification import ClassificationExtension  # noqa: E402
from pystac.extensions.mlm import MLMExtension  # noqa: E402
from pystac.extensions.projection import ProjectionExtension  # noqa: E402

ALWAYS = ("1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z")


@pytest.fixture
def stac(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "stac", *arguments)


@pytest.fixture
def scene_map(write_scene: SceneWriter) -> Path:
    return write_map(write_scene)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")  # whose model.json its item must not be written over


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
    # Version 0.0.1 takes no other field of its prefix in an item; a collection needs these and both links.
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

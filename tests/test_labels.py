"""Labels of tiles from any source."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from conftest import SceneWriter, real

from tile2vec_cli.errors import DataError, InputError, Tile2VecError, UsageError
from tile2vec_cli.labelling import labels

UTM = "EPSG:32614"


def squares(count: int = 4, left: float = 500_000) -> np.ndarray:
    """A row of tiles of 100 m in lon/lat."""
    boxes = [shapely.box(left + k * 100, 4_399_900, left + (k + 1) * 100, 4_400_000) for k in range(count)]
    return np.asarray(geopandas.GeoSeries(boxes, crs=UTM).to_crs("OGC:CRS84").to_numpy())


def test_a_raster_labels_by_pure_majority_and_counts_the_rest(write_scene: SceneWriter) -> None:
    codes = np.full((1, 10, 30), 1, np.uint8)
    codes[0, :, 10:20] = 2
    codes[0, :3, 12:20] = 1  # 24 of 100 pixels
    codes[0, :2, 20:30] = 2  # 20 of 100 pixels
    path = write_scene("labels.tif", codes)
    found = labels.read(path, squares())
    assert (found.kind, found.classes) == ("raster", ("1", "2"))
    assert found.codes.tolist() == [0, -1, 0, -1]
    assert found.labelled.tolist() == [0, 2]
    assert found.left_out == {"no label there": 1, "no clear majority": 1}
    assert labels.read(path, squares(), min_purity=0.7).codes.tolist() == [0, 1, 0, -1]


def test_purity_is_of_the_valid_pixels(write_scene: SceneWriter) -> None:
    codes = np.zeros((1, 10, 10), np.uint8)
    codes[0, 0, :4] = 7
    codes[0, 0, 4] = 8
    assert labels.read(write_scene("labels.tif", codes, nodata=0), squares(1)).codes.tolist() == [0]


def test_points_need_no_purity(tmp_path: Path) -> None:
    places = shapely.points([[500_010, 4_399_990], [500_020, 4_399_990], [500_030, 4_399_990]])
    frame = geopandas.GeoDataFrame({"a": ["x", "x", "y"]}, geometry=places, crs=UTM)
    frame.to_file(tmp_path / "points.gpkg")
    found = labels.read(tmp_path / "points.gpkg", squares(2), min_purity=0.99)
    assert (found.kind, found.codes.tolist()) == ("points", [0, -1])


def test_labels_elsewhere_are_named_with_both_boxes(write_scene: SceneWriter) -> None:
    path = write_scene("labels.tif", np.ones((1, 10, 10), np.uint8))
    with pytest.raises(DataError) as error:
        labels.read(path, squares(left=700_000))
    text = str(error.value)
    assert "labels.tif" in text
    span = geopandas.GeoSeries([shapely.box(500_000, 4_399_900, 500_100, 4_400_000)], crs=UTM)
    for bounds in (span.to_crs("OGC:CRS84").total_bounds, shapely.total_bounds(squares(left=700_000))):
        assert " ".join(f"{side:.5f}" for side in bounds) in text
    assert "do not overlap" in text


def test_polygons_elsewhere_too(tmp_path: Path) -> None:
    far = geopandas.GeoDataFrame({"a": ["x"]}, geometry=[shapely.box(1, 2, 3, 4)], crs="OGC:CRS84")
    far.to_file(tmp_path / "far.geojson")
    with pytest.raises(DataError, match=r"labels span 1.00000 2.00000 3.00000 4.00000.*the tiles -99.0"):
        labels.read(tmp_path / "far.geojson", squares(), field="a")


def test_a_raster_without_a_valid_pixel_there(write_scene: SceneWriter) -> None:
    path = write_scene("labels.tif", np.zeros((1, 10, 40), np.uint8), nodata=0)
    with pytest.raises(DataError, match="no valid label lies in a tile"):
        labels.read(path, squares())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("missing.tif", InputError),
        ("missing.gpkg", InputError),
        ("missing.csv", InputError),
        ("text.tif", DataError),
        ("text.gpkg", DataError),
        ("text.geojson", DataError),
        ("text.parquet", DataError),
        ("text.unknown", DataError),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, kind: type[Tile2VecError]) -> None:
    if name.startswith("text"):
        (tmp_path / name).write_text("just text")
    with pytest.raises(kind, match=name) as error:
        labels.read(tmp_path / name, squares(), field="a")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.xlsx", "a.kmz", "a.rds"])
def test_other_kinds_are_refused_by_naming_those_that_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=rf"{name}.*labels are read from rasters, vector files .*\.csv"):
        labels.read(tmp_path / name, squares())


def test_rasters_have_neither_layers_nor_another_crs(write_scene: SceneWriter) -> None:
    path = write_scene("labels.tif", np.ones((1, 10, 40), np.uint8))
    for option in ({"layer": "a"}, {"crs": UTM}):
        with pytest.raises(UsageError, match="is a raster, which needs none"):
            labels.read(labels.named([str(path)], **option), squares())


def test_the_real_cells_of_trees() -> None:
    path = real("naip_california", "tree_density.gpkg")
    cells = geopandas.read_file(path)
    found = labels.read(path, cells.geometry.to_numpy(), field="density")
    assert found.kind == "polygons"
    assert found.classes == ("1-2", "3-4", "5+", "none")
    assert [found.classes[code] for code in found.codes] == cells.density.tolist()

"""Label rasters, against the very pixels and against GDAL's own warp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from conftest import SceneWriter, real
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.labelling import cdl
from tile2vec_cli.labelling.label_rasters import LabelRasters
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

UTM = "EPSG:32614"
LEFT, TOP = 500_000, 4_400_000


def patches(side: int, patch: int, classes: int, seed: int = 0) -> np.ndarray:
    """(1, side, side) codes from 1 in square patches, a few pixels flipped."""
    random = np.random.default_rng(seed)
    coarse = random.integers(1, classes + 1, (-(-side // patch), -(-side // patch)))
    codes = np.kron(coarse, np.ones((patch, patch)))[:side, :side]
    flipped = random.random(codes.shape) < 0.1
    return np.where(flipped, random.integers(1, classes + 1, codes.shape), codes)[None].astype(np.uint8)


def squares(side_m: float, count: int, crs: str = UTM, left: float = LEFT, top: float = TOP) -> np.ndarray:
    """(count²,) footprints in lon/lat, row by row."""
    boxes = [
        shapely.box(
            left + col * side_m, top - (row + 1) * side_m, left + (col + 1) * side_m, top - row * side_m
        )
        for row in range(count)
        for col in range(count)
    ]
    return np.asarray(geopandas.GeoSeries(boxes, crs=crs).to_crs("OGC:CRS84").to_numpy())


def counts(path: Path, geometry: np.ndarray) -> np.ndarray:
    """(N, 256) votes a code."""
    votes = LabelRasters(path).votes(geometry)
    table = np.zeros((len(geometry), 256), int)
    np.add.at(table, (votes.tile, np.array([int(name) for name in votes.classes])[votes.code]), votes.count)
    return table


@pytest.mark.parametrize("pixels", [1, 3, 8, 17])
def test_every_pixel_votes_once_where_tiles_cover_whole_pixels(write_scene: SceneWriter, pixels: int) -> None:
    codes = patches(10 * pixels, 5, 6)
    found = counts(write_scene("labels.tif", codes), squares(10 * pixels, 10))
    windows = codes[0].reshape(10, pixels, 10, pixels).swapaxes(1, 2).reshape(100, -1)
    expected = np.array([np.bincount(window, minlength=256) for window in windows])
    assert (found * pixels**2 == expected * found.sum(axis=1, keepdims=True)).all()
    if pixels >= 8:
        assert (found == expected).all()


def test_another_crs_and_resolution(write_scene: SceneWriter) -> None:
    codes = patches(400, 37, 4)
    path = write_scene(
        "labels.tif", codes, crs="EPSG:5070", transform=from_origin(-110_000, 1_900_000, 25, 25)
    )
    with rasterio.open(path) as source:
        xs, ys = np.array([source.xy(200, 200)]).T
        middle = geopandas.GeoSeries.from_xy(xs, ys, crs=source.crs).to_crs(UTM)[0]
    left, top = middle.x - 1500, middle.y + 1500
    fine = np.zeros((1500, 1500), np.uint8)  # 2 m pixels
    reproject(
        codes[0],
        fine,
        src_transform=from_origin(-110_000, 1_900_000, 25, 25),
        src_crs="EPSG:5070",
        dst_transform=from_origin(left, top, 2, 2),
        dst_crs=UTM,
        resampling=Resampling.nearest,
    )
    windows = fine.reshape(10, 150, 10, 150).swapaxes(1, 2).reshape(100, -1)
    expected = np.array([np.bincount(window, minlength=256) / window.size for window in windows])
    found = counts(path, squares(300, 10, left=left, top=top))
    assert np.abs(found / found.sum(axis=1, keepdims=True) - expected).max() < 0.06


def test_a_tile_inside_one_pixel_has_its_class(write_scene: SceneWriter) -> None:
    codes = np.array([[[7, 8], [9, 10]]], np.uint8)
    path = write_scene("labels.tif", codes, transform=from_origin(LEFT, TOP, 1000, 1000))
    tiles = squares(30, 1, left=LEFT + 1200, top=TOP - 200)
    assert (counts(path, tiles)[0] > 0).nonzero()[0].tolist() == [8]


def test_points_have_the_pixel_they_lie_in(write_scene: SceneWriter) -> None:
    codes = patches(50, 1, 9)
    path = write_scene("labels.tif", codes)
    places = geopandas.GeoSeries.from_xy([LEFT + 123.0, LEFT + 251.0], [TOP - 77.0, TOP - 9.0], crs=UTM)
    found = counts(path, places.to_crs("OGC:CRS84").to_numpy())
    assert found.argmax(axis=1).tolist() == [codes[0, 7, 12], codes[0, 0, 25]]
    assert (found.sum(axis=1) == 1).all()


def test_footprints_of_any_shape(write_scene: SceneWriter) -> None:
    codes = np.ones((1, 40, 40), np.uint8)
    codes[0, :, 20:] = 2
    triangle = shapely.Polygon([(LEFT, TOP), (LEFT + 400, TOP), (LEFT, TOP - 400)])
    shape = geopandas.GeoSeries([triangle], crs=UTM).to_crs("OGC:CRS84").to_numpy()
    found = counts(write_scene("labels.tif", codes), shape)[0]
    assert found[1] / found.sum() == pytest.approx(0.75, abs=0.03)


def test_nodata_outside_and_unlabelled_pixels_do_not_vote(write_scene: SceneWriter) -> None:
    codes = np.full((1, 20, 20), 3, np.uint8)
    codes[0, :15] = 255
    path = write_scene("labels.tif", codes, nodata=255)
    found = counts(path, squares(100, 3))
    assert found[:, 255].sum() == 0
    assert found[:, 3].tolist() == [0, 0, 0, 50, 50, 0, 0, 0, 0]


def test_background_and_clouds_of_the_cropland_data_layer_are_nodata(write_scene: SceneWriter) -> None:
    codes = np.array([[[0, 81], [1, 5]]], np.uint8)
    path = write_scene("labels.tif", codes, transform=from_origin(LEFT, TOP, 100, 100))
    assert LabelRasters(path).votes(squares(100, 2)).classes == ("0", "1", "5", "81")
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {code: cdl.colour(code) for code in (1, 5, 24, 81, 111)})
    assert LabelRasters(path).votes(squares(100, 2)).classes == ("Corn", "Soybeans")


AUX = "<PAMDataset><PAMRasterBand band='1'>{}</PAMRasterBand></PAMDataset>"
CATEGORIES = "<CategoryNames><Category>none</Category><Category>field</Category><Category /></CategoryNames>"
ATTRIBUTES = """<GDALRasterAttributeTable>
<FieldDefn index='0'><Name>{value}</Name><Type>0</Type><Usage>{use_value}</Usage></FieldDefn>
<FieldDefn index='1'><Name>Class</Name><Type>2</Type><Usage>{use_name}</Usage></FieldDefn>
<Row index='0'><F>1</F><F>wood</F></Row><Row index='1'><F>2</F><F>lake</F></Row>
</GDALRasterAttributeTable>"""


@pytest.mark.parametrize(
    ("sidecar", "names"),
    [
        (AUX.format(CATEGORIES), ("field", "2")),
        (AUX.format(ATTRIBUTES.format(value="v", use_value=5, use_name=2)), ("wood", "lake")),
        (AUX.format(ATTRIBUTES.format(value="Value", use_value=0, use_name=0)), ("wood", "lake")),
        (AUX.format(ATTRIBUTES.format(value="v", use_value=0, use_name=0)), ("1", "2")),
        ("<PAMDataset><broken", ("1", "2")),
    ],
    ids=["categories", "usage", "titles", "unknown", "broken"],
)
def test_names_of_classes_from_the_sidecar(
    write_scene: SceneWriter, sidecar: str, names: tuple[str, ...]
) -> None:
    path = write_scene("labels.tif", np.array([[[1, 2]]], np.uint8))
    Path(f"{path}.aux.xml").write_text(sidecar)
    assert LabelRasters(path).votes(squares(20, 1)).classes == names


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint32"])
def test_whole_numbers_of_any_type(write_scene: SceneWriter, dtype: str) -> None:
    codes = np.array([[[1, 2], [300, 300]]]).astype(dtype)
    votes = LabelRasters(write_scene("labels.tif", codes)).votes(squares(20, 1))
    assert votes.classes == ("1", "2", "300")
    assert votes.count.tolist() == [16, 16, 32]


def test_measurements_are_no_labels(write_scene: SceneWriter) -> None:
    path = write_scene("labels.tif", np.array([[[1, 0.37]]], np.float32))
    with pytest.raises(DataError, match=r"labels.tif: holds values such as 0.37; whole class codes"):
        LabelRasters(path).votes(squares(20, 1))


def test_a_shape_across_the_antimeridian(write_scene: SceneWriter) -> None:
    codes = np.ones((1, 10, 10), np.uint8)
    codes[0, :, 5:] = 2
    settings: dict[str, Any] = {"crs": "EPSG:32660", "transform": from_origin(833_000, 100_000, 200, 200)}
    path = write_scene("labels.tif", codes, **settings)
    from tile2vec_cli.geo import outlines, places

    corners = np.array(
        [[[833_000, 98_000], [835_000, 98_000], [835_000, 100_000], [833_000, 100_000]]], float
    )
    shape = outlines.polygons(places.to_lonlat("EPSG:32660", corners, "-"))
    assert shape[0].geom_type == "MultiPolygon"
    found = counts(path, shape)[0]
    assert found.sum() >= 60
    assert found[1] / found.sum() == pytest.approx(0.5, abs=0.1)


# --- the pixels of tiles -----------------------------------------------------------------------


def test_label_pixels_under_the_pixels_of_tiles(write_scene: SceneWriter, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        write_scene(f"scenes/{name}.tif", random.integers(1, 200, (2, 64, 48)).astype(np.uint8))
    codes = patches(64, 3, 9)[:, :, :48]
    codes[0, 5, 5] = 0
    labels = write_scene("labels.tif", codes, nodata=0)
    scenes = [str(tmp_path / "scenes" / f"{name}.tif") for name in ("a", "b")]
    cutting.cut(scenes, tmp_path / "tiles", TileConfig(size=16))
    tiles = TileSet.open(tmp_path / "tiles")
    ids = np.array([20, 0, 7])
    found, valid = LabelRasters(labels).tile_pixels(tiles, ids)
    index = tiles.table().to_pandas()
    for number, pixels, known in zip(ids, found, valid, strict=True):
        row, col = index.row[number], index.col[number]
        expected = codes[0, row : row + 16, col : col + 16]
        assert (known == (expected != 0)).all()
        assert (pixels[known] == expected[known]).all()
    assert not valid.all()


def test_real_labels_by_tile() -> None:
    path = real("cdl_kansas", "2021_30m_cdls.tif")
    with rasterio.open(path) as source:
        codes = source.read(1)[:300, :300]
        left, top, crs = source.bounds.left, source.bounds.top, str(source.crs)
    votes = LabelRasters(path).votes(squares(300, 30, crs=crs, left=left, top=top))
    windows = codes.reshape(30, 10, 30, 10).swapaxes(1, 2).reshape(900, -1)
    majority = votes.majority(900, 0.8)
    for window, code in zip(windows, majority, strict=True):
        best = np.bincount(window).argmax()
        pure = (window == best).mean() >= 0.8
        assert (code >= 0) == pure
        assert not pure or votes.classes[code] == cdl.name(int(best))

"""Weak labels of every kind, against the truth they were made from."""

from __future__ import annotations

from pathlib import Path

import fields
import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.errors import DataError, InputError, UsageError
from tile2vec_cli.segmentation import weak_labels
from tile2vec_cli.segmentation.weak_labels import UNKNOWN
from tile2vec_cli.tiling.tiles import TileSet

POSITIVE = WeakConfig(positive="1")


def tiles_of(land: Path) -> TileSet:
    return fields.tile_set(land)


def truth_of(tiles: TileSet) -> np.ndarray:
    """(N, S, S) states of the tiles' pixels, cut from the truth by hand."""
    whole = fields.truth()
    index = tiles.table()
    return np.stack(
        [whole[r : r + fields.SIDE, c : c + fields.SIDE] for r, c in zip(*places(index), strict=True)]
    )


def places(index: object) -> tuple[list[int], list[int]]:
    return index["row"].to_pylist(), index["col"].to_pylist()  # type: ignore[index]


def lonlat(row: np.ndarray, col: np.ndarray) -> geopandas.GeoSeries:
    x, y = fields.TRANSFORM * (np.asarray(col) + 0.5, np.asarray(row) + 0.5)
    return geopandas.GeoSeries(geopandas.points_from_xy(x, y), crs=fields.CRS).to_crs("OGC:CRS84")


def test_a_raster_gives_every_pixel_that_is_valid(land: Path) -> None:
    tiles = tiles_of(land)
    found = weak_labels.read(str(land / "labels.tif"), tiles, POSITIVE)
    valid = tiles.valid(np.arange(len(tiles)))
    assert not valid.all()
    assert np.array_equal(found.pixels, np.where(valid, truth_of(tiles), UNKNOWN))
    share = np.where(valid, truth_of(tiles), 0).sum((1, 2)) / valid.sum((1, 2))
    assert np.array_equal(found.tiles[share != 0.5], (share > 0.5)[share != 0.5])


def test_one_known_pixel_a_tile_and_the_same_for_fewer_tiles(land: Path) -> None:
    tiles = tiles_of(land)
    found = weak_labels.read(str(land / "labels.tif"), tiles, POSITIVE)
    ids = np.random.default_rng(1).permutation(found.usable("pixel"))
    many = found.drawn(ids, "pixel", np.random.default_rng(5))
    few = found.drawn(ids[:10], "pixel", np.random.default_rng(5))
    known = many != UNKNOWN
    assert (known.sum((1, 2)) == 1).all()
    assert np.array_equal(many[known], found.pixels[ids][known])  # type: ignore[index]
    assert np.array_equal(few, many[:10])
    other = found.drawn(ids, "pixel", np.random.default_rng(6))
    assert not np.array_equal(many, other)
    # Anywhere in the tile: over all tiles the mean place is the middle.
    _, row, col = np.nonzero(known)
    assert abs(row.mean() - 7.5) < 2 and abs(col.mean() - 7.5) < 2


def test_cropland_by_default_and_its_background_is_no_label(land: Path, tmp_path: Path) -> None:
    codes = np.where(fields.truth(), 5, 176).astype(np.uint8)  # soybeans, pasture
    codes[100:, :] = np.where(fields.truth()[100:], 61, 111)  # fallow is not cropland here, nor is water
    codes[:, :50] = 0
    codes[:, 50:60] = 81
    path = fields.write(tmp_path / "cdl.tif", codes)
    tiles = tiles_of(land)
    pixels = weak_labels.read(str(path), tiles, WeakConfig()).pixels
    assert pixels is not None
    for state, row, col in zip(pixels, *places(tiles.table()), strict=True):
        own = codes[row : row + fields.SIDE, col : col + fields.SIDE]
        valid = state != UNKNOWN
        assert not valid[(own == 0) | (own == 81)].any()
        assert np.array_equal(state[valid], (own == 5)[valid])
    named = weak_labels.read(str(path), tiles, WeakConfig(positive="0")).pixels
    assert (named == 1).any()  # asked for by its code, 0 is a class like any other


@pytest.mark.parametrize("suffix", ["gpkg", "csv", "parquet"])
def test_points_label_the_pixels_they_lie_in(land: Path, tmp_path: Path, suffix: str) -> None:
    random = np.random.default_rng(0)
    row, col = random.integers(0, 192, (2, 60))
    kind = np.where(fields.truth()[row, col], "crop", "other")
    path = tmp_path / f"points.{suffix}"
    frame = geopandas.GeoDataFrame({"kind": kind}, geometry=lonlat(row, col))
    if suffix == "csv":
        pd.DataFrame({"kind": kind, "lon": frame.geometry.x, "lat": frame.geometry.y}).to_csv(path)
    elif suffix == "gpkg":
        frame.to_crs("EPSG:3857").to_file(path)
    else:
        frame.to_parquet(path)
    tiles = tiles_of(land)
    found = weak_labels.read(str(path), tiles, WeakConfig(positive="Crop", field="kind"))
    assert found.kind == "points"
    assert found.pixels is not None
    expected = np.full((192, 192), UNKNOWN, np.uint8)
    expected[row, col] = fields.truth()[row, col]
    expected[20:40, 20:40] = UNKNOWN  # the cloud
    cut = np.stack([expected[r : r + 16, c : c + 16] for r, c in zip(*places(tiles.table()), strict=True)])
    assert np.array_equal(found.pixels, cut)
    hidden = (row >= 20) & (row < 40) & (col >= 20) & (col < 40)
    assert found.left_out.get("points on no valid pixel of a tile", 0) == hidden.sum()
    drawn = found.drawn(found.usable("pixel"), "pixel", random)
    assert (drawn != UNKNOWN).sum() == (cut != UNKNOWN).sum()


def test_points_that_disagree_in_one_pixel_label_nothing(land: Path, tmp_path: Path) -> None:
    places_ = lonlat(np.array([60, 60, 61]), np.array([70, 70, 70]))
    path = tmp_path / "points.geojson"
    geopandas.GeoDataFrame({"kind": [1, 0, 0]}, geometry=places_).to_file(path)
    found = weak_labels.read(str(path), tiles_of(land), WeakConfig(positive="1"))
    assert found.pixels is not None
    assert (found.pixels != UNKNOWN).sum() == 1


def test_a_table_labels_tiles(land: Path, tmp_path: Path) -> None:
    tiles = tiles_of(land)
    names = tiles.table()["tile_id"].to_pylist()
    path = tmp_path / "tiles.csv"
    pd.DataFrame({"tile_id": names[:40], "label": [1, 0] * 20}).to_csv(path, index=False)
    found = weak_labels.read(str(path), tiles, WeakConfig(positive="1", supervision=("image",)))
    assert found.pixels is None
    assert found.tiles[:40].tolist() == [1, 0] * 20
    assert (found.tiles[40:] == UNKNOWN).all()
    assert np.array_equal(found.drawn(np.array([3, 4]), "image", np.random.default_rng()), [0, 1])


def test_polygons_label_tiles(land: Path, tmp_path: Path) -> None:
    west, south, east, north = 500_010, 4_400_040 - 192 * 30, 500_010 + 192 * 30, 4_400_040
    middle = (west + east) / 2
    shapes = [shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)]
    path = tmp_path / "halves.gpkg"
    geopandas.GeoDataFrame({"use": ["crop", "wood"]}, geometry=shapes, crs=fields.CRS).to_file(path)
    tiles = tiles_of(land)
    found = weak_labels.read(str(path), tiles, WeakConfig(positive="crop", supervision=("image",)))
    col = np.array(places(tiles.table())[1])
    assert np.array_equal(found.tiles, col < 96)


def test_noise_flips_the_share_asked_for() -> None:
    states = np.full((50, 4, 4), UNKNOWN, np.uint8)
    states[:, 1, 1] = np.arange(50) % 2
    noisy = weak_labels.flipped(states, 0.2, np.random.default_rng(0))
    assert (noisy != states).sum() == 10
    assert np.array_equal(noisy == UNKNOWN, states == UNKNOWN)


def test_majority_of_none_or_of_both_is_unknown() -> None:
    states = np.array([[[1, 1], [0, UNKNOWN]], [[1, 0], [UNKNOWN] * 2], [[UNKNOWN] * 2] * 2], np.uint8)
    assert weak_labels.majority(states).tolist() == [1, UNKNOWN, UNKNOWN]


def complaint(land: Path, path: Path, config: WeakConfig, kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as caught:
        weak_labels.read(str(path), tiles_of(land), config)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_what_cannot_serve_is_said(land: Path, tmp_path: Path) -> None:
    labels = land / "labels.tif"
    assert "none of --positive 7" in complaint(land, labels, WeakConfig(positive="7"))
    assert "only" in complaint(land, labels, WeakConfig(positive="1-2"))
    complaint(land, tmp_path / "none.tif", POSITIVE, InputError)
    far = fields.write(
        tmp_path / "far.tif", np.ones((9, 9), np.uint8), transform=fields.from_origin(1e5, 1e5, 30, 30)
    )
    text = complaint(land, far, POSITIVE)
    assert "do not overlap" in text and "-102.59" in text and "-98.9" in text
    table = tmp_path / "tiles.csv"
    table.write_text("tile_id,label\nland/0/0,1\n")
    assert "--supervision image" in complaint(land, table, POSITIVE)
    points = tmp_path / "points.geojson"
    geopandas.GeoDataFrame({"a": [1], "b": [2]}, geometry=lonlat(np.array([5]), np.array([5]))).to_file(
        points
    )
    assert "is not a raster" in complaint(land, points, WeakConfig(supervision=("full",)))
    assert "--field" in complaint(land, points, POSITIVE, UsageError)
    assert "no field 'c'" in complaint(land, points, WeakConfig(positive="1", field="c"))
    away = tmp_path / "away.geojson"
    geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.Point(10, 50)], crs="OGC:CRS84").to_file(away)
    assert "do not overlap" in complaint(land, away, POSITIVE)
    shape = tmp_path / "shape.geojson"
    geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.box(10, 50, 11, 51)], crs="OGC:CRS84").to_file(shape)
    assert "needs points or a raster" in complaint(land, shape, POSITIVE)

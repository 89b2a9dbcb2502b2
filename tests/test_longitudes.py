"""Scenes and labels that count longitudes each in its own way, in Kansas and across the antimeridian.

Whatever the file says, a place's class is a function of its longitude modulo 360 and its latitude.
"""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import shapely
from rasterio.transform import Affine, from_bounds

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.labelling import labels
from tile2vec_cli.labelling.label_rasters import LabelRasters
from tile2vec_cli.segmentation import weak_labels
from tile2vec_cli.segmentation.weak_labels import UNKNOWN
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

CELL, SIDE, TILE = 0.01, 0.06, 10  # degrees, degrees, pixels
MIDDLE = {"kansas": (261.0, 39.75), "fiji": (180.0, -17.05)}
UTM = {"kansas": "EPSG:32614", "fiji": "EPSG:32760"}
SCENES = ("utm", "±180", "0-360", "mercator", "mercator beyond")
RASTERS = ("±180", "0-360", "mercator", "mercator beyond", "world")


def truth(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """The class of places: 1, 2 or 3 in cells of a hundredth of a degree."""
    return 1 + (np.floor(lon % 360 / CELL).astype(int) + 2 * np.floor((lat + 90) / CELL).astype(int)) % 3


def inside(lon: np.ndarray, lat: np.ndarray, slack: float) -> np.ndarray:
    """Which places are farther than this from the edge of a cell."""
    return np.all([np.abs(v / CELL - np.round(v / CELL)) * CELL > slack for v in (lon, lat)], axis=0)


def written(path: Path, codes: np.ndarray, crs: str, transform: Affine) -> str:
    size = {"count": 1, "height": codes.shape[0], "width": codes.shape[1], "dtype": codes.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **size) as target:
        target.write(codes, 1)
    return str(path)


def frame_of(site: str, kind: str, half: float) -> tuple[str, tuple[float, float, float, float]]:
    """The CRS and the bounds, in it, of a raster about the site's middle, so many degrees to each side."""
    lon, lat = MIDDLE[site]
    if kind == "utm":
        x, y = pyproj.Transformer.from_crs("OGC:CRS84", UTM[site], always_xy=True).transform(lon, lat)
        reach = half * 100_000
        return UTM[site], (x - reach, y - reach, x + reach, y + reach)
    if kind in ("±180", "mercator"):  # at the antimeridian: from the west
        lon -= 360
    west, south, east, north = lon - half, lat - half, lon + half, lat + half
    if not kind.startswith("mercator"):
        return "EPSG:4326", (west, south, east, north)
    radius = 6_378_137.0
    x0, x1 = (radius * np.radians(value) for value in (west, east))
    y0, y1 = (radius * np.log(np.tan(np.pi / 4 + np.radians(value) / 2)) for value in (south, north))
    return "EPSG:3857", (x0, y0, x1, y1)


def centres(transform: Affine, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    row, col = np.mgrid[:height, :width] + 0.5
    return transform * (col, row)


def to_lonlat(crs: str, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform(x, y)


@pytest.fixture(scope="module")
def tile_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], TileSet]:
    """A tile set of 6 × 6 tiles for each site and way to count."""
    folder = tmp_path_factory.mktemp("scenes")
    found = {}
    pixels = np.random.default_rng(0).integers(1, 200, (60, 60)).astype(np.uint8)
    for site in MIDDLE:
        for kind in SCENES:
            crs, bounds = frame_of(site, kind, SIDE / 2)
            path = written(folder / f"{site} {kind}.tif", pixels, crs, from_bounds(*bounds, 60, 60))
            out = folder / f"{site} {kind}"
            cutting.cut([path], out, TileConfig(size=TILE))
            found[site, kind] = TileSet.open(out)
    return found


def pixels_of(tiles: TileSet) -> tuple[np.ndarray, np.ndarray]:
    """(N, S, S) longitudes and latitudes of the pixels' centres."""
    info, index = tiles.parts[0].info, tiles.table().to_pandas()
    lon, lat = to_lonlat(info["crs"], *centres(Affine(*info["transform"]), 60, 60))
    cut = [(slice(r, r + TILE), slice(c, c + TILE)) for r, c in zip(index.row, index.col, strict=True)]
    return np.stack([lon[one] for one in cut]), np.stack([lat[one] for one in cut])


@pytest.mark.parametrize("raster", RASTERS)
@pytest.mark.parametrize("site", MIDDLE)
def test_label_rasters_under_the_pixels_of_any_scene(
    tile_sets: dict[tuple[str, str], TileSet], tmp_path: Path, site: str, raster: str
) -> None:
    if raster == "world":  # coarse, from Greenwich: the cells of the truth are its pixels in latitude only
        crs, transform = "EPSG:4326", Affine(0.1, 0, 0, 0, -0.005, MIDDLE[site][1] + 0.1)
        codes = truth(*centres(transform, 40, 3600)).astype(np.uint8)
    else:
        crs, bounds = frame_of(site, raster, 0.05)
        transform = from_bounds(*bounds, 200, 200)
        codes = truth(*to_lonlat(crs, *centres(transform, 200, 200))).astype(np.uint8)
    found = LabelRasters(written(tmp_path / "labels.tif", codes, crs, transform))
    for kind in SCENES:
        tiles = tile_sets[site, kind]
        assert len(tiles) == 36
        lon, lat = pixels_of(tiles)
        got, valid = found.tile_pixels(tiles, np.arange(36))
        assert valid.all(), kind
        if raster == "world":
            lon = np.floor(lon % 360 / 0.1) * 0.1 + 0.05
            clear = inside(np.full_like(lat, CELL / 2), lat, 1e-6)
        else:
            clear = inside(lon, lat, 0.0006)
        assert clear.mean() > 0.5
        assert (got == truth(lon, lat))[clear].all(), kind


def cells(site: str) -> np.ndarray:
    """(N, 2) longitudes from 0 to 360 and latitudes of the lower left corners of all cells about the site."""
    lon, lat = MIDDLE[site]
    step = np.arange(-5, 5) * CELL
    x, y = np.meshgrid(lon + step, np.floor(lat / CELL) * CELL + step)
    return np.column_stack([x.ravel(), y.ravel()])


def vector_file(path: Path, shapes: np.ndarray, codes: np.ndarray, way: str) -> Path:
    """Shapes with longitudes from 0 to 360, written as a file that counts them in another way."""
    frame = geopandas.GeoDataFrame({"kind": codes}, geometry=shapes, crs="EPSG:4326")
    if way == "±180":  # each vertex by itself: shapes across jump
        turned = [shapely.transform(s, lambda p: np.c_[(p[:, 0] + 180) % 360 - 180, p[:, 1]]) for s in shapes]
        frame = frame.set_geometry(turned, crs="EPSG:4326")
    elif way == "split":  # as RFC 7946 wants it
        east, west = shapely.box(-180, -90, 180, 90), shapely.box(180, -90, 540, 90)
        split = [shapely.union(s & east, shapely.transform(s & west, lambda p: p - [360, 0])) for s in shapes]
        frame = frame.set_geometry(split, crs="EPSG:4326")
    elif way == "utm":
        frame = frame.set_geometry(frame.geometry.translate(-360)).to_crs("EPSG:32760")
    frame.to_file(path)
    return path


WAYS = [(site, way) for site in MIDDLE for way in ("0-360", "±180", "split")]


@pytest.mark.parametrize(("site", "way"), [*WAYS, ("fiji", "utm")])
def test_polygons_around_the_centres_of_any_scene(
    tile_sets: dict[tuple[str, str], TileSet], tmp_path: Path, site: str, way: str
) -> None:
    shift = 0.3 * CELL
    corner = cells(site) - np.array([shift, 0])  # some lie across the antimeridian
    boxes = shapely.box(corner[:, 0], corner[:, 1], corner[:, 0] + CELL, corner[:, 1] + CELL)
    codes = truth(corner[:, 0] + CELL / 2 + shift, corner[:, 1] + CELL / 2)
    path = vector_file(
        tmp_path / "cells.geojson" if way != "utm" else tmp_path / "cells.gpkg", boxes, codes, way
    )
    for kind in SCENES:
        tiles = tile_sets[site, kind]
        lon, lat = (values.mean(axis=(1, 2)) for values in pixels_of_one_turn(tiles))
        found = labels.read(path, tiles.footprints(), field="kind")
        got = np.array([int(found.classes[code]) if code >= 0 else 0 for code in found.codes])
        clear = inside(lon + shift, lat, 1e-4)
        assert clear.sum() > 10
        assert (got == truth(lon + shift, lat))[clear].all(), kind


def pixels_of_one_turn(tiles: TileSet) -> tuple[np.ndarray, np.ndarray]:
    lon, lat = pixels_of(tiles)
    return lon % 360, lat


@pytest.mark.parametrize("way", ["0-360", "±180", "table"])
@pytest.mark.parametrize("site", MIDDLE)
def test_points_in_the_pixels_of_any_scene(
    tile_sets: dict[tuple[str, str], TileSet], tmp_path: Path, site: str, way: str
) -> None:
    points = cells(site) + np.array([0.0032, 0.0057])
    codes = np.where(truth(*points.T) == 1, "yes", "no")
    path = tmp_path / "points.csv"
    if way == "table":
        pd.DataFrame({"lon": points[:, 0], "lat": points[:, 1], "kind": codes}).to_csv(path, index=False)
    else:
        path = vector_file(tmp_path / "points.geojson", shapely.points(points), codes, way)
    for kind in SCENES:
        tiles = tile_sets[site, kind]
        lon, lat = pixels_of_one_turn(tiles)
        config = WeakConfig(positive="yes", field="kind")
        states = weak_labels.read(str(path), tiles, config).pixels
        assert states is not None
        tile, row, col = np.nonzero(states != UNKNOWN)
        assert 25 <= len(tile) <= 45, kind
        for t, r, c in zip(tile, row, col, strict=True):
            away = np.hypot(points[:, 0] - lon[t, r, c], points[:, 1] - lat[t, r, c])
            assert away.min() < 0.0008
            assert states[t, r, c] == (codes[away.argmin()] == "yes")


@pytest.mark.parametrize(("site", "way"), WAYS)
def test_an_area_of_interest_over_any_scene(
    tile_sets: dict[tuple[str, str], TileSet], tmp_path: Path, site: str, way: str
) -> None:
    (lon, lat), size = MIDDLE[site], 0.0171
    box = np.array([shapely.box(lon - size, lat - size, lon + size, lat + size)], dtype=object)
    area = vector_file(tmp_path / "area.geojson", box, np.array([1]), way)
    for kind in SCENES:
        tiles = tile_sets[site, kind]
        out = tmp_path / kind
        cutting.cut([tiles.parts[0].info["source"]], out, TileConfig(size=TILE), aoi=area)
        x, y = (values.mean(axis=(1, 2)) for values in pixels_of_one_turn(tiles))
        names = tiles.table(["tile_id"])["tile_id"].to_numpy()
        expected = names[(np.abs(x - lon) < size) & (np.abs(y - lat) < size)]
        assert 6 <= len(expected) <= 16
        assert sorted(TileSet.open(out).table(["tile_id"])["tile_id"].to_pylist()) == sorted(expected), kind

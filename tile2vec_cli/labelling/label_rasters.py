"""Label rasters: the classes of pixels inside tiles, in any CRS and resolution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import grid, places, rasters, sampling
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.labelling import cdl
from tile2vec_cli.labelling.votes import Votes
from tile2vec_cli.tiling.tile_files import Mask
from tile2vec_cli.tiling.tiles import TileSet

Geometry = NDArray[np.object_]

_LEAST_SIDE = 8  # points along a tile's side; more where it spans more label pixels,
_MOST_SIDE = 256  # but no more than this: 65,536 points tell the shares of a tile well enough
_POINTS = 1 << 21  # at a time


def votes(path: str, geometry: Geometry) -> Votes:
    """One vote a label pixel inside each footprint, (N,) shapely geometries in lon/lat.

    Footprints are sampled on a regular grid as fine as the label pixels: where a footprint covers
    whole label pixels, each of them votes exactly once (or, below 8 a side, each equally often).
    Points have the vote of the pixel they lie in.
    Raises DataError where the raster's values are no class codes.
    """
    raster = rasters.describe(path)
    tiles, codes, counts = [], [], []
    for tile, lonlat in _points_inside(raster, geometry):
        values, valid = _classes_at(raster, lonlat)
        key = tile[valid].astype(np.int64) << 32 | (values[valid] + 2**31)
        key, count = np.unique(key, return_counts=True)
        tiles.append(key >> 32)
        codes.append((key & 0xFFFFFFFF) - 2**31)
        counts.append(count)
    code = np.concatenate([np.empty(0, np.int64), *codes])
    present, code = np.unique(code, return_inverse=True)
    names = legend(raster, present)
    classes = tuple(dict.fromkeys(names))  # codes of one name are one class
    merged = np.array([classes.index(name) for name in names], dtype=np.int64)
    return Votes(
        np.concatenate([np.empty(0, np.int64), *tiles]),
        merged[code],
        np.concatenate([np.empty(0, np.int64), *counts]),
        classes,
    )


def tile_pixels(path: str, tiles: TileSet, ids: Ints) -> tuple[NDArray[np.int32], Mask]:
    """(B, S, S) class codes of the label pixels under the tiles' pixel centres, and which are valid."""
    raster = rasters.describe(path)
    part = np.searchsorted(tiles.offsets, ids, side="right") - 1
    side = tiles.size
    codes = np.zeros((len(ids), side, side), np.int32)
    valid = np.zeros((len(ids), side, side), bool)
    for number in np.unique(part):
        info = tiles.parts[number].info
        index = tiles.parts[number].index(["row", "col"])
        rows, cols = (index[name].to_numpy() for name in ("row", "col"))
        for here in _chunks(np.flatnonzero(part == number), side * side):
            own = ids[here] - tiles.offsets[number]
            xy = grid.pixel_centres(info["transform"], rows[own], cols[own], side).reshape(-1, 2)
            lonlat = places.to_lonlat(info["crs"], xy, str(tiles.parts[number].path))
            found, known = _classes_at(raster, lonlat)
            codes[here] = found.reshape(-1, side, side)
            valid[here] = known.reshape(-1, side, side)
    return codes, valid


def legend(raster: rasters.Raster, codes: Sequence[int] | Ints) -> list[str]:
    """The classes' names: the raster's own; else the Cropland Data Layer's, if its palette; else codes."""
    names = _category_names(raster.path)
    if not names and cdl.is_cdl(raster.colours):
        return [cdl.name(int(code)) for code in codes]
    return [names.get(int(code), "").strip() or str(code) for code in codes]


def _classes_at(raster: rasters.Raster, lonlat: Floats) -> tuple[Ints, Mask]:
    """(M,) class codes at places, and which are valid."""
    values, valid = sampling.sample(raster.path, lonlat)
    if values.dtype.kind == "f":
        values = np.where(valid, values, 0)
        if (values != np.rint(values)).any():
            odd = values[values != np.rint(values)][0]
            raise DataError(f"{raster.path}: holds values such as {odd:g}; whole class codes are needed.")
    codes = values.astype(np.int64)
    if codes.size and (codes.min() < -(2**31) or codes.max() >= 2**31):
        raise DataError(
            f"{raster.path}: holds values such as {codes.max()}; class codes of 32 bits are needed."
        )
    if cdl.is_cdl(raster.colours):
        valid &= ~np.isin(codes, cdl.NODATA)
    return codes, valid


# --- where to look -----------------------------------------------------------------------------


def _points_inside(raster: rasters.Raster, geometry: Geometry) -> Iterator[tuple[Ints, Floats]]:
    """Tile numbers (M,) and lon/lat (M, 2) of points inside the footprints, some tiles at a time."""
    kind = shapely.get_type_id(geometry)
    is_point = kind == 0
    is_quad = (kind == 3) & (shapely.get_num_coordinates(geometry) == 5)
    if is_point.any():
        here = np.flatnonzero(is_point)
        yield here, shapely.get_coordinates(geometry[here])
    if is_quad.any():
        here = np.flatnonzero(is_quad)
        corners = shapely.get_coordinates(geometry[here]).reshape(-1, 5, 2)[:, :4]
        across, down = _points_a_side(raster, corners)
        for chunk in _chunks(np.arange(len(here)), across * down):
            points = _between(corners[chunk], across, down)
            yield np.repeat(here[chunk], across * down), points.reshape(-1, 2)
    for number in np.flatnonzero(~is_point & ~is_quad):
        lonlat = _points_in_shape(raster, geometry[number])
        yield np.full(len(lonlat), number), lonlat


def _points_a_side(raster: rasters.Raster, corners: Floats) -> tuple[int, int]:
    """How many points to take along the first and the second side of (N, 4, 2) corners."""
    a, b, _, d, e, _ = raster.transform
    xy = places.from_lonlat(raster.crs, corners, raster.path)
    xy = xy[np.isfinite(xy).all(axis=(1, 2))]
    if not len(xy):
        return _LEAST_SIDE, _LEAST_SIDE
    pixels = (xy[:, 1:3] - xy[:, 0:2]) @ np.linalg.inv([[a, b], [d, e]]).T
    first, second = np.median(np.hypot(pixels[..., 0], pixels[..., 1]), axis=0)
    return _side(first), _side(second)


def _side(pixels: float) -> int:
    whole = max(1, round(pixels))
    return min(whole * math.ceil(_LEAST_SIDE / whole), _MOST_SIDE)


def _between(corners: Floats, across: int, down: int) -> Floats:
    """(N, across, down, 2) places on a regular grid inside (N, 4, 2) corners in ring order."""
    u = ((np.arange(across) + 0.5) / across)[:, None, None]
    v = ((np.arange(down) + 0.5) / down)[:, None]
    start, right, opposite, left = (corners[:, k, None, None] for k in range(4))
    return np.asarray((1 - v) * ((1 - u) * start + u * right) + v * ((1 - u) * left + u * opposite))


def _points_in_shape(raster: rasters.Raster, shape: shapely.Geometry) -> Floats:
    """Points of a regular grid that lie in a shape other than a tile's."""
    if shapely.bounds(shape)[2] - shapely.bounds(shape)[0] > 180:  # cut at the antimeridian
        joined = shapely.transform(shape, lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]]))
        west, south, east, north = shapely.bounds(joined)
    else:
        west, south, east, north = shapely.bounds(shape)
    corners = np.array([[[west, south], [east, south], [east, north], [west, north]]])
    grid = _between(corners, *_points_a_side(raster, corners)).reshape(-1, 2)
    grid[:, 0] = (grid[:, 0] + 180) % 360 - 180
    return np.asarray(grid[shapely.contains_xy(shape, grid)])


def _chunks(rows: Ints, points: int) -> list[Ints]:
    step = max(1, _POINTS // points)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


# --- names -------------------------------------------------------------------------------------


def _category_names(path: str) -> dict[int, str]:
    """Code -> name from GDAL's sidecar `<raster>.aux.xml`, or the VRT itself: categories, attribute table."""
    for file in (Path(f"{path}.aux.xml"), Path(path).with_suffix(".aux.xml"), Path(path)):
        if file.suffix.lower() in {".xml", ".vrt"} and file.is_file():
            try:
                root = ElementTree.parse(file).getroot()
            except (ElementTree.ParseError, OSError):
                continue  # names are a kindness: a broken sidecar does not stop the run
            band = next((b for b in root.iter() if "RasterBand" in b.tag), None)
            if band is not None:
                return _attribute_names(band) or _listed_names(band)
    return {}


def _listed_names(band: ElementTree.Element) -> dict[int, str]:
    listed = band.findall("CategoryNames/Category")
    return {code: name.text for code, name in enumerate(listed) if name.text}


def _attribute_names(band: ElementTree.Element) -> dict[int, str]:
    """From a raster attribute table, whose columns are told by their usage or, failing that, their name."""
    table = band.find("GDALRasterAttributeTable")
    if table is None:
        return {}
    fields = table.findall("FieldDefn")
    usage = [field.findtext("Usage", "0") for field in fields]
    title = [field.findtext("Name", "").casefold() for field in fields]
    value = _position(usage, ("5", "3"), title, ("value", "code"))  # GFU_MinMax, GFU_Min
    name = _position(
        usage, ("2",), title, ("class_name", "class_names", "class", "name", "label")
    )  # GFU_Name
    if value is None or name is None:
        return {}
    rows = [[cell.text or "" for cell in row.findall("F")] for row in table.findall("Row")]
    with suppress(ValueError):
        return {int(float(row[value])): row[name] for row in rows if len(row) == len(fields)}
    return {}


def _position(usage: list[str], kinds: Sequence[str], title: list[str], names: Sequence[str]) -> int | None:
    found = [usage.index(kind) for kind in kinds if kind in usage]
    found += [title.index(name) for name in names if name in title]
    return found[0] if found else None

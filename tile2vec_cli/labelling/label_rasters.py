"""Label rasters: the classes of pixels inside tiles, in any CRS and resolution, from one raster or many."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.errors import DataError, Tile2VecError
from tile2vec_cli.geo import antimeridian, geoparquet, grid, places, rasters, sampling
from tile2vec_cli.geo.grid import Floats, Ints, Transform
from tile2vec_cli.geo.scenes import open_scene
from tile2vec_cli.labelling import cdl, legends
from tile2vec_cli.labelling.legends import Legend
from tile2vec_cli.labelling.votes import Votes
from tile2vec_cli.tiling.tile_files import Mask
from tile2vec_cli.tiling.tiles import TileSet

Geometry = NDArray[np.object_]
Bounds = tuple[float, float, float, float]

_LEAST_SIDE = 8  # points along a tile's side; more where it spans more label pixels,
_MOST_SIDE = 256  # but no more than this: 65,536 points tell the shares of a tile well enough
_POINTS = 1 << 21  # at a time
_NAMED = 5  # rasters in an error
_SLACK = 0.02  # of its size, by which a raster may reach beyond the outline that is drawn of it


@dataclass(frozen=True)
class _Sheet:
    """What is kept of a raster whose pixels are yet to be read: there may be thousands."""

    path: str
    band: int
    crs: str | None
    transform: Transform
    has_alpha: bool  # beside the classes

    @classmethod
    def of(cls, raster: rasters.Raster, band: int | None) -> _Sheet:
        """band: the one that holds class codes; None: the only one. Errors as for `_class_band`."""
        band = _class_band(raster, band)
        return cls(raster.path, band, raster.crs, raster.transform, raster.alpha not in (None, band))


class LabelRasters:
    """Rasters on top of each other: a place has the class of the first one that is valid there.

    Raises, at birth, InputError or DataError that names all those that cannot be read or hold no class
    codes; DataError where their legends differ.
    """

    def __init__(self, labels: str | Path | LabelSource) -> None:
        self.source = LabelSource.of(labels)
        self._sheets: list[_Sheet] = []
        several = len(self.source.files) > 1
        tables, outlines, failed = [], [], []
        for path in self.source.files:
            try:
                raster = rasters.describe(path)
                self._sheets.append(_Sheet.of(raster, self.source.band))
                tables.append(legends.Table.of(raster, self._sheets[-1].band))
                if several:
                    outlines.append(_outline(raster))
            except Tile2VecError as error:
                failed.append(error)
        if failed:
            raise _all_of(failed)
        self.legend = Legend.of(tables)
        self._tree = shapely.STRtree(outlines) if several else None
        self._alpha: dict[str, str] = {}  # by path: what a band tagged alpha is
        self._used: set[str] = set()  # paths of rasters that label a tile
        self._disputed = 0

    def votes(self, geometry: Geometry) -> Votes:
        """One vote a label pixel inside each footprint, (N,) shapely geometries in lon/lat.

        Footprints are sampled on a regular grid as fine as the label pixels: where a footprint covers
        whole label pixels, each of them votes exactly once (or, below 8 a side, each equally often).
        Points have the vote of the pixel they lie in.
        Raises DataError where the rasters' values are no class codes.
        """
        tiles, codes, counts = [], [], []
        for rows, sheets in self._covered(geometry):
            for tile, lonlat in _points_inside(sheets, geometry[rows]):
                values, valid, disputed = self._classes_at(sheets, lonlat)
                self._disputed += len(np.unique(tile[disputed]))
                key = rows[tile[valid]] << 32 | (values[valid] + 2**31)
                key, count = np.unique(key, return_counts=True)
                tiles.append(key >> 32)
                codes.append((key & 0xFFFFFFFF) - 2**31)
                counts.append(count)
        code = np.concatenate([np.empty(0, np.int64), *codes])
        present, code = np.unique(code, return_inverse=True)
        names = self.legend.of_codes(present)
        classes = tuple(dict.fromkeys(names))  # codes of one name are one class
        merged = np.array([classes.index(name) for name in names], dtype=np.int64)
        return Votes(
            np.concatenate([np.empty(0, np.int64), *tiles]),
            merged[code],
            np.concatenate([np.empty(0, np.int64), *counts]),
            classes,
        )

    def tile_pixels(self, tiles: TileSet, ids: Ints) -> tuple[NDArray[np.int32], Mask]:
        """(B, S, S) class codes of the label pixels under the tiles' pixel centres, and which are valid."""
        part = np.searchsorted(tiles.offsets, ids, side="right") - 1
        side = tiles.size
        codes = np.zeros((len(ids), side, side), np.int32)
        valid = np.zeros((len(ids), side, side), bool)
        for number in np.unique(part):
            info, path = tiles.parts[number].info, str(tiles.parts[number].path)
            index = tiles.parts[number].index(["row", "col"])
            own = np.flatnonzero(part == number)
            rows, cols = (index[name].to_numpy()[ids[own] - tiles.offsets[number]] for name in ("row", "col"))
            corners = places.to_lonlat(
                info["crs"], grid.footprints(info["transform"], rows, cols, side), path
            )
            for some, sheets in self._covered(geoparquet.polygons(corners)):
                for here in _chunks(some, side * side):
                    xy = grid.pixel_centres(info["transform"], rows[here], cols[here], side).reshape(-1, 2)
                    lonlat = places.to_lonlat(info["crs"], xy, path)
                    found, known, disputed = self._classes_at(sheets, lonlat)
                    self._disputed += int(disputed.reshape(len(here), -1).any(axis=1).sum())
                    codes[own[here]] = found.reshape(-1, side, side)
                    valid[own[here]] = known.reshape(-1, side, side)
        return codes, valid

    def bounds(self) -> Bounds:
        """(west, south, east, north) in degrees."""
        each = zip(*(rasters.describe(sheet.path).bounds_lonlat for sheet in self._sheets), strict=True)
        west, south, east, north = each
        return min(west), min(south), max(east), max(north)

    def found(self) -> dict[str, int]:
        """How many rasters there are and label no tile, and tiles in which two disagree; {} of one raster."""
        if len(self._sheets) == 1:
            return {}
        return {
            "rasters": len(self._sheets),
            "without_tiles": len(self._sheets) - len(self._used),
            "tiles_disputed": self._disputed,
        }

    def _covered(self, geometry: Geometry) -> Iterator[tuple[Ints, list[_Sheet]]]:
        """Rows of footprints, and the rasters, in their order, that may cover them; in groups."""
        if self._tree is None:
            yield np.arange(len(geometry)), self._sheets
            return
        row, number = self._tree.query(geometry, predicate="intersects")
        order = np.lexsort((number, row))
        row, number = row[order], number[order]
        covered, starts = np.unique(row, return_index=True)
        groups: dict[tuple[int, ...], list[int]] = {}
        for tile, own in zip(covered.tolist(), np.split(number, starts[1:]), strict=True):
            groups.setdefault(tuple(own.tolist()), []).append(tile)
        for numbers, rows in sorted(groups.items()):
            yield np.array(rows), [self._sheets[k] for k in numbers]

    def _classes_at(self, sheets: Sequence[_Sheet], lonlat: Floats) -> tuple[Ints, Mask, Mask]:
        """(M,) class codes at places, which are valid, and at which two rasters disagree."""
        codes, valid = self._classes_of(sheets[0], lonlat)
        disputed = np.zeros(len(lonlat), bool)
        for sheet in sheets[1:]:
            found, known = self._classes_of(sheet, lonlat)
            other = np.flatnonzero(valid & known & (codes != found))
            if len(other):  # two codes may have one name
                pairs, which = np.unique(np.stack([codes[other], found[other]]), axis=1, return_inverse=True)
                first, second = (np.array(self.legend.of_codes(side), dtype=object) for side in pairs)
                disputed[other[(first != second)[which.ravel()]]] = True
            fresh = known & ~valid
            codes[fresh] = found[fresh]
            valid |= known
        return codes, valid, disputed

    def _classes_of(self, sheet: _Sheet, lonlat: Floats) -> tuple[Ints, Mask]:
        """(M,) class codes of one raster at places, and which are valid."""
        if sheet.has_alpha and sheet.path not in self._alpha:
            with open_scene(sheet.path, bands=(sheet.band,)) as scene:
                self._alpha[sheet.path] = scene.alpha or "auto"
        values, valid = sampling.sample(sheet.path, lonlat, sheet.band, self._alpha.get(sheet.path, "auto"))
        for fill in self.source.nodata:
            with np.errstate(over="ignore"):  # no value of float32 equals 1e39
                valid &= values != (values.dtype.type(fill) if values.dtype.kind == "f" else fill)
        values = np.where(valid, values, 0)
        if values.dtype.kind == "f" and (values != np.rint(values)).any():
            odd = values[values != np.rint(values)][0]
            raise DataError(f"{sheet.path}: holds values such as {odd:g}; whole class codes are needed.")
        codes = values.astype(np.int64)
        if codes.size and (codes.min() < -(2**31) or codes.max() >= 2**31):
            raise DataError(
                f"{sheet.path}: holds values such as {codes.max()}; class codes of 32 bits are needed."
            )
        if self.legend.is_cdl:
            valid &= ~np.isin(codes, cdl.NODATA)
        if valid.any():
            self._used.add(sheet.path)
        return codes, valid


def _all_of(failed: Sequence[Tile2VecError]) -> Tile2VecError:
    """The first error, which also names the files of the others."""
    first, names = failed[0], [str(error).partition(": ")[0] for error in failed[1:]]
    if not names:
        return first
    listed = ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)
    return type(first)(f"{first} {len(names):,} more label rasters cannot be used: {listed}.")


def _class_band(raster: rasters.Raster, asked: int | None) -> int:
    """The band that holds class codes. Raises DataError where none does, or it is not known which."""
    if asked is not None:
        if asked > raster.count:
            raise DataError(
                f"{raster.path}: has {raster.count} bands, no band {asked}. "
                f"Name a band from 1 to {raster.count} in --label-band."
            )
        return asked
    bands = [band for band in range(1, raster.count + 1) if raster.count == 1 or band != raster.alpha]
    if len(bands) == 1:
        return bands[0]
    if {"red", "green", "blue"} <= set(raster.meanings):
        raise DataError(
            f"{raster.path}: is a picture, {raster.count} bands ({', '.join(raster.meanings)}); one band of "
            "class codes is needed. Give the raster it was drawn from, or name the band with --label-band."
        )
    raise DataError(
        f"{raster.path}: has {raster.count} bands; the one that holds class codes is needed. "
        f"Name it with --label-band, from 1 to {raster.count}."
    )


def _outline(raster: rasters.Raster) -> Any:
    """What a raster covers in longitude and latitude, a little more rather than less."""
    step = np.linspace(0, 1, 20, endpoint=False)
    none, all_ = np.zeros_like(step), np.ones_like(step)
    rows = np.concatenate([none, step, all_, 1 - step]) * raster.height
    cols = np.concatenate([step, all_, 1 - step, none]) * raster.width
    ring = raster.lonlat(rows, cols)
    if not np.isfinite(ring).all():  # part of it is no place on the Earth
        return shapely.box(-180, -90, 180, 90)
    shape = shapely.make_valid(antimeridian.wrapped(np.array([shapely.Polygon(ring)], dtype=object))[0])
    return shapely.buffer(shape, _SLACK * shape.length / 4, join_style="mitre")


# --- where to look -----------------------------------------------------------------------------


def _points_inside(sheets: Sequence[_Sheet], geometry: Geometry) -> Iterator[tuple[Ints, Floats]]:
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
        across, down = _points_a_side(sheets, corners)
        for chunk in _chunks(np.arange(len(here)), across * down):
            points = _between(corners[chunk], across, down)
            yield np.repeat(here[chunk], across * down), points.reshape(-1, 2)
    for number in np.flatnonzero(~is_point & ~is_quad):
        lonlat = _points_in_shape(sheets, geometry[number])
        yield np.full(len(lonlat), number), lonlat


def _points_a_side(sheets: Sequence[_Sheet], corners: Floats) -> tuple[int, int]:
    """How many points to take along the first and the second side of (N, 4, 2) corners."""
    sides = []
    for sheet in sheets:
        a, b, _, d, e, _ = sheet.transform
        xy = places.from_lonlat(sheet.crs, corners, sheet.path)
        xy = xy[np.isfinite(xy).all(axis=(1, 2))]
        if not len(xy):
            continue
        pixels = (xy[:, 1:3] - xy[:, 0:2]) @ np.linalg.inv([[a, b], [d, e]]).T
        sides.append(np.median(np.hypot(pixels[..., 0], pixels[..., 1]), axis=0))
    if not sides:
        return _LEAST_SIDE, _LEAST_SIDE
    first, second = np.max(sides, axis=0)
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


def _points_in_shape(sheets: Sequence[_Sheet], shape: shapely.Geometry) -> Floats:
    """Points of a regular grid that lie in a shape other than a tile's."""
    if shapely.bounds(shape)[2] - shapely.bounds(shape)[0] > 180:  # cut at the antimeridian
        joined = shapely.transform(shape, lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]]))
        west, south, east, north = shapely.bounds(joined)
    else:
        west, south, east, north = shapely.bounds(shape)
    corners = np.array([[[west, south], [east, south], [east, north], [west, north]]])
    grid = _between(corners, *_points_a_side(sheets, corners)).reshape(-1, 2)
    grid[:, 0] = (grid[:, 0] + 180) % 360 - 180
    return np.asarray(grid[shapely.contains_xy(shape, grid)])


def _chunks(rows: Ints, points: int) -> list[Ints]:
    step = max(1, _POINTS // points)
    return [rows[start : start + step] for start in range(0, len(rows), step)]

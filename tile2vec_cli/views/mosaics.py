"""Tiles as pixels: one value per tile on a map as coarse as the tiles, one map per CRS.

With a tile set the maps are in the CRSs of its scenes. Without one they are in longitude and latitude
where the footprints are boxes there, else in the UTM zone around each scene, in which the tiles of most
scenes stand in rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import outlines, places
from tile2vec_cli.geo.grid import Floats, Ints, Transform
from tile2vec_cli.tiling.tiles import TileSet

MOST_PIXELS = 1 << 28  # of a map; where tiles lie so far apart that it would have more, pixels are coarser
_STRIP = 1 << 22  # pixels in memory at a time
_BOX = 1e-7  # share of its bounding box by which a box in longitude and latitude may be smaller
_ROUNDING = 1e-3  # of a pixel: how far tiles of one grid stray from it
_ASTRAY = 0.1  # of a tile: how far tiles may lie from the rows and columns of their scene
_MOST_SIDE = 16  # pixels along a side of the coarsest tile
_NAT = np.datetime64("NaT", "ms")

LONLAT = "OGC:CRS84"


@dataclass(frozen=True)
class _Lattice:
    """The CRS of a scene's map, and how far its tiles are apart there."""

    crs: str
    step: tuple[float, float]  # x, y, in units of the CRS


@dataclass(frozen=True)
class Mosaic:
    """The map of one CRS: M of its pixels hold a tile."""

    crs: str
    height: int
    width: int
    transform: Transform
    row: Ints = field(repr=False)  # (M,) ascending
    col: Ints = field(repr=False)
    tile: Ints = field(repr=False)  # (M,) row numbers in the embeddings
    aside: float = 0.0  # how far tiles lie off this grid, in pixels; one in a hundred lies further

    @property
    def pixel(self) -> tuple[float, float]:
        """Its size in units of the CRS."""
        return self.transform[0], -self.transform[4]

    def strips(self, colours: NDArray[np.uint8]) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
        """Row, column and (H, W, 4) red, green, blue, alpha of what holds tiles; colours: (N, 3) of all."""
        height = max(1, _STRIP // self.width)
        for top in range(0, self.height, height):
            first, last = np.searchsorted(self.row, [top, top + height])
            if first == last:
                continue
            row, col = self.row[first:last] - top, self.col[first:last]
            left = int(col.min())
            strip = np.zeros((int(row.max()) + 1, int(col.max()) + 1 - left, 4), np.uint8)
            strip[row, col - left] = np.column_stack(
                [colours[self.tile[first:last]], np.full(last - first, 255, np.uint8)]
            )
            yield top, left, strip

    def whole(self, values: NDArray[Any], empty: float) -> Iterator[tuple[int, NDArray[Any]]]:
        """First row and (H, W) of strips of all pixels, `empty` where there is no tile; values: (N,)."""
        height = max(1, _STRIP // self.width)
        for top in range(0, self.height, height):
            here = slice(*np.searchsorted(self.row, [top, top + height]))
            strip = np.full((min(height, self.height - top), self.width), empty, values.dtype)
            strip[self.row[here] - top, self.col[here]] = values[self.tile[here]]
            yield top, strip


class Placing:
    """Where tiles lie that come some at a time."""

    def __init__(self, tiles: TileSet | None = None) -> None:
        self._tiles = tiles
        self._lattices: dict[str, _Lattice] = {}  # of scenes
        self._numbers: dict[str, int] = {}  # of scenes
        self._scene: list[NDArray[np.int32]] = []
        self._xy: list[Floats] = []
        self._time: list[NDArray[np.datetime64]] = []
        if tiles is not None:
            stride = tiles.settings["stride"]
            for part in tiles.parts:
                a, b, _, d, e, _ = part.info["transform"]
                step = (stride * float(np.hypot(a, d)), stride * float(np.hypot(b, e)))
                self._lattices[part.scene] = _Lattice(part.info["crs"], step)

    def add(self, rows: Embeddings) -> None:
        """Raises DataError for a scene that the tile set does not hold."""
        geometry, time = rows.geometry, rows.datetime
        lonlat = outlines.centres(geometry)
        names, scene = np.unique(_scenes(rows, lonlat, self._tiles), return_inverse=True)
        xy = np.empty((len(rows), 2))
        numbers = []
        for number, name in enumerate(names.tolist()):
            own = np.flatnonzero(scene == number)
            if name not in self._lattices:
                self._lattices[name] = self._found(geometry[own], lonlat[own], name)
            crs = self._lattices[name].crs
            xy[own] = lonlat[own] if crs == LONLAT else places.from_lonlat(crs, lonlat[own], name)
            numbers.append(self._numbers.setdefault(name, len(self._numbers)))
        self._scene.append(np.array(numbers, np.int32)[scene])
        self._xy.append(xy)
        self._time.append(np.full(len(rows), _NAT) if time is None else time)

    def add_all(self, embeddings: Embeddings) -> None:
        for here in embeddings.chunks():
            self.add(embeddings.places(here))

    def _found(self, geometry: NDArray[np.object_], lonlat: Floats, name: str) -> _Lattice:
        if self._tiles is not None:
            raise DataError(
                f"{self._tiles.path}: holds no scene {name}; the tile set that was embedded is needed. "
                "Give that one with --tiles."
            )
        return _lattice(geometry, lonlat)

    def require_grids(self, embeddings: str) -> None:
        """Raise DataError, naming them, where the tiles of a scene don't stand in rows and columns."""
        scene, xy = np.concatenate(self._scene), np.concatenate(self._xy)
        for name, number in self._numbers.items():
            own, lattice = xy[scene == number], self._lattices[name]
            cells = (own - own[0]) / lattice.step
            astray = float(np.abs(cells - np.rint(cells)).max())
            if not astray <= _ASTRAY:  # NaN, too
                advice = "Write" if self._tiles else "Give --tiles, which say their CRS, or write"
                raise DataError(
                    f"{embeddings}: the tiles of {name} lie on no grid in {places.crs_name(lattice.crs)}, "
                    f"up to {astray:.0%} of a tile aside; a map needs rows and columns. {advice} a table "
                    "instead."
                )

    def mosaics(self) -> list[Mosaic]:
        """One map per CRS, in the order of their first tiles.

        Where several tiles would have one pixel, it is the newest one's; without dates, that of the last
        in the embeddings. A tile much coarser than most has several pixels.
        """
        scene, xy, time = np.concatenate(self._scene), np.concatenate(self._xy), np.concatenate(self._time)
        lattices = [self._lattices[name] for name in self._numbers]
        steps = np.array([one.step for one in lattices])
        codes = [_code(one.crs) for one in lattices]
        first = {code: one.crs for code, one in reversed([*zip(codes, lattices, strict=True)])}
        own = np.array(codes, dtype=object)[scene]
        found = []
        for code in dict.fromkeys(codes):
            tiles = np.flatnonzero(own == code)
            found.append(_mosaic(first[code], tiles, xy[tiles], steps[scene[tiles]], time[tiles]))
        return found


def _code(crs: str) -> str:
    """The same for one CRS in several spellings, where it has a code."""
    name = places.crs_name(crs)
    return name if name.startswith("EPSG:") else crs


def _scenes(rows: Embeddings, lonlat: Floats, tiles: TileSet | None) -> NDArray[Any]:
    names = rows.scene
    if names is not None:
        return names.astype(str)
    if tiles is not None:
        raise DataError(
            f"{rows.name}: has no column scene; --tiles needs it to find a tile's CRS. "
            "Leave --tiles out, or give embeddings of `tile2vec embed`."
        )
    # Other people's: as if the tiles of a UTM zone were a scene.
    return np.array([places.utm(place) for place in lonlat])


def _lattice(geometry: NDArray[np.object_], lonlat: Floats) -> _Lattice:
    """That of a scene whose CRS is not known, from some of its footprints or points, (N,) in lon/lat."""
    bounds = shapely.bounds(geometry)
    area = (bounds[:, 2] - bounds[:, 0]) * (bounds[:, 3] - bounds[:, 1])
    if (area > 0).any() and np.median(shapely.area(geometry) / np.where(area > 0, area, 1)) > 1 - _BOX:
        side = np.median(bounds[:, 2:] - bounds[:, :2], axis=0)
        return _Lattice(LONLAT, _spaced(lonlat, side))
    crs = places.utm(np.median(lonlat, axis=0))
    on_map = shapely.transform(geometry, lambda xy: places.from_lonlat(crs, xy, crs))
    side = np.median(np.sqrt(shapely.area(on_map)))
    return _Lattice(crs, _spaced(places.from_lonlat(crs, lonlat, crs), np.array([side, side])))


def _spaced(xy: Floats, side: Floats) -> tuple[float, float]:
    """How far tiles of such sides (2,) are apart: less than that where they overlap. Points have no sides."""
    is_area = bool((side > 0).all())
    unit = side if is_area else np.ones(2)
    # Several dates of one place count once.
    _, first = np.unique(np.rint(xy / unit / _ROUNDING), axis=0, return_index=True)
    apart = 1.0
    if len(first) > 1:
        apart = float(np.median(cKDTree(xy[first] / unit).query(xy[first] / unit, k=2)[0][:, 1]))
    share = min(1.0, apart) if is_area else apart
    return float(unit[0] * share), float(unit[1] * share)


def _mosaic(crs: str, tiles: Ints, xy: Floats, steps: Floats, time: NDArray[np.datetime64]) -> Mosaic:
    """tiles: (N,) row numbers; xy: (N, 2) centres in the CRS; steps: (N, 2); time: (N,)."""
    if places.is_geographic(crs) and np.ptp(xy[:, 0]) > 180:
        xy[:, 0] %= 360  # across the antimeridian
    # As most tiles are, or coarser: where they differ widely a tile would have more pixels than are worth it.
    pixel = np.maximum(np.percentile(steps, 50, axis=0, method="lower"), steps.max(axis=0) / _MOST_SIDE)
    corner = xy + steps * (-0.5, 0.5)  # upper left
    # On the grid of the first tile; tiles of other grids lie up to half a pixel aside.
    steps_away = (corner - corner[0]) / pixel * (1, -1)
    cells = np.floor(steps_away + 0.5 + _ROUNDING).astype(np.int64)
    aside = float(np.quantile(np.abs(steps_away - cells).max(axis=1), 0.99))
    low = cells.min(axis=0)
    origin = corner[0] + low * pixel * (1, -1)
    cells -= low
    sides = np.maximum(1, np.rint(steps[:, 0] / pixel[0])).astype(np.int64)
    width, height = (cells + sides[:, None]).max(axis=0).tolist()
    coarser = int(np.ceil(np.sqrt(max(1.0, width * height / MOST_PIXELS))))
    cells, sides, pixel = cells // coarser, np.maximum(1, sides // coarser), pixel * coarser
    width, height = -(-width // coarser), -(-height // coarser)
    tiles, col, row, time = _spread(tiles, cells, sides, time)
    inside = (row < height) & (col < width)
    tiles, col, row, time = tiles[inside], col[inside], row[inside], time[inside]
    # NaT would come last.
    age = np.where(np.isnat(time), np.iinfo(np.int64).min, time.astype(np.int64))
    order = np.lexsort((tiles, age, col, row))
    cell = (row * width + col)[order]
    order = order[np.append(cell[1:] != cell[:-1], True)]
    transform = (float(pixel[0]), 0.0, float(origin[0]), 0.0, float(-pixel[1]), float(origin[1]))
    return Mosaic(crs, height, width, transform, row[order], col[order], tiles[order], aside)


def _spread(
    tiles: Ints, cells: Ints, sides: Ints, time: NDArray[np.datetime64]
) -> tuple[Ints, Ints, Ints, NDArray[np.datetime64]]:
    """Each tile as often as it has pixels: its row number, column, row and time."""
    if (sides == 1).all():
        return tiles, cells[:, 0], cells[:, 1], time
    which = np.repeat(np.arange(len(tiles)), sides**2)
    within = np.arange(len(which)) - np.repeat(np.cumsum(sides**2) - sides**2, sides**2)
    down, across = np.divmod(within, sides[which])
    return tiles[which], cells[which, 0] + across, cells[which, 1] + down, time[which]


def names(mosaics: Sequence[Mosaic], path: Path) -> list[Path]:
    """A file a map: the path itself, or, where there are several, PATH-EPSG_26910.tif and its like."""
    if len(mosaics) == 1:
        return [path]
    found: list[str] = []
    for mosaic in mosaics:
        letters = (c if c.isalnum() else "_" for c in places.crs_name(mosaic.crs))
        name = "".join(letters)
        found.append(name if name not in found else f"{name}_{len(found) + 1}")
    return [path.with_name(f"{path.stem}-{name}{path.suffix}") for name in found]

"""What a raster says of itself, without its pixels, and where it lies. `rasters.py` reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Bounds, Floats, Transform, map_xy
from tile2vec_cli.geo.places import ground_m, to_lonlat


@dataclass(frozen=True)
class Raster:
    """The header of one raster."""

    path: str
    height: int
    width: int
    count: int
    dtype: str
    crs: str | None  # WKT
    transform: Transform
    nodata: tuple[float | None, ...]  # one per band, where its pixels can hold it
    declared: tuple[float | None, ...]  # the same, whether they can or not
    block: tuple[int, int]  # (rows, columns) GDAL reads at a time
    alpha: int | None  # the band (1-based) tagged alpha
    meanings: tuple[str, ...]  # of the bands, as they are shown: red, gray, palette, undefined, …
    has_mask: bool  # a mask band beside the data
    descriptions: tuple[str | None, ...]
    scaling: tuple[tuple[float, float], ...]  # scale and offset per band; (1, 0) where none is declared
    datetime: datetime | None
    colours: dict[int, tuple[int, int, int]]  # of band 1's palette

    @cached_property
    def is_georeferenced(self) -> bool:
        return self.crs is not None and self.transform != (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    def lonlat(self, rows: Floats, cols: Floats) -> Floats:
        """(N, 2) places of points given in pixels, where (0, 0) is the upper left corner."""
        return to_lonlat(self.crs, map_xy(self.transform, rows, cols), self.path)

    @cached_property
    def bounds_lonlat(self) -> Bounds:
        """(west, south, east, north) in degrees, from points along the edges."""
        steps, ends = np.linspace(0, 1, 21), np.array([0.0, 1.0])
        rows = np.concatenate([np.repeat(ends, 21), np.tile(steps, 2)]) * self.height
        cols = np.concatenate([np.tile(steps, 2), np.repeat(ends, 21)]) * self.width
        places = self.lonlat(rows, cols)
        places = places[np.isfinite(places).all(axis=1)]
        if not len(places):
            raise DataError(f"{self.path}: none of it lies on the Earth. Repair its georeferencing.")
        low, high = places.min(axis=0), places.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @cached_property
    def resolution_m(self) -> float:
        """Ground metres per pixel at the raster's centre: the root of a pixel's area."""
        row, col = self.height / 2, self.width / 2
        places = self.lonlat(np.array([row, row, row + 1]), np.array([col, col + 1, col]))
        across, down = ground_m(places[[0]], places[[1]]), ground_m(places[[0]], places[[2]])
        return float(math.sqrt(across[0] * down[0]))

"""Where tiles lie: windows in a scene, corners on the map, places on the Earth. Pure arithmetic.

Pixels are (row, col), maps (x, y), places (longitude, latitude) in degrees on WGS 84.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Geometry = NDArray[np.object_]  # of shapely
Bounds = tuple[float, float, float, float]  # left, bottom, right, top
Window = tuple[tuple[int, int], tuple[int, int]]  # half-open rows and columns
Transform = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): x = a col + b row + c, y = d col + e row + f, at the pixels' upper left corners."""

SEMI_MAJOR_M = 6_378_137.0
FLATTENING = 1 / 298.257223563
ECCENTRICITY_SQUARED = FLATTENING * (2 - FLATTENING)
METRES_PER_DEGREE = np.pi / 180 * SEMI_MAJOR_M


@dataclass(frozen=True)
class Grid:
    """The tiles of one scene: whole windows only, stepping by `stride` from (row0, col0)."""

    height: int  # of the scene, in pixels
    width: int
    size: int  # side of a tile in pixels
    stride: int
    row0: int = 0
    col0: int = 0

    @property
    def rows(self) -> Ints:
        """First pixel row of each row of tiles."""
        return np.arange(self.row0, self.height - self.size + 1, self.stride, dtype=np.int64)

    @property
    def cols(self) -> Ints:
        """First pixel column of each column of tiles."""
        return np.arange(self.col0, self.width - self.size + 1, self.stride, dtype=np.int64)


def snapped_start(transform: Transform, size: int) -> tuple[int, int]:
    """(row, col) of the first pixel whose map coordinates are multiples of a tile's side.

    To the nearest pixel, so that scenes of one place whose corners differ get the same tiles.
    Needs a transform without rotation.
    """
    a, _, c, _, e, f = transform
    row, col = (-f / e) % size, (-c / a) % size
    return round(row) % size, round(col) % size


def map_xy(transform: Transform, rows: Floats | Ints, cols: Floats | Ints) -> Floats:
    """(..., 2) map coordinates of points given in pixels, where (0, 0) is the upper left corner."""
    a, b, c, d, e, f = transform
    return np.stack([a * cols + b * rows + c, d * cols + e * rows + f], axis=-1)


def footprints(transform: Transform, rows: Ints, cols: Ints, size: int) -> Floats:
    """(N, 4, 2) map corners of the tiles whose first pixels are (rows, cols), as a closed path would run.

    Counter-clockwise where the scene has north at the top.
    """
    row = rows[:, None] + np.array([size, size, 0, 0])
    col = cols[:, None] + np.array([0, size, size, 0])
    return map_xy(transform, row, col)


def pixel_centres(transform: Transform, rows: Ints, cols: Ints, size: int) -> Floats:
    """(N, size, size, 2) map coordinates of the centres of the pixels of tiles that begin at (rows, cols)."""
    step = np.arange(size) + 0.5
    row, col = np.broadcast_arrays(rows[:, None, None] + step[:, None], cols[:, None, None] + step)
    return map_xy(transform, row, col)


def ecef(lonlat: Floats) -> Floats:
    """(N, 3) earth-centred coordinates in metres of (N, 2) places on the WGS 84 ellipsoid."""
    lon, lat = np.radians(lonlat[:, 0]), np.radians(lonlat[:, 1])
    normal = SEMI_MAJOR_M / np.sqrt(1 - ECCENTRICITY_SQUARED * np.sin(lat) ** 2)
    x = normal * np.cos(lat) * np.cos(lon)
    y = normal * np.cos(lat) * np.sin(lon)
    z = normal * (1 - ECCENTRICITY_SQUARED) * np.sin(lat)
    return np.stack([x, y, z], axis=-1)


def spatial_blocks(lonlat: Floats, block_m: float) -> Ints:
    """(N,) number of the block of about `block_m` × `block_m` metres that holds each of (N, 2) places.

    Bands of latitude, each cut into cells as wide as the band is high. A place has the same block
    in every data set, so that splits made at different times agree.
    """
    lon, lat = lonlat[:, 0], lonlat[:, 1]
    band = np.floor((lat + 90) * METRES_PER_DEGREE / block_m)
    middle = np.radians((band + 0.5) * block_m / METRES_PER_DEGREE - 90)
    cell = np.floor(((lon + 180) % 360) * METRES_PER_DEGREE * np.maximum(np.cos(middle), 0) / block_m)
    return band.astype(np.int64) * 2**32 + cell.astype(np.int64)


def block_numbers(lonlat: Floats, block_m: float) -> Ints:
    """(N,) the same blocks, numbered from 0 without gaps."""
    return np.unique(spatial_blocks(lonlat, block_m), return_inverse=True)[1].astype(np.int64)

"""Values of a raster at places on the Earth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import fills
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.geo.places import from_lonlat
from tile2vec_cli.geo.rasters import Raster
from tile2vec_cli.geo.scenes import Mask, Pixels, open_scene


def sample(path: str, lonlat: Floats, band: int = 1, alpha: str = "auto") -> tuple[Pixels, Mask]:
    """Values (N,) of a band at the nearest pixel to each of (N, 2) places, and whether each is valid.

    alpha: as for a scene. Reads strips of whole blocks in order, so memory stays bounded and a block is
    decoded once.
    """
    with open_scene(path, bands=(band,), alpha=alpha) as scene:
        raster = scene.raster
        if raster.crs is None:
            raise DataError(f"{path}: has no CRS; labels need one. Assign it with `rio edit-info --crs`.")
        if scene.foreign_nodata is not None:
            fills.remark([f"{scene.foreign_nodata:g} in {path}"], "--label-nodata")
        values = np.zeros(len(lonlat), scene.dtype)
        valid = np.zeros(len(lonlat), bool)
        row, col = _pixels_at(raster, lonlat)
        inside = np.flatnonzero((row >= 0) & (row < raster.height) & (col >= 0) & (col < raster.width))
        strip = max(raster.block[0], (1 << 22) // raster.width, 1)
        strip = -(-strip // raster.block[0]) * raster.block[0]
        inside = inside[np.argsort(row[inside] // strip, kind="stable")]
        numbers = row[inside] // strip
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        for start, stop in zip(starts, np.append(starts, len(inside))[1:], strict=True):
            here = inside[start:stop]
            row0, row1 = int(row[here].min()), int(row[here].max()) + 1
            col0, col1 = int(col[here].min()), int(col[here].max()) + 1
            pixels, mask = scene.read(row0, row1, col0, col1)
            values[here] = pixels[0, row[here] - row0, col[here] - col0]
            valid[here] = True if mask is None else mask[row[here] - row0, col[here] - col0]
    return values, valid


def _pixels_at(raster: Raster, lonlat: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    a, b, c, d, e, f = raster.transform
    middle = a * raster.width / 2 + b * raster.height / 2 + c
    xy = from_lonlat(raster.crs, lonlat, raster.path, middle)
    x, y = xy[:, 0] - c, xy[:, 1] - f
    area = a * e - b * d
    with np.errstate(invalid="ignore"):  # 0 times infinity
        col, row = (e * x - b * y) / area, (a * y - d * x) / area
    # A place on the edge of a pixel must not fall out of it by rounding; unreachable ones are infinite.
    edge = 1e-6
    col = np.where(np.isfinite(col), np.clip(np.floor(col + edge), -1, raster.width), -1)
    row = np.where(np.isfinite(row), np.clip(np.floor(row + edge), -1, raster.height), -1)
    return row.astype(np.int64), col.astype(np.int64)

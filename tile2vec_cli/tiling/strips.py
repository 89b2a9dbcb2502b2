"""Scenes read in strips of whole tile rows, and strips cut into tiles.

Strips, not windows: reading a window for each tile decodes the blocks around it again and again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.grid import Floats, Grid, Ints, footprints
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.places import to_lonlat
from tile2vec_cli.geo.scenes import Mask, Pixels, Scene

_STRIP_BYTES = 32 << 20
_QUICK_BYTES = 4 << 20
_GRACE_S = 5.0  # for a read to end behind a signal; ten seconds are promised in all

# Why a tile is left out.
_TOO_SMALL = "scene smaller than a tile"
_OFF_EARTH = "off the Earth"
_OUTSIDE = "outside the area of interest"
_INVALID = "too few valid pixels"


@dataclass(frozen=True)
class Tiles:
    """Some tiles of one scene."""

    pixels: Pixels  # (n, C, S, S)
    valid: Mask | None  # (n, S, S); None: all are valid
    rows: Ints  # (n,) first pixel
    cols: Ints
    corners: Floats  # (n, 4, 2) longitude and latitude
    shares: NDArray[np.float32]  # (n,) of valid pixels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Mask) -> Tiles:
        return Tiles(
            self.pixels[chosen],
            None if self.valid is None else self.valid[chosen],
            self.rows[chosen],
            self.cols[chosen],
            self.corners[chosen],
            self.shares[chosen],
        )


def read(
    scene: Scene, grid: Grid, config: TileConfig, aoi: Any, skipped: Counter[str], *, first: int, last: int
) -> Iterator[tuple[Tiles | None, int]]:
    """Tiles to keep (or None) of the grid's rows `first` to `last`, strip by strip; how many were looked at.

    Tiles left out are counted in `skipped`, by reason. `aoi` is a shapely area in longitude and
    latitude, or None; strips that lie outside of it are not read.
    """
    rows = grid.rows[first:last]
    if not len(rows) or not len(grid.cols):
        skipped[_TOO_SMALL] += 1
        return
    strips = groups(scene, rows, grid.size)
    if len(strips) == 1 and is_quick(scene):
        tiles, left_out = _tiles(scene, grid, strips[0], config, aoi)
        skipped.update(left_out)
        yield tiles, len(rows) * len(grid.cols)
        return
    ahead = ThreadPoolExecutor(1)  # makes the next strip's tiles while these are used
    coming = ahead.submit(_tiles, scene, grid, strips[0], config, aoi)
    try:
        for number, strip in enumerate(strips):
            tiles, left_out = coming.result()
            if number + 1 < len(strips):
                coming = ahead.submit(_tiles, scene, grid, strips[number + 1], config, aoi)
            skipped.update(left_out)
            yield tiles, len(strip) * len(grid.cols)
    finally:
        ahead.shutdown(wait=False)
        wait([coming], timeout=_GRACE_S)


def is_quick(scene: Scene) -> bool:
    """Whether a thread costs more than reading it all, for which a signal can wait. VRTs may lie afar."""
    path = scene.path
    return scene.nbytes <= _QUICK_BYTES and not is_remote(path) and not path.lower().endswith(".vrt")


def groups(scene: Scene, rows: Ints, size: int) -> list[Ints]:
    """Rows of tiles (first pixels, rising) by strip: as many as cover whole blocks where memory allows."""
    row_bytes = scene.raster.width * len(scene.bands) * scene.dtype.itemsize
    high = max(scene.raster.block[0], size, _STRIP_BYTES // row_bytes)
    high = min(high, max(size, 4 * _STRIP_BYTES // row_bytes))
    numbers = (rows - rows[0]) // high
    return np.split(rows, np.flatnonzero(np.diff(numbers)) + 1)


def _tiles(
    scene: Scene, grid: Grid, strip: Ints, config: TileConfig, aoi: Any
) -> tuple[Tiles | None, Counter[str]]:
    """Tiles to keep of one strip (None: it was not even read), and those left out, by reason."""
    rows, cols = np.repeat(strip, len(grid.cols)), np.tile(grid.cols, len(strip))
    raster = scene.raster
    corners = to_lonlat(raster.crs, footprints(raster.transform, rows, cols, grid.size), raster.path)
    on_earth = np.isfinite(corners).all(axis=(1, 2))
    inside = np.array(on_earth)
    if aoi is not None:
        middle = outlines.centres(outlines.polygons(corners[on_earth]))
        inside[on_earth] = shapely.contains_xy(aoi, middle[:, 0], middle[:, 1])
    left_out = Counter({_OFF_EARTH: int((~on_earth).sum()), _OUTSIDE: int((on_earth & ~inside).sum())})
    if not inside.any():
        return None, left_out
    pixels, valid = scene.read(int(strip[0]), int(strip[-1]) + grid.size)
    masks = None if valid is None else _windows(valid[None], grid, strip)[:, 0]
    shares = np.ones(len(rows), np.float32)
    if masks is not None:
        shares = masks.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
    # A tile without one valid pixel says nothing, whatever --min-valid allows.
    whole = (shares >= np.float32(config.min_valid)) & (shares > 0)
    tiles = Tiles(_windows(pixels, grid, strip), masks, rows, cols, corners, shares)
    left_out[_INVALID] = int((inside & ~whole).sum())
    keep = inside & whole
    return tiles if keep.all() else tiles[keep], left_out


def _windows(pixels: Pixels, grid: Grid, strip: Ints) -> Pixels:
    """(n, C, S, S): the windows of (C, H, W), row by row, where pixels begin at the strip's first row."""
    view = sliding_window_view(pixels, (grid.size, grid.size), axis=(1, 2))
    view = view[:, :: grid.stride, grid.col0 :: grid.stride][:, : len(strip), : len(grid.cols)]
    return np.ascontiguousarray(view.transpose(1, 2, 0, 3, 4)).reshape(-1, len(pixels), *view.shape[3:])

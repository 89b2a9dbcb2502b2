"""Scenes read in strips of whole tile rows, and strips cut into tiles.

Strips, not windows: reading a window for each tile decodes the blocks around it again and again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tile2vec_cli import geoparquet
from tile2vec_cli.config import TileConfig
from tile2vec_cli.grid import Floats, Grid, Ints, footprints
from tile2vec_cli.places import to_lonlat
from tile2vec_cli.rasters import Raster
from tile2vec_cli.scenes import Mask, Pixels, Scene

_STRIP_BYTES = 32 << 20


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
) -> Iterator[tuple[Tiles, int]]:
    """Tiles to keep, strip by strip, from rows `first` to `last` of the grid, and how many were looked at.

    Tiles left out are counted in `skipped`, by reason. `aoi` is a shapely area in longitude and
    latitude, or None.
    """
    rows, cols = grid.rows[first:last], grid.cols
    if not len(rows) or not len(cols):
        skipped["scene smaller than a tile"] += 1
        return
    strips = _strips(scene, rows, grid.size)
    with ThreadPoolExecutor(1) as ahead:  # decodes the next strip while this one is used
        reading = ahead.submit(_read_strip, scene, strips[0], grid.size)
        for number, strip in enumerate(strips):
            pixels, valid = reading.result()
            if number + 1 < len(strips):
                reading = ahead.submit(_read_strip, scene, strips[number + 1], grid.size)
            tiles = _tiles(scene.raster, pixels, valid, strip, cols, grid)
            del pixels, valid
            yield _kept(tiles, config, aoi, skipped), len(tiles)


def _strips(scene: Scene, rows: Ints, size: int) -> list[Ints]:
    """Rows of tiles in groups that cover whole blocks where memory allows."""
    row_bytes = scene.raster.width * len(scene.bands) * scene.dtype.itemsize
    high = max(scene.raster.block[0], size, _STRIP_BYTES // row_bytes)
    high = min(high, max(size, 4 * _STRIP_BYTES // row_bytes))
    numbers = (rows - rows[0]) // high
    return np.split(rows, np.flatnonzero(np.diff(numbers)) + 1)


def _read_strip(scene: Scene, rows: Ints, size: int) -> tuple[Pixels, Mask | None]:
    return scene.read(int(rows[0]), int(rows[-1]) + size)


def _tiles(raster: Raster, pixels: Pixels, valid: Mask | None, rows: Ints, cols: Ints, grid: Grid) -> Tiles:
    """All tiles of a strip (C, H, W) that begins at rows[0]."""
    masks = None if valid is None else _windows(valid[None], grid, len(rows), len(cols))[:, 0]
    shares = np.ones(len(rows) * len(cols), np.float32)
    if masks is not None:
        shares = masks.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
    windows = _windows(pixels, grid, len(rows), len(cols))
    row, col = np.repeat(rows, len(cols)), np.tile(cols, len(rows))
    corners = to_lonlat(raster.crs, footprints(raster.transform, row, col, grid.size), raster.path)
    return Tiles(windows, masks, row, col, corners, shares)


def _windows(pixels: Pixels, grid: Grid, down: int, across: int) -> Pixels:
    """(down × across, C, S, S): the windows of (C, H, W), row by row."""
    view = sliding_window_view(pixels, (grid.size, grid.size), axis=(1, 2))
    view = view[:, :: grid.stride, grid.col0 :: grid.stride][:, :down, :across]
    return np.ascontiguousarray(view.transpose(1, 2, 0, 3, 4)).reshape(-1, len(pixels), *view.shape[3:])


def _kept(tiles: Tiles, config: TileConfig, aoi: Any, skipped: Counter[str]) -> Tiles:
    on_earth = np.isfinite(tiles.corners).all(axis=(1, 2))
    inside = np.array(on_earth)
    if aoi is not None:
        middle = geoparquet.centres(geoparquet.polygons(tiles.corners[on_earth]))
        inside[on_earth] = shapely.contains_xy(aoi, middle[:, 0], middle[:, 1])
    # A tile without one valid pixel says nothing, whatever --min-valid allows.
    whole = (tiles.shares >= np.float32(config.min_valid)) & (tiles.shares > 0)
    skipped["off the Earth"] += int((~on_earth).sum())
    skipped["outside the area of interest"] += int((on_earth & ~inside).sum())
    skipped["too few valid pixels"] += int((inside & ~whole).sum())
    keep = inside & whole
    return tiles if keep.all() else tiles[keep]

"""A made-up landscape of fields and the rest, with the truth, for the tests of weak labels and maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine, from_origin
from scipy.ndimage import gaussian_filter

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

SIDE = 16  # of a tile, in pixels of 30 m
CRS = "EPSG:32614"
TRANSFORM = from_origin(500_010, 4_400_040, 30, 30)
NODATA = -99


def truth(side: int = 192, seed: int = 0) -> np.ndarray:
    """(side, side) 1 on about half of the ground, in patches of some ten pixels."""
    rough = gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 5, mode="wrap")
    return (rough > 0).astype(np.uint8)


def bands(states: np.ndarray, spread: float = 1.5, seed: int = 1) -> np.ndarray:
    """(3, H, W) int16: fields are brighter by 100, under noise of `spread` times as much."""
    noise = np.random.default_rng(seed).standard_normal((3, *states.shape))
    return (1000 + 100 * (states + spread * noise)).astype(np.int16)


def write(path: Path, pixels: np.ndarray, nodata: float | None = None, transform: Affine = TRANSFORM) -> Path:
    """Write pixels (H, W) or (C, H, W) as a GeoTIFF."""
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(
        path, "w", driver="GTiff", dtype=pixels.dtype, crs=CRS, transform=transform, nodata=nodata, **profile
    ) as file:
        file.write(pixels)
    return path


def make(folder: Path, side: int = 192) -> tuple[Path, Path, Path]:
    """Paths of a scene with a cloud of nodata, of its tile set, and of a label raster (1 field, 2 not)."""
    states = truth(side)
    pixels = bands(states)
    pixels[:, 20:40, 20:40] = NODATA
    scene = write(folder / "scenes" / "land.tif", pixels, NODATA)
    labels = write(folder / "labels.tif", np.where(states, 1, 2).astype(np.uint8), 255)
    cutting.cut([str(scene)], folder / "tiles", TileConfig(size=SIDE, min_valid=0.25))
    return scene, folder / "tiles", labels


def tile_set(folder: Path) -> TileSet:
    return TileSet.open(folder / "tiles")

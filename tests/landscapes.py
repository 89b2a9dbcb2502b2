"""Made-up scenes, cut and drawn from, for the tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

from tile2vec_cli.config.pipeline import TileConfig, TripletConfig
from tile2vec_cli.tiling import cutting, triplets
from tile2vec_cli.tiling.tiles import TileSet

SIDE = 8  # pixels, of 10 m


def scene(
    path: Path,
    side: int = 128,
    bands: int = 3,
    dtype: str = "uint8",
    seed: int = 0,
    corner: tuple[float, float] = (500_000, 5_400_000),
    crs: str = "EPSG:32633",
) -> Path:
    """A GeoTIFF in UTM zone 33 whose brightness and roughness change from place to place."""
    random = np.random.default_rng(seed)
    cells = np.kron(random.uniform(40, 160, (bands, side // 32, side // 32)), np.ones((1, 32, 32)))
    rough = np.kron(random.uniform(2, 40, (side // 32, side // 32)), np.ones((32, 32)))
    pixels = np.clip(cells + rough * random.standard_normal((bands, side, side)), 0, 255).astype(dtype)
    profile = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": bands,
        "dtype": dtype,
        "crs": crs,
        "transform": from_origin(*corner, 10, 10),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels)
    return path


def make(folder: Path, count: int = 400, dtype: str = "uint8", seed: int = 0) -> tuple[Path, Path]:
    """A tile set of 256 tiles and `count` triplets: the paths of both."""
    tiles, drawn = folder / "tiles", folder / "triplets.parquet"
    cutting.cut(
        [str(scene(folder / "scenes" / "a.tif", dtype=dtype, seed=seed))], tiles, TileConfig(size=SIDE)
    )
    triplets.save(drawn, triplets.draw(TileSet.open(tiles), TripletConfig(count=count)))
    return tiles, drawn

"""Tiles a second of `tile2vec embed`, reading pixels and writing GeoParquet included.

    python benchmarks/embed.py FOLDER [--side 7000] [--encoder small] [--runs 3] [--tiles TILES]

Makes a scene of side × side × 4 uint8 in FOLDER, cuts it into tiles of 50 pixels (once) and embeds
them with an untrained encoder: the arithmetic is that of a trained one. With --tiles, embeds those.
Prints the best of the runs and, beside it, the network alone on tiles in memory.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from command import argument_parser, tile2vec
from rasterio.transform import from_origin

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.neural import device, encoders, models
from tile2vec_cli.tiling.tiles import TileSet

SEED = 0


def make_tiles(folder: Path, side: int) -> Path:
    tiles = folder / f"tiles-{side}"
    if not tiles.exists():
        profile = {"driver": "GTiff", "count": 4, "height": side, "width": side, "dtype": "uint8"}
        profile |= {"crs": "EPSG:32614", "transform": from_origin(500_000, 4_400_000, 1, 1)}
        with rasterio.open(folder / "scene.tif", "w", **profile) as target:
            target.write(np.random.default_rng(SEED).integers(1, 250, (4, side, side), dtype=np.uint8))
        tile2vec("tile", folder / "scene.tif", "--out", tiles)
    return tiles


def make_model(folder: Path, tiles: TileSet, name: str) -> Path:
    """An untrained model of the tiles: the arithmetic is that of a trained one."""
    bands = len(tiles.bands)
    dim = ENCODERS[name].dim
    encoder = encoders.untrained(name, bands, dim, [120.0] * bands, [60.0] * bands, SEED)
    return write_model(folder / f"model-{name}", tiles, name, encoder)


def write_model(path: Path, tiles: TileSet, name: str, encoder: encoders.Encoder) -> Path:
    """A model folder that `embed` takes; an older one goes."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    architecture = {"encoder": name, "bands": len(tiles.bands), "dim": sum(encoder.shares)}
    model = models.Description("encoder", architecture, tiles.bands, tiles.dtype.name, tiles.size, {}, {}, {})
    models.write(path, model, encoder.state_dict(), [])
    return path


def alone(tiles: TileSet, name: str) -> float:
    """Tiles a second of the network on one batch in memory."""
    runtime, row, bands = device.choose(), ENCODERS[name], len(tiles.bands)
    encoder = encoders.untrained(name, bands, row.dim, [120.0] * bands, [60.0] * bands, SEED)
    encoder = encoders.fused(encoder.eval()).to(runtime.device)
    batch = torch.from_numpy(tiles.pixels(np.arange(min(row.embed_batch_size, len(tiles))))).to(
        runtime.device
    )
    times = []
    with torch.inference_mode(), runtime.autocast():
        for _ in range(20):
            started = time.perf_counter()
            encoder(batch).cpu()
            times.append(time.perf_counter() - started)
    return len(batch) / min(times)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=7000)
    parser.add_argument("--encoder", choices=list(ENCODERS), default="small")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tiles", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.tiles or make_tiles(options.folder, options.side)
    tiles = TileSet.open(path)
    model = make_model(options.folder, tiles, options.encoder)
    runtime = device.choose()
    where = f"{options.encoder}, {runtime.name} {runtime.precision}"
    print(f"{where}: {len(tiles):,} tiles in {len(tiles.parts):,} parts\n")
    print("| output | tiles/s | MB |\n|---|--:|--:|", flush=True)
    for name, dtype in (("e.parquet", "float32"), ("e", "float32"), ("e", "float16"), ("e", "int8")):
        out, best = options.folder / name, 0.0
        for _ in range(options.runs):
            shutil.rmtree(out, ignore_errors=True)
            out.unlink(missing_ok=True)
            report = tile2vec("embed", path, "--model", model, "--out", out, "--dtype", dtype)
            best = max(best, float(str(report["tiles_per_second"])))
        size = sum(file.stat().st_size for file in ([out] if out.is_file() else out.iterdir()))
        kind = "one file" if out.is_file() else "a file a part"
        print(f"| {kind}, {dtype} | {best:,.0f} | {size / 1e6:,.1f} |", flush=True)
    print(f"| nothing: the network alone | {alone(tiles, options.encoder):,.0f} | |")


if __name__ == "__main__":
    main()

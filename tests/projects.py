"""A small project: three scenes, their tiles and an encoder that has learned nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

from tile2vec_cli.config.pipeline import EmbedConfig, TileConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.neural import encoders, models
from tile2vec_cli.tiling import cutting

DIM = 16


FP32 = EmbedConfig(precision="fp32")


def write_scene(path: Path, west: float, *, seed: int = 0, side: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(1, 250, (3, side, side), dtype=np.uint8)
    profile = {"driver": "GTiff", "count": 3, "height": side, "width": side, "dtype": "uint8"}
    transform = from_origin(west, 4_400_000, 10, 10)
    with rasterio.open(path, "w", **profile, crs="EPSG:32614", transform=transform) as target:
        target.write(pixels)


def cut(root: Path, **settings: Any) -> None:
    scenes = sorted(str(path) for path in (root / "scenes").glob("*.tif"))
    cutting.cut(scenes, root / "tiles", TileConfig(**{"size": 10, **settings}))


def write_model(
    folder: Path,
    *,
    bands: int = 3,
    dim: int = DIM,
    mean: float = 125,
    std: float = 70,
    seed: int = 0,
    numbers: tuple[int, ...] | None = None,
    **description: Any,
) -> None:
    """An encoder that has learned nothing; numbers: of its bands in the scenes, by default all from 1."""
    means, stds = [mean] * bands, [std] * bands
    encoder = encoders.untrained("small", bands, dim, means, stds, seed)
    fields = {
        "kind": "encoder",
        "architecture": {"encoder": "small", "bands": bands, "dim": dim},
        "bands": numbers or tuple(range(1, bands + 1)),
        "dtype": "uint8",
        "size": 10,
        "normalisation": {"mean": means, "std": stds},
        "settings": {},
        "provenance": {},
        **description,
    }
    folder.mkdir()
    models.write(folder, models.Description(**fields), encoder.state_dict(), [])


def make(root: Path) -> Path:
    """scenes/, tiles/ (three parts of 36) and model/."""
    for number, name in enumerate("abc"):
        write_scene(root / "scenes" / f"{name}.tif", 500_000 + 1000 * number, seed=number)
    cut(root)
    write_model(root / "model")
    return root


def embed(root: Path, out: str, config: EmbedConfig = FP32, **options: Any) -> inference.EmbedReport:
    model = root / options.pop("model", "model")
    return inference.embed(root / "tiles", model, root / out, config, workers=1, **options)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}

"""One project cut twice: into tiles with their pixels, and into tiles without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from conftest import SceneWriter
from projects import write_model

from tile2vec_cli.config.pipeline import EmbedConfig, TileConfig
from tile2vec_cli.tiling.cutting import TileReport, cut
from tile2vec_cli.tiling.tiles import TileSet

Project = Path


CONFIG = TileConfig(size=8, min_valid=0.5)


FP32 = EmbedConfig(device="cpu", precision="fp32")


def write(folder: Path, write_scene: SceneWriter, noise: Callable[..., np.ndarray]) -> Project:
    """scenes/ with a.tif (deflated, in blocks) and b.tif, both with holes; no tiles yet."""
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    for name, shape, how in (("a", (96, 64), blocks), ("b", (70, 50), {})):
        pixels = noise(3, *shape)
        pixels[0, 3:7, 4:6] = pixels[:, 40, 30] = 255
        write_scene(f"root/scenes/{name}.tif", pixels, nodata=255, **how)
    return folder / "root"


def tile(root: Project, out: str, config: TileConfig = CONFIG, **options: Any) -> TileReport:
    scenes = sorted(str(path) for path in (root / "scenes").glob("*.tif"))
    return cut(scenes, root / out, replace(config, virtual=out.startswith("virtual")), **options)


def both(root: Project, config: TileConfig = CONFIG) -> tuple[TileSet, TileSet]:
    """The set with pixels and the one without."""
    assert replace(tile(root, "tiles", config), made=0) == replace(tile(root, "virtual", config), made=0)
    return TileSet.open(root / "tiles"), TileSet.open(root / "virtual")


def model(root: Project) -> Path:
    path = root / "model"
    write_model(path, dim=4, size=8)
    return path

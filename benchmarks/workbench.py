"""What the stages of run.py work on: a scene, its tiles as ours and as files, triplets."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import published
from tile import make_scene

from tile2vec_cli.config.pipeline import TileConfig, TripletConfig
from tile2vec_cli.neural.device import Runtime, choose
from tile2vec_cli.tiling import cutting, triplets
from tile2vec_cli.tiling.tiles import TileSet

MEAN, STD = [130.0] * 4, [40.0] * 4  # of the scene's bands, about


@dataclass
class Bench:
    """What the parts work on."""

    folder: Path
    quick: bool
    runtime: Runtime
    scene: Path
    tiles: TileSet
    files: list[Path]  # the same tiles, a .npy file each
    triplets: Path

    @classmethod
    def made(cls, folder: Path, quick: bool) -> Bench:
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        (folder / "scratch").mkdir(parents=True)
        side = 3000 if quick else 6000
        scene, tiles = folder / f"scene-{side}.tif", folder / f"tiles-{side}"
        if not scene.exists():
            make_scene(scene, side)
        cutting.cut([str(scene.absolute())], tiles, TileConfig())
        drawn, opened = folder / f"triplets-{side}.parquet", TileSet.open(tiles)
        if not drawn.exists():
            triplets.save(drawn, triplets.draw(opened, TripletConfig(count=20_000)))
        files = folder / f"files-{side}"
        if not files.exists():
            published.save(opened.pixels(np.arange(len(opened))), files)
        every = [files / f"{number}.npy" for number in range(len(opened))]
        return cls(folder, quick, choose(), scene, opened, every, drawn)

    @property
    def rounds(self) -> int:
        return 2 if self.quick else 5

    def free(self, name: str) -> Path:
        """A path that nothing uses, below a folder that the next run empties."""
        return Path(tempfile.mkdtemp(dir=self.folder / "scratch")) / name


def few(bench: Bench, tiles: int) -> TileSet:
    """A tile set of about so many tiles."""
    side = 50 * round(tiles**0.5)
    scene, out = bench.folder / f"scene-{side}.tif", bench.folder / f"tiles-{side}"
    if not scene.exists():
        make_scene(scene, side)
    cutting.cut([str(scene.absolute())], out, TileConfig())
    return TileSet.open(out)

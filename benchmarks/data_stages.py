"""Tiles, triplets and batches: the stages of run.py without a network."""

from __future__ import annotations

from collections.abc import Iterator

import limits
import numpy as np
import published
from limits import seconds
from rounds import Row, row
from workbench import Bench

from tile2vec_cli.config.pipeline import TileConfig, TripletConfig
from tile2vec_cli.job.resources import usable_cpus
from tile2vec_cli.neural import batches
from tile2vec_cli.tiling import cutting, triplets


def tile(bench: Bench) -> Iterator[Row]:
    tiles = len(bench.tiles)
    scene = [str(bench.scene.absolute())]
    yield row(
        "tile",
        "tiles",
        bench.rounds,
        lambda: (
            tiles
            / seconds(lambda: cutting.cut(scene, bench.free("out"), TileConfig(), workers=usable_cpus()))
        ),
        lambda: tiles / seconds(lambda: published.cut(bench.scene, bench.free("npy"))),
        lambda: tiles / seconds(lambda: limits.copy([bench.scene], bench.folder / "copy")),
        "read and write once",
    )


def draw(bench: Bench) -> Iterator[Row]:
    many, few = 1_000_000, 2_000
    centres = bench.tiles.ecef[:, :2]
    rng = np.random.default_rng(0)
    yield row(
        "sample-triplets",
        "triplets",
        bench.rounds,
        lambda: (
            many
            / seconds(lambda: triplets.draw(bench.tiles, TripletConfig(count=many), workers=usable_cpus()))
        ),
        lambda: few / seconds(lambda: published.draw(centres, 100.0, few)),
        lambda: many / seconds(lambda: rng.integers(len(centres), size=(many, 3))),
        "three random numbers",
    )


def load(bench: Bench) -> Iterator[Row]:
    size, rng = 256, np.random.default_rng(0)
    pixels = batches.Pixels.of(bench.tiles, np.arange(len(bench.tiles)), bench.runtime.device)
    part = bench.tiles.parts[0].pixels
    steps = [rng.integers(len(bench.tiles), size=(size // 2, 2)) for _ in range(40)]

    def plain() -> float:
        chosen = [bench.files[number] for number in steps[0].ravel()]
        return size / seconds(lambda: published.load(chosen))

    yield row(
        "load a batch",
        "tiles",
        bench.rounds,
        lambda: size * len(steps) / seconds(lambda: [None for _ in pixels.stream(steps)]),
        plain,
        lambda: size * len(steps) / seconds(lambda: limits.gather(part, size * len(steps), size)),
        "random reads of a memory map",
    )

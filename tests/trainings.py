"""Trainings that are short, and what stops them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.errors import Interrupted
from tile2vec_cli.learning.training import TrainReport, train
from tile2vec_cli.neural import models

CONFIG = TrainConfig(
    encoder="small",
    place=False,
    local_share=0,
    dim=16,
    batch_size=16,
    steps=30,
    lr=0.001,
    val_fraction=0.2,
    device="cpu",
    precision="fp32",
)


Train = Callable[..., TrainReport]


def trainer(tiles: Path, triplets: Path, folder: Path) -> Train:
    """Trains on these into a model of the folder."""

    def run(config: TrainConfig = CONFIG, name: str = "model", **options: Any) -> TrainReport:
        return train(triplets, tiles, folder / name, config, **options)

    return run


def stop_at(triplets: int) -> Callable[[int, int], None]:
    """A progress callable that stops the run as a signal would."""

    def update(done: int, _total: int) -> None:
        if done >= triplets:
            raise Interrupted(75)

    return update


def weights(folder: Path) -> bytes:
    return (folder / models.WEIGHTS).read_bytes()

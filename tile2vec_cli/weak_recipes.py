"""The two recipes: `paper`, as published, and `assisted`, which does better with the same labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from tile2vec_cli import teachers, weak_training
from tile2vec_cli.batches import normalisation
from tile2vec_cli.config import WeakConfig
from tile2vec_cli.device import Runtime
from tile2vec_cli.grid import Ints
from tile2vec_cli.parts import Progress, silent, usable_cpus
from tile2vec_cli.teachers import States
from tile2vec_cli.tiles import TileSet
from tile2vec_cli.unet import Segmenter, Standardise, UNet
from tile2vec_cli.weak_training import Lessons, Schedule

PAPER_EPOCHS = 50
NETWORKS: dict[str, dict[str, Any]] = {
    "paper": {"width": 32, "levels": 4},
    "assisted": {"width": 16, "levels": 4, "pixel_path": True, "drop": 0.3},
}
_ASSISTED = Schedule(steps=200, lr=3e-3, beta2=0.99, weight_decay=0.01, warm_up=20, falling=True, noise=0.1)


@dataclass(frozen=True)
class Told:
    """The labels given to training, and the tiles that may be looked at without any."""

    ids: Ints  # (n,) positions of the labelled tiles
    states: States  # (n, S, S) or (n,)
    blocks: Ints  # (n,) their spatial blocks
    others: Ints  # (U - n,) positions of unlabelled tiles


@dataclass(frozen=True)
class Learned:
    segmenter: Segmenter
    metrics: list[dict[str, Any]]
    weights: dict[str, float] = field(default_factory=dict)  # of the classifiers that taught it


def learn(
    tiles: TileSet,
    told: Told,
    supervision: str,
    config: WeakConfig,
    runtime: Runtime,
    seed: int,
    on_progress: Progress = silent,
) -> Learned:
    """Train a segmenter by `config.recipe`. Progress is in steps."""
    mean, std = normalisation(tiles, np.sort(np.concatenate([told.ids, told.others])))
    standardise = Standardise(mean, std)
    lessons = Lessons(tiles, told.ids, told.states)
    weights: dict[str, float] = {}
    if config.recipe == "assisted" and supervision == "pixel":
        lessons, weights = _assisted(tiles, told, standardise, seed)
    network = untrained(config.recipe, tiles.shape[1], seed)
    schedule = _schedule(config, len(told.ids))
    metrics = weak_training.train(network, standardise, lessons, schedule, runtime, seed, on_progress)
    return Learned(Segmenter(standardise, [network]).eval(), metrics, weights)


def untrained(recipe: str, bands: int, seed: int) -> UNet:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return UNet(bands, **NETWORKS[recipe])


def _assisted(
    tiles: TileSet, told: Told, standardise: Standardise, seed: int
) -> tuple[Lessons, dict[str, float]]:
    """The lessons with soft labels on labelled and unlabelled tiles."""
    pixels = teachers.labelled_pixels(tiles, told.ids, told.states, standardise, np.random.default_rng(seed))
    council = teachers.convene(pixels, told.blocks, seed)
    ids = np.concatenate([told.ids, told.others])
    soft = teachers.soft_labels(council, tiles, ids, standardise, usable_cpus())
    return Lessons(tiles, ids, told.states, soft), council.weights


def _schedule(config: WeakConfig, labelled: int) -> Schedule:
    epochs = config.epochs
    if config.recipe == "paper":
        schedule, epochs = Schedule(steps=0), epochs or PAPER_EPOCHS
    else:
        steps = round(_ASSISTED.steps * min(4.0, max(1.0, math.sqrt(labelled / 100))))
        schedule = replace(_ASSISTED, steps=steps)
    schedule = replace(
        schedule, lr=config.lr or schedule.lr, batch_size=config.batch_size or schedule.batch_size
    )
    if epochs is not None:
        schedule = replace(schedule, steps=epochs * math.ceil(labelled / schedule.batch_size))
    return schedule

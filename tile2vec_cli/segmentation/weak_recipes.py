"""The two recipes: `paper`, as published, and `assisted`, which does better with the same labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.job.resources import usable_cpus
from tile2vec_cli.neural import models
from tile2vec_cli.neural.batches import Standardise, normalisation
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.segmentation import segmenters, teachers, weak_training
from tile2vec_cli.segmentation.segmenters import probabilities
from tile2vec_cli.segmentation.unet import Segmenter, UNet
from tile2vec_cli.segmentation.weak_labels import States
from tile2vec_cli.segmentation.weak_training import Lessons, Schedule
from tile2vec_cli.tiling.tiles import TileSet

PAPER_EPOCHS = 50
NETWORKS: dict[str, dict[str, Any]] = {
    "paper": {"width": 32, "levels": 4},
    "assisted": {"width": 16, "levels": 4, "pixel_path": True, "drop": 0.3},
}
_ASSISTED = Schedule(
    steps=150,
    lr=4e-3,
    beta2=0.99,
    weight_decay=0.01,
    warm_up=20,
    falling=True,
    noise=0.1,
)
# Of the labels' loss beside that of soft labels. Few single pixels say little that the classifiers
# have not heard; of whole tiles' labels these make pixels that are often wrong.
_LABEL_WEIGHTS = {"pixel": 0.2, "image": 3.0, "full": 1.0}
# Of a tile's side, that a step sees: a third of the arithmetic, for a difference within its error.
# Labels of whole tiles are about all of the tile.
_WINDOWS = {"pixel": 0.7, "image": 1.0, "full": 1.0}
_MOST_STEPS = 4  # times as many, where there are many labels

Probabilities = NDArray[np.float32]
EVEN = 0.5
CANDIDATES = np.linspace(0.02, 0.98, 97)
_WORTH = 0.02  # of expected F1, below which 0.5 stays


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
    begun = start(tiles, config)
    if begun is None:
        standardise = Standardise(*normalisation(tiles, np.sort(np.concatenate([told.ids, told.others]))))
    else:  # its weights are for pixels on its own scale
        standardise = begun.standardise
    lessons = Lessons(tiles, told.ids, told.states)
    weights: dict[str, float] = {}
    if config.recipe == "assisted" and supervision != "full":
        lessons, weights = _taught(tiles, told, standardise, seed)
    network = untrained(config.recipe, tiles.shape[1], seed)
    if begun is not None:
        network.load_state_dict(begun.unets[0].state_dict())
    plan = schedule(config, supervision, len(told.ids))
    metrics = weak_training.train(network, standardise, lessons, plan, runtime, seed, on_progress)
    segmenter = Segmenter(standardise, [network]).eval()
    threshold = config.threshold or _threshold(segmenter, tiles, told, config, runtime)
    segmenter.threshold.fill_(threshold)
    return Learned(segmenter, metrics, weights)


def start(tiles: TileSet, config: WeakConfig) -> Segmenter | None:
    """The segmenter of --init, if any; DataError where this run would need another."""
    if config.init is None:
        return None
    path = Path(config.init)
    segmenter, model = segmenters.load(path, torch.device("cpu"))
    wanted = [untrained(config.recipe, tiles.shape[1], 0).shape]
    models.require_start(path, model, tiles, ("network", [unet.shape for unet in segmenter.unets], wanted))
    return segmenter


def untrained(recipe: str, bands: int, seed: int) -> UNet:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return UNet(bands, **NETWORKS[recipe])


def schedule(config: WeakConfig, supervision: str, labelled: int) -> Schedule:
    """For so many labelled tiles."""
    epochs = config.epochs
    if config.recipe == "paper":
        plan, epochs = Schedule(steps=0), epochs or PAPER_EPOCHS
    else:
        longer = min(_MOST_STEPS, max(1.0, math.sqrt(labelled / 100)))
        weight = _LABEL_WEIGHTS[supervision]
        steps, window = round(_ASSISTED.steps * longer), _WINDOWS[supervision]
        plan = replace(_ASSISTED, steps=steps, label_weight=weight, window=window)
    plan = replace(plan, lr=config.lr or plan.lr, batch_size=config.batch_size or plan.batch_size)
    if epochs is not None:
        plan = replace(plan, steps=epochs * math.ceil(labelled / plan.batch_size))
    return plan


def _taught(
    tiles: TileSet, told: Told, standardise: Standardise, seed: int
) -> tuple[Lessons, dict[str, float]]:
    """The lessons, with soft labels for labelled and unlabelled tiles."""
    council = teachers.council_for(tiles, told.ids, told.states, told.blocks, standardise, seed)
    ids = np.concatenate([told.ids, told.others])
    soft = np.full((len(ids), tiles.size, tiles.size), np.nan, np.float16)
    some = ids[: teachers.MOST_TILES]
    soft[: len(some)] = teachers.soft_labels(council, tiles, some, standardise, usable_cpus())
    return Lessons(tiles, ids, told.states, soft), council.weights


def _threshold(
    segmenter: Segmenter, tiles: TileSet, told: Told, config: WeakConfig, runtime: Runtime
) -> float:
    """From the labels given, or from what the network thinks of tiles of the training blocks."""
    if told.states.ndim == 1:
        shares = [
            tile_shares(found, tiles.valid(told.ids[rows.start : rows.stop]))
            for rows, found in probabilities(segmenter, tiles, told.ids, runtime)
        ]
        return threshold_for_tiles(np.concatenate(shares), told.states)
    if config.recipe == "paper":
        return EVEN
    ids = np.concatenate([told.ids, told.others])[: teachers.MOST_TILES]
    found = [
        part[tiles.valid(ids[rows.start : rows.stop])]
        for rows, part in probabilities(segmenter, tiles, ids, runtime)
    ]
    return threshold_for_f1(np.concatenate(found))


def threshold_for_f1(probability: Probabilities) -> float:
    """The threshold with the highest F1 to be expected, if it is clearly better than 0.5.

    `probability` (M,) of unlabelled pixels, taken at its word: so many of the pixels above a threshold
    are hits. Where the class is rare, far fewer than half of the pixels that are worth finding reach
    0.5 (Lipton et al. 2014, "Optimal thresholding of classifiers to maximize F1 measure"). But never
    more pixels are marked than there should be of the class: who is unsure of all pixels, as after
    wrong labels, could expect to do best by marking most of them.
    """
    ranked = np.sort(probability.astype(np.float64))[::-1]
    hits = np.concatenate([[0.0], np.cumsum(ranked)])
    above = np.searchsorted(-ranked, -np.append(CANDIDATES, EVEN), side="right")
    expected = 2 * hits[above] / np.maximum(hits[-1] + above, 1e-9)
    expected[:-1][above[:-1] > hits[-1]] = 0.0
    best = int(np.argmax(expected))
    return float(CANDIDATES[best]) if expected[best] > expected[-1] + _WORTH else EVEN


def tile_shares(probability: Probabilities, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(B, K) share of each tile's valid pixels that reach each of the candidate thresholds."""
    known = np.maximum(valid.sum(axis=(1, 2)), 1)
    reached = [((probability >= bound) & valid).sum(axis=(1, 2)) / known for bound in CANDIDATES]
    return np.stack(reached, axis=1)


def threshold_for_tiles(shares: NDArray[np.float64], states: NDArray[np.uint8]) -> float:
    """The threshold by which most tiles (n,) are told right, the nearest to 0.5 of several.

    shares: (n, K), see `shares`. A tile is of the class where most of its pixels are: this is how the
    class activation map of Wang et al. 2020 is cut.
    """
    right = ((shares > 0.5) == (states == 1)[:, None]).mean(axis=0)
    best = np.flatnonzero(right == right.max())
    return float(CANDIDATES[best[np.argmin(np.abs(CANDIDATES[best] - EVEN))]])

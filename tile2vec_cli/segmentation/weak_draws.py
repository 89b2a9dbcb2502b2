"""The trainings of one study: draws of split and labels, what a network and its rivals make of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import splits
from tile2vec_cli.geo.grid import Ints, block_numbers
from tile2vec_cli.job.resources import usable_cpus
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.outputs.parts import Progress
from tile2vec_cli.segmentation import teachers, weak_labels, weak_recipes
from tile2vec_cli.segmentation.pixel_classifiers import RIVALS, fit
from tile2vec_cli.segmentation.segmenters import Counts, probabilities
from tile2vec_cli.segmentation.teachers import MOST_TILES
from tile2vec_cli.segmentation.unet import Segmenter
from tile2vec_cli.segmentation.weak_labels import UNKNOWN, States, WeakLabels
from tile2vec_cli.segmentation.weak_recipes import Learned, Told
from tile2vec_cli.tiling.tiles import TileSet

Result = dict[str, Any]

BLOCK_SIDES = 3  # side of a spatial block in tiles
_SPLIT, _ORDER, _PIXELS, _NOISE = range(4)  # streams of random numbers


@dataclass(frozen=True)
class Task:
    """A tile set with weak labels for training and, where known, the true states of its pixels."""

    tiles: TileSet
    labels: WeakLabels
    truth: States | None  # (N, S, S)
    config: WeakConfig

    @cached_property
    def blocks(self) -> Ints:
        """(N,) spatial block of each tile."""
        block_m = self.config.block_m or BLOCK_SIDES * self.tiles.side_m
        return block_numbers(self.tiles.lonlat, block_m)

    @cached_property
    def overlaps(self) -> Ints:
        """(P, 2) tiles of different blocks that share ground."""
        return splits.overlapping(self.tiles.footprints(), self.blocks)

    def random(self, repeat: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, repeat, stream])


@dataclass(frozen=True)
class Sides:
    """One draw: the labelled tiles in the order in which they are used, those to test on, and the rest."""

    train: Ints
    test: Ints
    others: Ints  # unlabelled tiles that overlap no test block


@dataclass(frozen=True)
class Unit:
    """One training."""

    supervision: str
    count: int | None  # labelled tiles; None: all
    repeat: int

    @property
    def name(self) -> str:
        return f"{self.supervision}-{self.count or 'all'}-{self.repeat}"


def units(config: WeakConfig) -> list[Unit]:
    """All trainings; the last is the one whose model is kept.

    It is of the supervision named first, the most labels and the first draw.
    """
    counts = sorted(config.n_labels, key=lambda count: (count is None, count))
    return [
        Unit(supervision, count, repeat)
        for supervision in reversed(config.supervision)
        for count in counts
        for repeat in reversed(range(config.repeats))
    ]


def sides(task: Task, supervision: str, repeat: int) -> Sides:
    """Split by whole spatial blocks; raises DataError where there is only one."""
    usable = np.zeros(len(task.tiles), bool)
    usable[task.labels.usable(supervision)] = True
    known = usable if task.truth is None else usable | (task.truth != UNKNOWN).any(axis=(1, 2))
    ids = np.flatnonzero(known)
    if len(np.unique(task.blocks[ids])) < 2:
        raise DataError(
            f"{task.tiles.path}: all labelled tiles lie in one spatial block; at least two are needed, one "
            f"to test on. Choose a --block below {BLOCK_SIDES * task.tiles.side_m:.0f} m, or more tiles."
        )
    row = np.full(len(known), -1)
    row[ids] = np.arange(len(ids))
    overlaps = row[task.overlaps]
    split = splits.block_split(
        task.blocks[ids],
        (task.labels.tiles[ids] == 1).astype(np.int32),
        overlaps[(overlaps >= 0).all(axis=1)],
        task.config.test_fraction,
        task.random(repeat, _SPLIT),
    )
    train, test = ids[split.train], ids[split.test]
    train = train[usable[train]]
    apart, in_test = ~np.isin(task.blocks, task.blocks[test]), np.zeros(len(known), bool)
    in_test[test] = True
    apart[splits.partners(task.overlaps, in_test)] = False
    apart[train] = False
    order = task.random(repeat, _ORDER).permutation
    return Sides(order(train), test, order(np.flatnonzero(apart)))


def told(task: Task, drawn: Sides, supervision: str, count: int | None, repeat: int) -> Told:
    """The labels of the first `count` tiles, and the tiles that may be looked at beside them.

    Raises DataError where there are fewer, or where all labels drawn are of one kind.
    """
    if count is not None and count > len(drawn.train):
        raise DataError(
            f"{task.tiles.path}: --n-labels {count:,} asks for more labelled tiles than the "
            f"{len(drawn.train):,} of the training blocks. Ask for at most so many, or for all."
        )
    every = task.labels.drawn(drawn.train, supervision, task.random(repeat, _PIXELS))
    ids, states = drawn.train[:count], every[:count]
    for state, name in ((1, "positive"), (0, "negative")):
        if not (states == state).any():
            raise DataError(
                f"{task.tiles.path}: none of the {(states != UNKNOWN).sum():,} labels drawn from "
                f"{len(ids):,} tiles is {name}; both are needed. Use a larger --n-labels or another --seed."
            )
    if task.config.label_noise:
        states = weak_labels.flipped(states, task.config.label_noise, task.random(repeat, _NOISE))
    spare = np.concatenate([drawn.train[len(ids) :], drawn.others])
    return Told(ids, states, task.blocks[ids], spare[: max(0, MOST_TILES - len(ids))])


def trained(task: Task, unit: Unit, runtime: Runtime, on_progress: Progress) -> tuple[Result, Learned]:
    """What came of one training, as JSON (its test is None where no true states are known), and the model."""
    drawn = sides(task, unit.supervision, unit.repeat)
    given = told(task, drawn, unit.supervision, unit.count, unit.repeat)
    tiles, config, seed = task.tiles, task.config, task.config.seed + unit.repeat
    learned = weak_recipes.learn(tiles, given, unit.supervision, config, runtime, seed, on_progress)
    segmenter, tested, test, baselines = learned.segmenter, drawn.test, None, {}
    if task.truth is not None:
        tested = tested[(task.truth[tested] != UNKNOWN).any(axis=(1, 2))]
        test = judge(task, segmenter, tested, runtime)
        if config.compare:
            baselines = judged(tiles, given, task.truth, tested, segmenter.standardise, seed)
    found = {
        "supervision": unit.supervision,
        "n_labels": len(given.ids),
        "repeat": unit.repeat,
        "labels_used": int((given.states != UNKNOWN).sum()),
        "train_tiles": len(given.ids),
        "test_tiles": len(tested),
        "threshold": round(float(segmenter.threshold), 4),
        "teachers": {name: round(weight, 4) for name, weight in learned.weights.items()},
        "test": test,
        "baselines": baselines,
    }
    return found, learned


def judge(task: Task, segmenter: Segmenter, ids: Ints, runtime: Runtime) -> dict[str, float]:
    """Scores over all known pixels of these tiles."""
    assert task.truth is not None
    counts, threshold = Counts(), float(segmenter.threshold)
    for rows, found in probabilities(segmenter, task.tiles, ids, runtime):
        truth = task.truth[ids[rows.start : rows.stop]]
        known = truth != UNKNOWN
        counts.add(found[known] >= threshold, truth[known] == 1)
    return counts.scores()


def judged(
    tiles: TileSet,
    told: Told,
    truth: States,
    tested: Ints,
    standardise: Standardise,
    seed: int,
    names: tuple[str, ...] = RIVALS,
) -> dict[str, dict[str, float]]:
    """Scores of each rival over all known pixels of the tiles `tested`.

    truth: (N, S, S). Of whole tiles' labels every pixel inherits its tile's.
    """
    pixels = teachers.labelled_pixels(
        tiles,
        told.ids,
        teachers.inherited(tiles, told.ids, told.states),
        standardise,
        np.random.default_rng(seed),
    )
    fitted = {name: fit(name, pixels.seen_by(name), pixels.states, seed) for name in names}
    counts = {name: Counts() for name in names}
    for rows, shown in teachers.shown_tiles(tiles, tested, standardise):
        states = truth[tested[rows.start : rows.stop]]
        known = states != UNKNOWN
        flat, positive = np.moveaxis(shown, 1, -1)[known], states[known] == 1
        for name, classifier in fitted.items():
            seen = flat if classifier.sees_context else flat[:, : pixels.bands]
            counts[name].add(classifier.probability(seen, usable_cpus()) >= 0.5, positive)
    return {name: count.scores() for name, count in counts.items()}


# --- the report ------------------------------------------------------------------------------------


def report(results: Mapping[Unit, Result], config: WeakConfig) -> dict[str, Any]:
    """The report's keys: of the kept model, then of all its draws, then of the whole study."""
    kept = units(config)[-1]
    own = results[kept]
    names = ("supervision", "labels_used", "train_tiles", "test_tiles", "threshold", "teachers", "test")
    keys: dict[str, Any] = {"recipe": config.recipe, **{name: own[name] for name in names}}
    if not keys["teachers"]:
        del keys["teachers"]
    if config.compare:
        keys["baselines"] = own["baselines"]
    if config.repeats > 1:
        draws = _draws(results, kept.supervision, kept.count)
        shown = ("repeat", "labels_used", "train_tiles", "test_tiles", "threshold", "test", "baselines")
        keys["repeats"] = [{name: draw[name] for name in shown} for draw in draws]
        keys["summary"] = summary(draws)
    if len(config.n_labels) > 1 or len(config.supervision) > 1:
        keys["curve"] = [
            {
                "supervision": supervision,
                "n_labels": round(float(np.mean([draw["train_tiles"] for draw in draws]))),
                "repeats": len(draws),
                **summary(draws),
            }
            for supervision in config.supervision
            for count in dict.fromkeys(unit.count for unit in units(config))
            for draws in [_draws(results, supervision, count)]
        ]
    return keys


def summary(draws: Sequence[Result]) -> dict[str, Any]:
    """Mean and deviation of each score, of the network and of its rivals, and how often it won by F1."""
    rivals = draws[0]["baselines"]
    tested = [draw["test"] for draw in draws if draw["test"] is not None]
    return {
        "labels_used": round(float(np.mean([draw["labels_used"] for draw in draws]))),
        "test": _spread(tested) if tested else None,
        "baselines": {name: _spread([draw["baselines"][name] for draw in draws]) for name in rivals},
        "wins": {
            name: sum(draw["test"]["f1"] > draw["baselines"][name]["f1"] for draw in draws) for name in rivals
        },
    }


def _draws(results: Mapping[Unit, Result], supervision: str, count: int | None) -> list[Result]:
    own = [unit for unit in results if (unit.supervision, unit.count) == (supervision, count)]
    return [results[unit] for unit in sorted(own, key=lambda unit: unit.repeat)]


def _spread(scores: Iterable[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    rows = list(scores)
    return {
        name: {
            "mean": round(float(np.mean([row[name] for row in rows])), 6),
            "std": round(float(np.std([row[name] for row in rows])), 6),
        }
        for name in rows[0]
    }

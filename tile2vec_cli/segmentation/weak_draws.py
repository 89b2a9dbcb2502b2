"""Draws of split and labels, and what a network and its rivals make of one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import splits
from tile2vec_cli.geo.grid import Ints, spatial_blocks
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
        return np.unique(spatial_blocks(self.tiles.lonlat, block_m), return_inverse=True)[1]

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
class Outcome:
    """What one training came to."""

    learned: Learned
    labels_used: int
    train_tiles: int
    test_tiles: int
    test: dict[str, float] | None  # None where no true states are known
    baselines: dict[str, dict[str, float]]


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


def outcome(
    task: Task, supervision: str, count: int | None, repeat: int, runtime: Runtime, on_progress: Progress
) -> Outcome:
    """Train and judge once; `count` None uses all labelled tiles of the training blocks."""
    drawn = sides(task, supervision, repeat)
    given = told(task, drawn, supervision, count, repeat)
    seed = task.config.seed + repeat
    learned = weak_recipes.learn(task.tiles, given, supervision, task.config, runtime, seed, on_progress)
    test, baselines = None, {}
    tested = drawn.test
    if task.truth is not None:
        tested = tested[(task.truth[tested] != UNKNOWN).any(axis=(1, 2))]
        test = judge(task, learned.segmenter, tested, runtime)
        if task.config.compare:
            baselines = judged(task.tiles, given, task.truth, tested, learned.segmenter.standardise, seed)
    return Outcome(
        learned,
        labels_used=int((given.states != UNKNOWN).sum()),
        train_tiles=len(given.ids),
        test_tiles=len(tested),
        test=test,
        baselines=baselines,
    )


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

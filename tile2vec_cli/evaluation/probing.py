"""Judging features by how well simple classifiers learn a place's classes from them, elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.embedding.embeddings import Embeddings, positions
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import splits
from tile2vec_cli.evaluation.beside import Common
from tile2vec_cli.evaluation.classifiers import Training, each, predict
from tile2vec_cli.evaluation.fits import Fits
from tile2vec_cli.evaluation.scores import Score, Verdict, confusion
from tile2vec_cli.evaluation.splits import Split, Task, choose_task
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.tiling.tiles import TileSet

OWN = "embeddings"
RANDOM_REPEATS = 3  # draws of the random split beside the blocks: enough to show what it would claim
TEST_MOST = 20_000  # test tiles a repeat: more would not change the third digit

Vectors = NDArray[np.float32]
_Key = tuple[str, str, int]  # features, classifier, n_labels


@dataclass(frozen=True)
class _Draw:
    """One split, and the order in which its training tiles get labels."""

    split: Split
    order: Ints
    counts: bool  # False: only drawn to show what a random split would have claimed


def probe(
    embeddings: Embeddings,
    labels: Labels,
    config: ProbeConfig,
    tiles: TileSet | None = None,
    model: Path | None = None,
    fits: Fits | None = None,
    regions: Labels | None = None,
    common: Common | None = None,
    on_progress: Progress = silent,
) -> Verdict:
    """Train each classifier on each kind of features, on several splits and subsets of the labels.

    Every classifier and kind of features meets the same splits and the same labels. regions, for a
    split by region: the region of each tile, as its class. tiles, for what learns from pixels: the tile
    set that was embedded. model: the one that embedded it, to be tuned to the labels. common: other
    vectors of these very tiles. fits: networks that a stopped run has trained. Progress counts fits, and
    seconds of training where networks are trained.
    Raises DataError where labels or blocks are too few, or tiles or model are not the embeddings' own.
    """
    task = choose_task(embeddings, labels, config, regions)
    others = {} if common is None else {name: one[task.rows] for name, one in common.others.items()}
    own = embeddings.vectors_of(task.rows)
    parts = _parts(embeddings, own) if config.parts else {}
    features = {OWN: own, **parts, **others, **_baselines(embeddings, task.rows, config, tiles)}
    draws = _draws(task, embeddings, config)
    most = min(len(draw.order) for draw in draws)
    n_labels = sorted({min(n, most) for n in config.n_labels})
    trials = list(product(draws, features, config.classifiers, n_labels))

    def judge(trial: tuple[_Draw, str, str, int]) -> Ints:
        draw, name, classifier, n = trial
        train, test, vectors = draw.order[:n], draw.split.test, features[name]
        blocks = task.blocks[train] if config.split != "random" and draw.counts else train
        training = Training(vectors[train], task.classes[train], blocks)
        predicted = predict(classifier, training, vectors[test], seed=config.seed)
        return confusion(task.classes[test], predicted, len(task.names))

    found: dict[_Key, list[Ints]] = defaultdict(list)
    claimed: dict[_Key, list[Ints]] = defaultdict(list)
    learned = _learned(embeddings, task, draws, n_labels, config, tiles, model, fits or Fits(), on_progress)
    for (draw, *key), matrix in zip(
        trials, each(judge, trials, silent if learned else on_progress), strict=True
    ):
        (found if draw.counts else claimed)[*key].append(matrix)
    found |= learned
    scores = tuple(Score.of(*key, matrices, claimed.get(key, [])) for key, matrices in found.items())
    best = max((s for s in scores if s.features == OWN), key=lambda s: (s.n_labels, s.accuracy))
    matrix = np.sum(found[OWN, best.classifier, best.n_labels], axis=0)
    counted = [draw.split for draw in draws if draw.counts]
    given = {"minutes": config.end_to_end, "repeats": min(config.repeats, config.end_to_end_repeats)}
    return Verdict(
        scores=scores,
        classes=task.names,
        tiles_labelled=len(labels.labelled),
        tiles_used=len(task.rows),
        labels=labels.kind,
        left_out=labels.left_out,
        label_rasters=labels.rasters,
        dropped_classes=task.dropped,
        split=config.split,
        block_m=task.block_m if config.split == "blocks" else None,
        blocks=len(np.unique(task.blocks)) if config.split == "blocks" else None,
        regions=None if regions is None else _tested(task, regions, counted, config),
        test_fraction=config.test_fraction,
        test_tiles=round(np.mean([len(split.test) for split in counted])),
        train_tiles=round(np.mean([len(split.train) for split in counted])),
        majority_class=float(matrix.sum(axis=1).max() / matrix.sum()),
        confusion_of={"features": OWN, "classifier": best.classifier, "n_labels": best.n_labels},
        end_to_end=given if learned else None,
        beside=None if common is None else common.report(),
        confusion=matrix,
    )


# --- features ---------------------------------------------------------------------------------


def _parts(embeddings: Embeddings, vectors: Vectors) -> dict[str, Vectors]:
    if not embeddings.parts:
        raise DataError(
            f"{embeddings.name}: its vectors have no parts to judge by themselves; those of a model with "
            "several are needed. Leave out --parts."
        )
    return {name: vectors[:, here] for name, here in embeddings.parts.items()}


def _baselines(
    embeddings: Embeddings, rows: Ints, config: ProbeConfig, tiles: TileSet | None
) -> dict[str, Vectors]:
    if tiles is None or not config.baselines:
        return {}
    # And with it torch, if it is needed.
    from tile2vec_cli.evaluation.baselines import BASELINES, Architecture

    ids = positions(embeddings, tiles, "--baselines need", rows)
    architecture = Architecture.of(embeddings.metadata)
    order = np.argsort(ids, kind="stable")  # as they lie in their scenes: read through, not here and there
    back, ids = np.argsort(order), ids[order]
    return {name: BASELINES[name](tiles, ids, config.seed, architecture)[back] for name in config.baselines}


# --- trials ------------------------------------------------------------------------------------


def _draws(task: Task, embeddings: Embeddings, config: ProbeConfig) -> list[_Draw]:
    """The repeats, and where they are of whole places some random splits beside them."""
    draws = []
    overlaps = splits.overlapping(embeddings.shapes(task.rows), task.units)
    for repeat in range(config.repeats):
        random = np.random.default_rng((config.seed, 0, repeat))
        if config.split == "random":
            split = splits.random_split(len(task.rows), config.test_fraction, random)
        else:
            split = splits.block_split(task.units, task.classes, overlaps, config.test_fraction, random)
        draws.append(_draw(split, task, random, counts=True))
    if config.split != "random":
        for repeat in range(min(config.repeats, RANDOM_REPEATS)):
            random = np.random.default_rng((config.seed, 1, repeat))
            split = splits.random_split(len(task.rows), config.test_fraction, random)
            draws.append(_draw(split, task, random, counts=False))
    if min(len(draw.order) for draw in draws) < 2:
        raise DataError(
            f"{embeddings.name}: every tile to train on overlaps a tile to test on; tiles apart are needed. "
            + ("Make --block larger." if config.split == "blocks" else "Cut tiles that do not overlap.")
        )
    return draws


def _tested(task: Task, regions: Labels, tests: Sequence[Split], config: ProbeConfig) -> dict[str, object]:
    """The regions, and which of them were tested in each repeat."""
    names = np.array(regions.classes, dtype=object)
    return {
        "field": config.region_field,
        "names": names[np.unique(task.units)].tolist(),
        "tested": [names[np.unique(task.units[split.test])].tolist() for split in tests],
    }


def _draw(split: Split, task: Task, random: np.random.Generator, *, counts: bool) -> _Draw:
    order = splits.label_order(split.train, task.classes, random) if len(split.train) else split.train
    if len(split.test) > TEST_MOST:
        split = replace(split, test=np.sort(random.choice(split.test, TEST_MOST, replace=False)))
    return _Draw(split, order, counts)


def _learned(
    embeddings: Embeddings,
    task: Task,
    draws: Sequence[_Draw],
    n_labels: Sequence[int],
    config: ProbeConfig,
    tiles: TileSet | None,
    model: Path | None,
    fits: Fits,
    on_progress: Progress,
) -> dict[_Key, list[Ints]]:
    """What networks answer that learn from the pixels themselves, in the first draws that count."""
    if tiles is None or config.end_to_end is None:
        return {}
    from tile2vec_cli.evaluation import end_to_end
    from tile2vec_cli.learning.optimise import Budget

    ids = positions(embeddings, tiles, "--end-to-end needs", task.rows)
    budget = Budget(minutes=config.end_to_end)
    rivals = end_to_end.Rivals.of(tiles, ids, embeddings.metadata, budget, config.seed, model)
    sides = [(draw.order, draw.split.test) for draw in draws if draw.counts][: config.end_to_end_repeats]
    return end_to_end.judged(rivals, task.classes, sides, n_labels, fits, on_progress)

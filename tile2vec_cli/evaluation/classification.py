"""From labelled vectors to a classifier whose probabilities can be believed.

The classifier is one of the probe's, fitted to all labels. How good it is, and how its probabilities
are to be scaled, is found on the probe's own splits: whole spatial blocks that it has not seen, and
no tile that overlaps one it was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import splits
from tile2vec_cli.evaluation.classifiers import CLASSIFIERS, Classes, Training, Vectors, each, quietly
from tile2vec_cli.evaluation.scores import Score, confusion
from tile2vec_cli.evaluation.splits import Split
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.outputs.parts import Progress, silent

REPEATS = ProbeConfig.repeats
_TRAIN_MOST, _TEST_MOST = 10_000, 20_000  # tiles of a split: more would not change the third digit
_LEAST = 1e-12  # probability; those of a logistic regression reach 0 in floating point

BINS = 10
_LARGEST = 20.0  # temperature, and the inverse of the smallest


@dataclass(frozen=True)
class HeldOut:
    """What classifiers like the fitted one answer where they have not been."""

    score: Score
    tiles: int  # asked about, each in one repeat or more
    blocks: int
    temperature: float  # what their answers need
    reliability: Mapping[str, Any]  # see `calibration`; each repeat scaled by what the other tiles taught


@dataclass(frozen=True)
class Fitted:
    """A classifier of K classes."""

    classes: Ints  # (K,) ascending
    classifier: str
    labels: int  # it was fitted to
    held_out: HeldOut | None  # None: the labels are too few, see `why`
    why: str
    left_out: Mapping[int, str]  # classes that no held-out tile was asked about, and why
    _model: Any = field(repr=False)

    @property
    def temperature(self) -> float:
        return 1.0 if self.held_out is None else self.held_out.temperature

    def probabilities(self, vectors: Vectors) -> Floats:
        """(N, K) of vectors (N, D); rows add up to 1."""
        logits = _logits(self._model, vectors, len(self.classes))
        return softmax(logits, self.temperature)


def fit(
    vectors: Vectors,
    classes: NDArray[Any],
    blocks: Ints,
    classifier: str = "logistic",
    seed: int = 0,
    overlaps: Ints | None = None,
    on_progress: Progress = silent,
) -> Fitted:
    """Fit a classifier to n labelled tiles, and scale its probabilities on blocks left out.

    vectors: (n, D); classes: (n,) numbers of any kind; blocks: (n,) tiles of one number lie together;
    overlaps: (P, 2) pairs of tiles in different blocks that share ground, none by default.
    Raises DataError where all tiles are of one class.
    """
    names, numbers = np.unique(classes, return_inverse=True)
    own: Classes = numbers.astype(np.int32)
    if len(names) < 2:
        raise DataError(f"{len(own):,} labels, all of one class; two classes are needed. Label another one.")
    overlaps = np.empty((0, 2), np.int64) if overlaps is None else overlaps
    vectors = np.asarray(vectors, np.float32)
    held_out, why, left_out = _hold_out(vectors, own, blocks, overlaps, classifier, seed, on_progress)
    order = splits.label_order(np.arange(len(own)), own, np.random.default_rng(seed))
    with quietly():
        model = _trained(classifier, Training(vectors[order], own[order], blocks[order]), seed)
    reasons = {int(names[number]): reason for number, reason in left_out.items()}
    return Fitted(names.astype(np.int64), classifier, len(own), held_out, why, reasons, model)


def _trained(classifier: str, training: Training, seed: int) -> Any:
    return CLASSIFIERS[classifier](training, seed).fit(training.vectors, training.classes)


def _logits(model: Any, vectors: Vectors, classes: int) -> Floats:
    """(N, K) logarithms of the model's probabilities, -inf for classes it was not told of.

    What counts m votes (trees, neighbours) is never as sure as to say 0: a class has one vote more.
    """
    found = np.asarray(model.predict_proba(vectors), np.float64)
    last = getattr(model, "steps", [("", model)])[-1][1]
    votes = getattr(last, "n_estimators", None) or getattr(last, "n_neighbors", None)
    if votes:
        found = (found * votes + 1) / (votes + found.shape[1])
    logits = np.full((len(vectors), classes), -np.inf)
    logits[:, model.classes_] = np.log(np.maximum(found, _LEAST))
    return logits


# --- held-out blocks -----------------------------------------------------------------------------
def _hold_out(
    vectors: Vectors,
    classes: Classes,
    blocks: Ints,
    overlaps: Ints,
    classifier: str,
    seed: int,
    on_progress: Progress,
) -> tuple[HeldOut | None, str, dict[int, str]]:
    """What is found on held-out blocks, or why nothing is, and which classes play no part in it."""
    left_out = _too_few(classes, blocks)
    rows = np.flatnonzero(~np.isin(classes, list(left_out)))
    names, numbers = np.unique(classes[rows], return_inverse=True)
    count = len(np.unique(blocks))
    if count < 2:
        return None, "all labels lie in one block", left_out
    if len(names) < 2:
        return None, "fewer than two classes have tiles in two blocks", left_out
    own: Classes = numbers.astype(np.int32)
    place = np.full(len(classes), -1)
    place[rows] = np.arange(len(rows))
    pairs = place[overlaps]
    draws = _draws(own, blocks[rows], pairs[(pairs >= 0).all(axis=1)], seed)
    if not draws:
        return None, "no division of the blocks leaves two classes to learn from", left_out

    def answer(draw: Split) -> Floats:
        own_rows = rows[draw.train]
        training = Training(vectors[own_rows], own[draw.train], blocks[own_rows])
        model = _trained(classifier, training, seed)
        return _logits(model, vectors[rows[draw.test]], len(names))

    logits = list(each(answer, draws, on_progress))
    found = _judged(classifier, own, draws, logits, len(np.unique(blocks[rows])))
    return found, "", left_out


def _too_few(classes: Classes, blocks: Ints) -> dict[int, str]:
    """Classes that cannot be on both sides of a split, and why."""
    found = {}
    for number in np.unique(classes).tolist():
        own = blocks[classes == number]
        if len(own) == 1:
            found[number] = "has one tile"
        elif len(np.unique(own)) == 1:
            found[number] = f"has all its {len(own):,} tiles in one block"
    return found


def _draws(classes: Classes, blocks: Ints, overlaps: Ints, seed: int) -> list[Split]:
    """The splits of a probe with this seed; the training side in the order in which it is learned."""
    draws = []
    for repeat in range(REPEATS):
        random = np.random.default_rng((seed, 0, repeat))
        split = splits.block_split(blocks, classes, overlaps, ProbeConfig.test_fraction, random)
        if len(np.unique(classes[split.train])) < 2:
            continue
        order, test = splits.label_order(split.train, classes, random)[:_TRAIN_MOST], split.test
        if len(test) > _TEST_MOST:
            test = np.sort(random.choice(test, _TEST_MOST, replace=False))
        draws.append(Split(order, test))
    return draws


def _judged(
    classifier: str, classes: Classes, draws: list[Split], logits: list[Floats], blocks: int
) -> HeldOut:
    tile = np.concatenate([draw.test for draw in draws])
    truth, answers = classes[tile], np.concatenate(logits)
    predicted = answers.argmax(axis=1).astype(np.int32)
    ends = np.cumsum([len(draw.test) for draw in draws])[:-1]
    matrices = [
        confusion(one, other, answers.shape[1])
        for one, other in zip(np.split(truth, ends), np.split(predicted, ends), strict=True)
    ]
    probability = []
    for draw, own in zip(draws, logits, strict=True):
        others = ~np.isin(tile, draw.test)
        scale = temperature(answers[others], truth[others], len(np.unique(tile[others])))
        probability.append(softmax(own, scale).max(axis=1))
    tiles = len(np.unique(tile))
    return HeldOut(
        Score.of("embeddings", classifier, round(np.mean([len(draw.train) for draw in draws])), matrices, []),
        tiles,
        blocks,
        temperature(answers, truth, tiles),
        reliability(np.concatenate(probability), predicted == truth),
    )


def softmax(logits: Floats, temperature: float = 1.0) -> Floats:
    """(N, K) probabilities; a logit of -inf is a class that cannot be."""
    shifted = (logits - logits.max(axis=1, keepdims=True)) / temperature
    weights = np.exp(shifted)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def temperature(logits: Floats, classes: NDArray[np.int32], tiles: int) -> float:
    """What to divide logits (M, K) by, for answers about tiles of these classes (M,).

    tiles: how many tiles these are; some may have been asked about more than once. Answers by a classifier
    that knew nothing of a tile's class (-inf) do not count; 1 where there are no others.
    """
    asked = np.isfinite(logits[np.arange(len(classes)), classes])
    logits, classes = logits[asked], classes[asked]
    if not len(classes):
        return 1.0
    known = np.isfinite(logits)
    target = known / (tiles + logits.shape[1])
    target[np.arange(len(classes)), classes] *= tiles + 1

    def loss(log_temperature: float) -> float:
        found = softmax(logits, np.exp(log_temperature))
        return -float((target * np.log(np.maximum(found, np.finfo(float).tiny)))[known].sum())

    bound = np.log(_LARGEST)
    found = minimize_scalar(loss, bounds=(-bound, bound), method="bounded")
    return float(np.exp(found.x))


def reliability(probability: Floats, right: NDArray[np.bool_], bins: int = BINS) -> Mapping[str, Any]:
    """How often answers of such probabilities (M,) are right (M,), bin by bin; empty bins are left out."""
    edges = np.linspace(0, 1, bins + 1)
    own: Ints = np.clip(np.digitize(probability, edges) - 1, 0, bins - 1)
    found, error = [], 0.0
    for number in np.unique(own).tolist():
        here = own == number
        mean, share = float(probability[here].mean()), float(right[here].mean())
        error += here.mean() * abs(mean - share)
        found.append(
            {
                "from": round(float(edges[number]), 4),
                "to": round(float(edges[number + 1]), 4),
                "count": int(here.sum()),
                "probability": round(mean, 4),
                "right": round(share, 4),
            }
        )
    return {"bins": found, "expected_calibration_error": round(float(error), 4)}

"""The classifiers that judge features, all from scikit-learn.

None is tuned on the tiles it is tested on. Features are standardised by the training tiles: each number by
its own deviation, or all by one, which leaves vectors the shape they came in. What suits both the
features and the classes is found on blocks of the training tiles left out in turn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.job.resources import usable_cpus
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.workers import processes

Trial = TypeVar("Trial")
Result = TypeVar("Result")
Vectors = NDArray[np.float32]
Classes = NDArray[np.int32]

_STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)  # of logistic regression's trust in the labels
_USUAL = 0.1  # where none of them wins
_FOLDS = 3
_TUNED_ON = 1000  # labels; more do not change the choice
_HALVED = 2000  # labels beyond which each tree sees half of them: as good, in half the time


class OneScale(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Takes the mean off and divides all numbers by the root of their mean variance."""

    def fit(self, vectors: Vectors, _classes: object = None) -> OneScale:
        self.mean_ = vectors.mean(axis=0)
        self.scale_ = float(np.sqrt(vectors.var(axis=0).mean())) or 1.0
        return self

    def transform(self, vectors: Vectors) -> Vectors:
        scaled: Vectors = (vectors - self.mean_) / self.scale_
        return scaled


_SCALERS = (StandardScaler, OneScale)


@dataclass(frozen=True)
class Training:
    """n labelled tiles."""

    vectors: Vectors  # (n, D)
    classes: Classes  # (n,)
    blocks: Ints  # (n,) tiles of one number lie together


def logistic(training: Training, seed: int) -> Any:
    """Regularised as suits the features: few need little, many need much."""
    right = {(scaler, strength): 0 for scaler in _SCALERS for strength in _STRENGTHS}
    for scaler, vectors, classes, left_out, answers in _left_out(training):
        # Along the strengths each fit begins where the last one ended.
        model = LogisticRegression(max_iter=200, tol=1e-3, warm_start=True)
        for strength in _STRENGTHS:
            model.set_params(C=strength).fit(vectors, classes)
            right[scaler, strength] += int((model.predict(left_out) == answers).sum())
    best = {}
    for scaler in _SCALERS:
        own = {strength: right[scaler, strength] for strength in _STRENGTHS}
        best[scaler] = max(own, key=lambda strength: (own[strength], strength == _USUAL))
    scaler = _scaler({scaler: right[scaler, strength] for scaler, strength in best.items()}, training)
    return make_pipeline(scaler(), LogisticRegression(C=best[scaler], max_iter=200, tol=1e-3))


def _scaler(right: dict[Any, int], training: Training) -> Any:
    """The usual one, unless the other has more right answers by more than a standard error."""
    usual, other = _SCALERS
    asked = min(len(training.classes), _TUNED_ON)
    error = (right[usual] * (1 - right[usual] / asked)) ** 0.5
    return other if right[other] > right[usual] + error else usual


def _left_out(training: Training) -> Iterator[tuple[Any, Vectors, Classes, Vectors, Classes]]:
    """Scaler, scaled vectors and classes to learn from, then those of the blocks left out."""
    vectors, classes = training.vectors[:_TUNED_ON], training.classes[:_TUNED_ON]
    blocks = training.blocks[:_TUNED_ON]
    if len(np.unique(blocks)) < _FOLDS:
        return
    for fit, test in GroupKFold(_FOLDS).split(vectors, classes, blocks):
        if len(np.unique(classes[fit])) > 1:
            for scaler in _SCALERS:
                scaled = scaler().fit(vectors[fit])
                yield (
                    scaler,
                    scaled.transform(vectors[fit]),
                    classes[fit],
                    scaled.transform(vectors[test]),
                    classes[test],
                )


def forest(training: Training, seed: int) -> Any:
    share = 0.5 if len(training.classes) > _HALVED else None
    return RandomForestClassifier(100, max_samples=share, random_state=seed)


def mlp(training: Training, seed: int) -> Any:
    batch = min(len(training.classes), 128)
    network = MLPClassifier((128,), alpha=0.01, batch_size=batch, max_iter=100, random_state=seed)
    return make_pipeline(StandardScaler(), network)


def knn(training: Training, seed: int) -> Any:
    right = dict.fromkeys(_SCALERS, 0)
    for scaler, vectors, classes, left_out, answers in _left_out(training):
        right[scaler] += int(
            (_nearest(len(classes)).fit(vectors, classes).predict(left_out) == answers).sum()
        )
    return make_pipeline(_scaler(right, training)(), _nearest(len(training.classes)))


def _nearest(labels: int) -> Any:
    return KNeighborsClassifier(min(10, labels), weights="distance")


CLASSIFIERS: dict[str, Callable[[Training, int], Any]] = {
    "logistic": logistic,
    "forest": forest,
    "mlp": mlp,
    "knn": knn,
}


def predict(name: str, training: Training, test: Vectors, *, seed: int) -> Classes:
    """(M,) classes of `test` (M, D), by a classifier fitted to the labelled tiles."""
    first = training.classes[0]
    if (training.classes == first).all():
        return np.full(len(test), first, np.int32)
    model = CLASSIFIERS[name](training, seed)
    model.fit(training.vectors, training.classes)
    return np.asarray(model.predict(test), dtype=np.int32)


@contextmanager
def quietly() -> Iterator[None]:
    """Without warnings of stopping early: it costs nothing here, and separable classes never converge.

    Nor of numbers that are none in a product of finite matrices: BLAS raises that flag now and then for what
    lies beyond a small one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "invalid value encountered in matmul", RuntimeWarning)
        yield


def each(
    do: Callable[[Trial], Result], trials: Sequence[Trial], on_progress: Progress = silent
) -> Iterator[Result]:
    """What comes of each trial, in their order, by as many processes as there are CPUs."""
    with quietly():
        for done, result in enumerate(processes.each(do, trials, usable_cpus()), start=1):
            on_progress(done, len(trials))
            yield result

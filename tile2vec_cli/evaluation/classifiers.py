"""The classifiers that judge features, all from scikit-learn.

None is tuned on the tiles it is tested on. Features are standardised by the training tiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tile2vec_cli.geo.grid import Ints

Vectors = NDArray[np.float32]
Classes = NDArray[np.int32]

_STRENGTHS = (0.1, 0.01, 1.0, 10.0)  # of logistic regression's trust in the labels; the first where none wins
_FOLDS = 3
_TUNED_ON = 1000  # labels; more do not change the choice
_HALVED = 2000  # labels beyond which each tree sees half of them: as good, in half the time


@dataclass(frozen=True)
class Training:
    """n labelled tiles."""

    vectors: Vectors  # (n, D)
    classes: Classes  # (n,)
    blocks: Ints  # (n,) tiles of one number lie together


def logistic(training: Training, seed: int) -> Any:
    """Regularised as suits the features: few need little, many need much.

    The strength is the one with the best accuracy on blocks of the training tiles left out in turn.
    """
    vectors, classes = training.vectors[:_TUNED_ON], training.classes[:_TUNED_ON]
    blocks = training.blocks[:_TUNED_ON]
    right = dict.fromkeys(_STRENGTHS, 0)
    if len(np.unique(blocks)) >= _FOLDS:
        for fit, test in GroupKFold(_FOLDS).split(vectors, classes, blocks):
            if len(np.unique(classes[fit])) > 1:
                for strength in _STRENGTHS:
                    model = _logistic(strength).fit(vectors[fit], classes[fit])
                    right[strength] += int((model.predict(vectors[test]) == classes[test]).sum())
    return _logistic(max(right, key=lambda strength: right[strength]))


def _logistic(strength: float) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=200, tol=1e-3))


def forest(training: Training, seed: int) -> Any:
    share = 0.5 if len(training.classes) > _HALVED else None
    return RandomForestClassifier(100, max_samples=share, random_state=seed)


def mlp(training: Training, seed: int) -> Any:
    batch = min(len(training.classes), 128)
    network = MLPClassifier((128,), alpha=0.01, batch_size=batch, max_iter=100, random_state=seed)
    return make_pipeline(StandardScaler(), network)


def knn(training: Training, seed: int) -> Any:
    neighbours = min(10, len(training.classes))
    return make_pipeline(StandardScaler(), KNeighborsClassifier(neighbours, weights="distance"))


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
    """Without warnings of stopping early: it costs nothing here, and separable classes never converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield

"""The classifiers that judge features, all from scikit-learn, all with settings fixed beforehand.

None is tuned on the tiles it is tested on. Features are standardised by the training tiles.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Vectors = NDArray[np.float32]
Classes = NDArray[np.int32]


def logistic(labels: int, seed: int, cpus: int) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))


def forest(labels: int, seed: int, cpus: int) -> Any:
    return RandomForestClassifier(100, random_state=seed, n_jobs=cpus)


def mlp(labels: int, seed: int, cpus: int) -> Any:
    network = MLPClassifier((128,), alpha=0.01, batch_size=min(labels, 128), max_iter=100, random_state=seed)
    return make_pipeline(StandardScaler(), network)


def knn(labels: int, seed: int, cpus: int) -> Any:
    return make_pipeline(StandardScaler(), KNeighborsClassifier(min(10, labels), weights="distance"))


CLASSIFIERS: dict[str, Callable[[int, int, int], Any]] = {
    "logistic": logistic,
    "forest": forest,
    "mlp": mlp,
    "knn": knn,
}


def predict(name: str, train: Vectors, classes: Classes, test: Vectors, *, seed: int, cpus: int) -> Classes:
    """(M,) classes of `test` (M, D), by a classifier fitted to `train` (n, D) and its `classes` (n,)."""
    if (classes == classes[0]).all():
        return np.full(len(test), classes[0], np.int32)
    model = CLASSIFIERS[name](len(train), seed, cpus)
    with warnings.catch_warnings():
        # Stopping a little early costs nothing here, and separable classes never converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train, classes)
    if name == "forest":
        model.set_params(n_jobs=1)  # threads would add up votes in any order: ties would fall at random
    return np.asarray(model.predict(test), dtype=np.int32)

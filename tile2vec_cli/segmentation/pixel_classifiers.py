"""Classifiers of single pixels: the rivals of the network, and the teachers of its soft labels.

All are scikit-learn's, with settings fixed beforehand. None goes into a model: what they know, the
network learns from them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import expit
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

Bands = NDArray[np.float32]
Mask = NDArray[np.bool_]
SIGMAS = (1.0, 2.5, 6.0)  # pixels: speckle, texture, surroundings
_SPREAD_SIGMA = 2.5

Features = NDArray[np.float32]
Probabilities = NDArray[np.float32]
TREES = 100
_CHUNK = 1 << 14  # pixels a thread classifies at a time
_KERNEL = 1 << 16  # numbers at a time of pixels times support vectors: they stay in cache
_MARGIN_SLOPE = 3.0  # an SVM's margin of ±1 is read as a probability of 0.95 or 0.05


def features(bands: Bands, valid: Mask) -> Bands:
    """(B, 5 C, S, S): the (B, C, S, S) bands, their Gaussian means at three scales, and their deviation.

    Pixels that are not valid (B, S, S) and those beyond the tile have no weight.
    """
    weight = valid[:, None].astype(np.float32)
    shown = bands * weight
    means = [_mean(shown, weight, sigma) for sigma in SIGMAS]
    centre = _mean(shown, weight, _SPREAD_SIGMA)
    spread = np.sqrt(np.maximum(_mean(shown * bands, weight, _SPREAD_SIGMA) - centre**2, 0))
    return np.concatenate([bands, *means, spread], axis=1)


def _mean(shown: Bands, weight: Bands, sigma: float) -> Bands:
    scales = (0.0, 0.0, sigma, sigma)
    total = gaussian_filter(shown, scales, mode="constant")
    share = gaussian_filter(weight, scales, mode="constant")
    return np.asarray(total / np.maximum(share, 1e-3), dtype=np.float32)


@dataclass(frozen=True)
class Kind:
    """A classifier and what it is shown of a pixel."""

    build: Callable[[int], Any]  # seed -> an estimator
    sees_context: bool  # neighborhoods.features, else the pixel's own bands
    most_pixels: int  # it learns from; of more, so many are drawn


def _logistic(seed: int) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _forest(seed: int) -> Any:
    return RandomForestClassifier(TREES, random_state=seed)


def _svm(seed: int) -> Any:
    return make_pipeline(StandardScaler(), SVC(gamma="auto"))


KINDS: dict[str, Kind] = {
    "logistic": Kind(_logistic, False, 50_000),
    "forest": Kind(_forest, False, 20_000),
    "svm": Kind(_svm, False, 5_000),
    "logistic-context": Kind(_logistic, True, 50_000),
    "forest-context": Kind(_forest, True, 20_000),
    "svm-context": Kind(_svm, True, 5_000),
}


RIVALS = ("logistic", "forest", "svm", "forest-context")


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier: features (M, D) to probabilities (M,)."""

    model: Any  # a scikit-learn estimator; or the only state there was
    sees_context: bool

    def probability(self, features: Features, cpus: int = 1) -> Probabilities:
        """The same whatever the number of threads: each has pixels of its own."""
        if isinstance(self.model, float):
            return np.full(len(features), self.model, np.float32)
        chunks = [features[start : start + _CHUNK] for start in range(0, len(features), _CHUNK)]
        # Threads inside BLAS would wait for one another.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(cpus) as pool:
            parts = list(pool.map(self._probability, chunks))
        return np.concatenate([np.empty(0, np.float32), *parts])

    def _probability(self, features: Features) -> Probabilities:
        if hasattr(self.model, "predict_proba"):
            return np.asarray(self.model.predict_proba(features)[:, 1], np.float32)
        return np.asarray(expit(_MARGIN_SLOPE * _margin(self.model, features)), np.float32)


def _margin(model: Any, features: Features) -> NDArray[np.float32]:
    """(M,) what the pipeline's decision_function says, by products of matrices: ten times as fast.

    For pixels x and support vectors v, -g |x - v|² is the product of [x, |x|², 1] and [2 g v, -g, -g |v|²].
    """
    svm = model[-1]
    vectors, gamma = svm.support_vectors_, 1 / svm.n_features_in_
    squares = (vectors**2).sum(axis=1, keepdims=True)
    known = np.hstack([2 * gamma * vectors, np.full_like(squares, -gamma), -gamma * squares])
    known, weights = known.T.astype(np.float32), svm.dual_coef_[0].astype(np.float32)
    shown = model[:-1].transform(features)
    shown = np.hstack([shown, (shown**2).sum(axis=1, keepdims=True), np.ones((len(shown), 1), np.float32)])
    rows = max(1, _KERNEL // len(vectors))
    parts = [np.exp(some @ known) @ weights for some in np.split(shown, range(rows, len(shown), rows))]
    return np.asarray(np.concatenate(parts) + np.float32(svm.intercept_[0]))


def fit(name: str, features: Features, states: NDArray[np.uint8], seed: int) -> Classifier:
    """A classifier of `KINDS` fitted to pixels (M, D) whose states (M,) are 0 or 1."""
    kind = KINDS[name]
    if len(states) > kind.most_pixels:
        chosen = np.random.default_rng(seed).choice(len(states), kind.most_pixels, replace=False)
        features, states = features[chosen], states[chosen]
    if (states == states[0]).all():
        return Classifier(float(states[0]), kind.sees_context)
    model = kind.build(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # separable classes never converge
        model.fit(features, states)
    return Classifier(model, kind.sees_context)

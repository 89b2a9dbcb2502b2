"""Probabilities that mean what they say: a temperature, and how well answers keep their word.

Temperature scaling (Guo et al. 2017, "On calibration of modern neural networks") divides logits by one
number, fitted to answers about tiles that the classifier has not seen; which class is the most probable
stays as it was. Targets are Platt's (1999, "Probabilistic outputs for support vector machines"): n tiles
that were all answered right do not make anything certain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from tile2vec_cli.geo.grid import Floats, Ints

BINS = 10
_LARGEST = 20.0  # temperature, and the inverse of the smallest


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

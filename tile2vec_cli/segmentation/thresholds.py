"""From which probability on a pixel is of the class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

EVEN = 0.5
CANDIDATES = np.linspace(0.02, 0.98, 97)
_WORTH = 0.02  # of expected F1, below which 0.5 stays


def for_f1(probability: Floats) -> float:
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


def shares(probability: Floats, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(B, K) share of each tile's valid pixels that reach each of the candidate thresholds."""
    known = np.maximum(valid.sum(axis=(1, 2)), 1)
    reached = [((probability >= bound) & valid).sum(axis=(1, 2)) / known for bound in CANDIDATES]
    return np.stack(reached, axis=1)


def for_tiles(shares: NDArray[np.float64], states: NDArray[np.uint8]) -> float:
    """The threshold by which most tiles (n,) are told right, the nearest to 0.5 of several.

    shares: (n, K), see `shares`. A tile is of the class where most of its pixels are: this is how the
    class activation map of Wang et al. 2020 is cut.
    """
    right = ((shares > 0.5) == (states == 1)[:, None]).mean(axis=0)
    best = np.flatnonzero(right == right.max())
    return float(CANDIDATES[best[np.argmin(np.abs(CANDIDATES[best] - EVEN))]])

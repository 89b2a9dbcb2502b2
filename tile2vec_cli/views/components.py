"""The first three principal components of vectors of any number, as red, green and blue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.geo.grid import Floats

COLOURS = 3
LOW, HIGH = 2, 98  # percentiles that become 0 and 255: outliers would take the colours from the rest


class Moments:
    """The mean and covariance of vectors that come a batch at a time.

    In doubles and about the mean of what has come (Chan, Golub, LeVeque 1979): sums of squares cancel
    where vectors lie far from zero.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Floats = np.zeros(0)  # (D,)
        self.scatter: Floats = np.zeros((0, 0))  # (D, D) sum of (x - mean)(x - mean)^T

    def add(self, vectors: NDArray[Any]) -> None:
        """vectors: (B, D)."""
        if not len(vectors):
            return
        if not self.count:
            self.mean = np.zeros(vectors.shape[1])
            self.scatter = np.zeros((vectors.shape[1], vectors.shape[1]))
        own = vectors.astype(np.float64)
        mean = own.mean(axis=0)
        own -= mean
        away, total = mean - self.mean, self.count + len(own)
        self.scatter += own.T @ own + np.outer(away, away) * (self.count * len(own) / total)
        self.mean = self.mean + away * (len(own) / total)
        self.count = total


@dataclass(frozen=True)
class Components:
    """Directions of the greatest variance, the first ones first."""

    mean: Floats  # (D,)
    axes: Floats  # (3, D) unit vectors; zeros where the vectors vary in fewer directions
    shares: tuple[float, ...]  # (3,) of the whole variance

    @classmethod
    def of(cls, moments: Moments) -> Components:
        """An axis and its opposite are as good: the one whose largest number is positive is taken."""
        variance, directions = np.linalg.eigh(moments.scatter)  # in ascending order
        found = np.zeros((COLOURS, len(variance)))
        # What is left of no variance by rounding is none.
        real = np.flatnonzero(variance > variance.max(initial=0) * 1e-12)[::-1][:COLOURS]
        found[: len(real)] = directions[:, real].T
        largest = found[np.arange(COLOURS), np.abs(found).argmax(axis=1)]
        found *= np.where(largest < 0, -1, 1)[:, None]
        shares = np.zeros(COLOURS)
        shares[: len(real)] = variance[real] / max(float(variance[variance > 0].sum()), 1e-300)
        return cls(moments.mean, found, tuple(shares.tolist()))

    def project(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """(B, 3) of (B, D)."""
        return np.asarray(((vectors - self.mean) @ self.axes.T).astype(np.float32))


@dataclass(frozen=True)
class Stretch:
    """Which values of each component become 0 and 255."""

    low: Floats  # (3,)
    high: Floats

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> Stretch:
        """values: (N, 3)."""
        low, high = np.percentile(values.astype(np.float64), [LOW, HIGH], axis=0)
        return cls(low, high)

    def colours(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """(N, 3) red, green, blue of (N, 3) values; the middle where a component does not vary."""
        spread = self.high - self.low
        share = np.where(spread > 0, (values - self.low) / np.where(spread > 0, spread, 1), 0.5)
        return np.asarray(np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8))

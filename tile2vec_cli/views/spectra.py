"""What two moments of vectors say: where their variance lies, as colours too, and whether they collapsed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.geo.grid import Floats

COLOURS = 3
LOW, HIGH = 2, 98  # percentiles that become 0 and 255: outliers would take the colours from the rest
_DEAD = 1e-6  # of the mean variance: a dimension with less says nothing


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
        variance, directions = np.linalg.eigh(moments.scatter)  # in ascending order
        found = np.zeros((COLOURS, len(variance)))
        # What is left of no variance by rounding is none.
        real = np.flatnonzero(variance > variance.max(initial=0) * 1e-12)[::-1][:COLOURS]
        found[: len(real)] = directions[:, real].T
        shares = np.zeros(COLOURS)
        shares[: len(real)] = variance[real] / max(float(variance[variance > 0].sum()), 1e-300)
        return cls(moments.mean, _upright(found), tuple(shares.tolist()))

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


@dataclass(frozen=True)
class Spread:
    """In how many directions vectors of D numbers vary."""

    eigenvalues: Floats = field(repr=False)  # (D,) of the covariance, the largest first

    @property
    def dim(self) -> int:
        return len(self.eigenvalues)

    @property
    def shares(self) -> Floats:
        """(D,) of the variance in each component; zeros where all vectors are alike."""
        total = self.eigenvalues.sum()
        return self.eigenvalues / total if total > 0 else np.zeros(self.dim)

    @property
    def effective_rank(self) -> float:
        """exp of the entropy of the shares: D where all directions vary alike, 1 where one does.

        Roy and Vetterli (2007), "The effective rank: a measure of effective dimensionality",
        definition 2, of the covariance matrix. 0 where all vectors are alike.
        """
        shares = self.shares[self.shares > 0]
        return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0

    @property
    def components_for_90(self) -> int:
        """How many components hold nine tenths of the variance; 0 where all vectors are alike."""
        held = np.cumsum(self.shares)
        return int(np.searchsorted(held, 0.9 - 1e-12)) + 1 if held[-1] > 0 else 0


@dataclass(frozen=True)
class Spectrum(Spread):
    """What the first two moments of N vectors of D numbers say."""

    count: int
    mean: Floats = field(repr=False)  # (D,)
    variance: Floats = field(repr=False)  # (D,) of each dimension
    axes: Floats = field(repr=False)  # (D, D) principal components, unit vectors in rows
    mean_cosine: float  # over all pairs of vectors that are not zero
    zero: int  # vectors that are

    @classmethod
    def of(cls, batches: Iterable[Vectors]) -> Spectrum:
        moments = Moments()
        zero, unit = 0, np.zeros(0)
        for vectors in batches:
            moments.add(vectors)
            length = np.linalg.norm(vectors.astype(np.float64), axis=1)
            known = length > 0
            zero += int((~known).sum())
            directions = (vectors[known] / length[known, None]).sum(axis=0, dtype=np.float64)
            unit = directions if not len(unit) else unit + directions
        covariance = moments.scatter / max(moments.count - 1, 1)
        values, vectors_in_columns = np.linalg.eigh(covariance)
        counted = moments.count - zero
        # Each pair but those of a vector with itself.
        cosine = (unit @ unit - counted) / max(counted * (counted - 1), 1) if counted else 0.0
        return cls(
            np.maximum(values[::-1], 0),
            moments.count,
            moments.mean,
            np.diag(covariance).copy(),
            _upright(vectors_in_columns.T[::-1]),
            float(np.clip(cosine, -1, 1)),
            zero,
        )

    def part(self, here: slice) -> Spread:
        """That of some of the numbers alone."""
        axes = self.axes[:, here]
        values = np.linalg.eigvalsh((axes.T * self.eigenvalues) @ axes)
        return Spread(np.maximum(values[::-1], 0))

    @property
    def dead(self) -> int:
        """Dimensions that hold next to no variance."""
        return int((self.variance <= _DEAD * self.variance.mean()).sum())


def _upright(axes: Floats) -> Floats:
    """An axis (D,) and its opposite are as good: the one whose largest number is positive is taken."""
    largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
    return axes * np.where(largest < 0, -1, 1)[:, None]

"""How vectors use their dimensions: their variance, the directions it lies in, and whether they collapsed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.views.components import Moments

_DEAD = 1e-6  # of the mean variance: a dimension with less says nothing


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

    def components_for(self, share: float) -> int:
        """How many components hold this share of the variance."""
        return int(np.searchsorted(np.cumsum(self.shares), share - 1e-12)) + 1


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
        axes = vectors_in_columns.T[::-1]
        # An axis and its opposite are as good: the one whose largest number is positive is taken.
        largest = axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)]
        counted = moments.count - zero
        # Each pair but those of a vector with itself.
        cosine = (unit @ unit - counted) / max(counted * (counted - 1), 1) if counted else 0.0
        return cls(
            np.maximum(values[::-1], 0),
            moments.count,
            moments.mean,
            np.diag(covariance).copy(),
            axes * np.where(largest < 0, -1, 1)[:, None],
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

"""The place column: maximum autocorrelation factors, in closed form (Switzer, Green 1984).

What near tiles have in common and distant tiles have not needs no gradient to be found. Let S be the
covariance of the tiles' descriptors, and D that of half the difference between neighbors. The factors
are the solutions of S v = λ D v with the largest λ: the directions in which tiles differ most beside how
much neighbors do. Along each, neighbors differ by 1 on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tile2vec_cli.neural.descriptors import Descriptors, Shape

FACTORS = 16

Matrix = NDArray[np.float64]


class Place(nn.Module):
    """Maps raw pixels (B, C, S, S), the same standardised and the trained columns' vectors to (B, k)."""

    shift: Tensor  # (P + D,)
    weight: Tensor  # (P + D, k)

    def __init__(self, descriptors: Descriptors, shift: Tensor, weight: Tensor) -> None:
        super().__init__()
        self.descriptors = descriptors
        self.register_buffer("shift", shift)
        self.register_buffer("weight", weight)

    @classmethod
    def empty(cls, shape: Shape, trained: int, factors: int) -> Place:
        """To be filled with the numbers of a file. trained: the length of the trained columns' vectors."""
        width = shape.width + trained
        return cls(Descriptors.empty(shape), torch.empty(width), torch.empty(width, factors))

    @property
    def dim(self) -> int:
        return int(self.weight.shape[1])

    def forward(self, pixels: Tensor, standardised: Tensor, trained: Tensor) -> Tensor:
        described = torch.cat([self.descriptors(pixels, standardised), trained.float()], dim=1)
        with torch.autocast(pixels.device.type, enabled=False):
            return (described - self.shift) @ self.weight


@dataclass(frozen=True)
class Covariances:
    """Of descriptors: of all tiles, and of half the differences between neighbors."""

    total: Matrix  # (P, P)
    within: Matrix  # (P, P)

    @classmethod
    def of(cls, rows: NDArray[np.float32], pairs: NDArray[Any], at_a_time: int = 4096) -> Covariances:
        """rows: (N, P) with mean 0; pairs: (M, 2) of their numbers."""
        total, within = (np.zeros((rows.shape[1],) * 2) for _ in range(2))
        for start in range(0, len(rows), at_a_time):
            some = rows[start : start + at_a_time]
            total += some.T @ some
        for start in range(0, len(pairs), at_a_time):
            one, other = pairs[start : start + at_a_time].T
            apart = rows[one] - rows[other]
            within += apart.T @ apart
        return cls(total / len(rows), within / (2 * max(1, len(pairs))))

    def factors(self, count: int, shrinkages: Sequence[float]) -> list[Matrix]:
        """(P, k) for each shrinkage: the share of their mean that is added to the variances within."""
        variances, axes = np.linalg.eigh(self.within)
        turned = axes.T @ self.total @ axes
        return [self._factors(count, s, variances, axes, turned) for s in shrinkages]

    @staticmethod
    def _factors(count: int, shrinkage: float, variances: Matrix, axes: Matrix, turned: Matrix) -> Matrix:
        added = shrinkage * variances.mean()
        scale = (variances.clip(0) + (added if added > 0 else 1.0)) ** -0.5
        white = scale[:, None] * turned * scale
        if len(white) > 2 * count:
            from scipy.sparse.linalg import eigsh  # `embed` and `map` open a fitted column

            values, found = eigsh(white, count, v0=np.ones(len(white)))
        else:
            values, found = np.linalg.eigh(white)
        found = found[:, np.argsort(-values, kind="stable")[:count]]
        factors: Matrix = axes @ (scale[:, None] * found)
        # An eigenvector's sign is arbitrary: the largest number of each is positive.
        largest = np.abs(factors).argmax(axis=0)
        return factors * np.where(factors[largest, np.arange(factors.shape[1])] < 0, -1, 1)


def principal_axes(total: Matrix, count: int) -> Matrix:
    """(P, q) directions of most variance."""
    return np.ascontiguousarray(np.linalg.eigh(total)[1][:, ::-1][:, :count])

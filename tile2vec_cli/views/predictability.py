"""How well vectors tell known factors by a linear rule, all dimensions together and one alone.

Disentangled means that a factor that moves moves few dimensions. All together tell whether
a factor is in the vectors at all; one alone tells whether it has a dimension of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold

from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.evaluation import splits
from tile2vec_cli.evaluation.splits import Geometry
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.views.factors import Factors

_FOLDS = 5
_STRENGTHS = np.logspace(-1, 5, 7)


@dataclass(frozen=True)
class Told:
    """One factor, judged on blocks that were left out: R² is 1 for right, 0 for no better than the mean."""

    factor: str
    together: float  # R² of ridge regression on all dimensions
    alone: float  # R² of a line through the dimension that fits best on the other blocks
    dimension: int  # the one that correlates best over all, from 0

    @property
    def concentration(self) -> float:
        """What one dimension tells of what all do; 0 where they tell nothing."""
        return min(max(self.alone, 0.0) / self.together, 1.0) if self.together > 0 else 0.0


def told(vectors: Vectors, factors: Factors, blocks: Ints, geometry: Geometry) -> list[Told]:
    """vectors: (N, D); blocks: (N,), at least two, left out in turn. No tile that overlaps one of those
    left out is learned from."""
    truth = factors.values
    together, alone = (np.tile(truth.mean(axis=0), (len(truth), 1)) for _ in range(2))
    for train, test in _folds(blocks, geometry):
        x, fresh = _standardised(vectors[train], vectors[test])
        y_mean, y_scale = truth[train].mean(axis=0), _scale(truth[train])
        y = (truth[train] - y_mean) / y_scale
        ridge = RidgeCV(_STRENGTHS, alpha_per_target=True).fit(x, y)
        together[test] = ridge.predict(fresh).reshape(len(test), -1) * y_scale + y_mean
        slopes = x.T @ y / len(x)  # (D, F) correlations: both have deviation 1
        best = np.abs(slopes).argmax(axis=0)
        alone[test] = fresh[:, best] * slopes[best, np.arange(len(best))] * y_scale + y_mean
    dimension = np.abs(correlations(vectors, truth)).argmax(axis=0)
    apart = np.square(truth - truth.mean(axis=0)).sum(axis=0)
    fits = [1 - np.square(truth - guess).sum(axis=0) / apart for guess in (together, alone)]
    return [
        Told(name, float(fits[0][k]), float(fits[1][k]), int(dimension[k]))
        for k, name in enumerate(factors.names)
    ]


def correlations(vectors: Vectors | Floats, values: Floats) -> Floats:
    """(D, F) Pearson's r of each of (N, D) with each of (N, F); 0 where a dimension does not vary."""
    x, _ = _standardised(vectors, vectors[:0])
    y = (values - values.mean(axis=0)) / _scale(values)
    return np.asarray(np.clip(x.T @ y / len(x), -1, 1))


def _folds(blocks: Ints, geometry: Geometry) -> Iterator[tuple[Ints, Ints]]:
    one, other = splits.overlapping(geometry, blocks).T
    for train, test in GroupKFold(min(_FOLDS, len(np.unique(blocks)))).split(blocks, groups=blocks):
        left_out = np.zeros(len(blocks), bool)
        left_out[test] = True
        shared = np.zeros(len(blocks), bool)
        shared[one[left_out[other]]] = True
        shared[other[left_out[one]]] = True
        kept = train[~shared[train]]
        if len(kept) > 1:
            yield kept, test


def _standardised(known: Vectors | Floats, fresh: Vectors | Floats) -> tuple[Floats, Floats]:
    """Both by the mean and deviation of the known."""
    own = known.astype(np.float64)
    mean, scale = own.mean(axis=0), _scale(own)
    return (own - mean) / scale, (fresh - mean) / scale


def _scale(values: Floats) -> Floats:
    scale = values.std(axis=0)
    return np.asarray(np.where(scale > 0, scale, 1.0))

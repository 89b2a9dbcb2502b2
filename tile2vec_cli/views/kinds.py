"""Kinds of tiles: k-means centres, and the tiles nearest to each."""

from __future__ import annotations

import heapq
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import TileId
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.views.exemplars import order

_NEAREST = 8  # tiles kept of each cluster: the first may lie at a place that is taken
SAMPLE = 50_000  # tiles that the centres are learned from


def sample(count: int, seed: int) -> Ints:
    """Row numbers of the tiles that the centres are learned from, ascending."""
    random = np.random.default_rng((seed, count))
    return np.sort(random.choice(count, min(count, SAMPLE), replace=False))


def centres(vectors: NDArray[Any], clusters: int, seed: int) -> Floats:
    """(K, D) of a sample (M, D): mini-batch k-means (Sculley 2010, "Web-scale k-means clustering").

    Fewer than asked for where the vectors take fewer values.
    """
    from sklearn.cluster import MiniBatchKMeans  # a second, which a map of colours does not wait for
    from sklearn.exceptions import ConvergenceWarning

    distinct = len(np.unique(vectors, axis=0))
    means = MiniBatchKMeans(min(clusters, distinct), random_state=seed, n_init=3, batch_size=4096)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        means.fit(vectors)
    return np.asarray(means.cluster_centers_, dtype=np.float64)


@dataclass
class Members:
    """How many tiles are nearest to each centre, and which are the nearest of these."""

    centres: Floats  # (K, D)
    most: int  # tiles kept of each
    counts: Ints = field(init=False)  # (K,)
    _kept: list[list[tuple[float, tuple[bool, TileId]]]] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros(len(self.centres), np.int64)
        self._kept = [[] for _ in self.centres]

    def add(self, ids: Sequence[TileId], vectors: Vectors) -> None:
        distance = cdist(vectors.astype(np.float64), self.centres)
        own = distance.argmin(axis=1)
        self.counts += np.bincount(own, minlength=len(self.centres))
        for number, kept in enumerate(self._kept):
            rows = np.flatnonzero(own == number)
            away = distance[rows, number]
            bound = np.partition(away, self.most - 1)[self.most - 1] if len(away) > self.most else np.inf
            near = away <= bound
            new = [(float(d), order(ids[row])) for d, row in zip(away[near], rows[near], strict=True)]
            self._kept[number] = heapq.nsmallest(self.most, [*kept, *new])

    def nearest(self, number: int) -> list[TileId]:
        """The tiles nearest to a centre, nearest first."""
        return [tile_id for _, (_, tile_id) in self._kept[number]]


class Clusters:
    """As `Members`, of a thousand centres: how many tiles are nearest to each, and the nearest few."""

    def __init__(self, centres: Floats) -> None:
        self._centres = centres.astype(np.float32)
        self._squares = (self._centres**2).sum(axis=1)
        self.counts = np.zeros(len(centres), np.int64)
        self._rows = np.full((len(centres), _NEAREST), -1)
        self._away = np.full((len(centres), _NEAREST), np.inf, np.float32)

    def add(self, rows: Ints, vectors: Vectors) -> None:
        # |v|² is left out of |v - c|²: it doesn't tell which centre is nearest.
        own = (self._squares - 2 * vectors @ self._centres.T).argmin(axis=1)
        away = np.linalg.norm(vectors - self._centres[own], axis=1)
        self.counts += np.bincount(own, minlength=len(self.counts))
        order = np.lexsort((rows, away, own))
        ends = np.searchsorted(own[order], np.arange(len(self.counts) + 1))
        for number in np.unique(own).tolist():
            new = order[ends[number] : ends[number + 1]][:_NEAREST]
            all_rows = np.append(self._rows[number], rows[new])
            all_away = np.append(self._away[number], away[new])
            kept = np.argsort(all_away, kind="stable")[:_NEAREST]
            self._rows[number], self._away[number] = all_rows[kept], all_away[kept]

    def nearest(self, number: int) -> list[int]:
        """Rows of the tiles nearest to a centre, the nearest first."""
        return [row for row in self._rows[number].tolist() if row >= 0]

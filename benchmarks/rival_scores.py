"""What rivals.py asks of vectors: the probe's accuracies, recall of a class, recognition of places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.evaluation import probing, splits
from tile2vec_cli.geo.grid import Ints, block_numbers, ecef
from tile2vec_cli.labelling import labels
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.tiling.tiles import TileSet

Vectors = NDArray[np.float32]

NEAREST, GROUPS = 20, 10
QUERIES = 3000  # tiles whose neighbours are looked up

Scores = dict[str, list[float]]  # by column: one a draw, or one a group of blocks


@dataclass(frozen=True)
class Judge:
    """What some tiles of a set are asked."""

    own: Embeddings  # of all that is judged, without vectors
    tiles: TileSet
    ids: Ints  # (N,) their positions
    tasks: Mapping[str, Labels]
    config: ProbeConfig

    def scores(self, vectors: Vectors, as_is: bool) -> Scores:
        """vectors: (N, D) of the tiles that are judged."""
        spread = vectors.std(axis=0)
        views = [vectors] if as_is else [vectors, vectors / np.where(spread > 0, spread, 1)]
        found: Scores = {}
        for name, own in self.tasks.items():
            said = probing.probe(self._with(vectors), own, self.config)
            found |= {f"{name} {s.n_labels:,} {s.classifier}": list(s.accuracies) for s in said.scores}
            found[f"{name} recall"] = max((self._recall(view, own) for view in views), key=np.nanmean)
        if self._places is not None:
            found["place"] = max((self._recognised(view) for view in views), key=np.nanmean)
        return found

    def _with(self, vectors: Vectors) -> Embeddings:
        own = self.own
        return Embeddings.of(vectors, own.geometry, tile_id=own.tile_id, datetime=own.datetime)

    @cached_property
    def _blocks(self) -> Ints:
        return block_numbers(self.own.lonlat, splits.BLOCK_SIDES * self.tiles.side_m)

    def _recall(self, vectors: Vectors, own: Labels) -> list[float]:
        task = splits.choose_task(self._with(vectors), own, self.config)
        queries = _some(len(task.rows))
        classes, blocks = task.classes, self._blocks[task.rows]
        right = np.empty(len(queries))
        for here, apart in _distances(vectors[task.rows], queries):
            apart[blocks[queries[here], None] == blocks] = np.inf
            near = np.argpartition(apart, NEAREST, axis=1)[:, :NEAREST]
            right[here] = (classes[near] == classes[queries[here], None]).mean(axis=1)
        return _groups(blocks[queries], right)

    @cached_property
    def _places(self) -> tuple[NDArray[np.int64], list[list[int]]] | None:
        """The date of each tile, and the tiles at its place; None where no place has two dates."""
        dates = self.tiles.datetime[self.ids]
        codes = self.tiles.scene_codes[self.ids].astype(np.int64)
        if not np.isnat(dates).any():
            codes = np.unique(dates, return_inverse=True)[1]
        twins = cKDTree(ecef(self.own.lonlat)).query_ball_point(ecef(self.own.lonlat), self.tiles.side_m / 2)
        several = any(len(np.unique(codes[near])) > 1 for near in twins)
        return (codes, list(twins)) if several else None

    def _recognised(self, vectors: Vectors) -> list[float]:
        assert self._places is not None
        codes, twins = self._places
        again = [k for k, near in enumerate(twins) if (codes[near] != codes[k]).any()]
        queries = np.array(again)[_some(len(again))]
        right = np.empty(len(queries))
        for here, apart in _distances(vectors, queries):
            apart[codes[queries[here], None] == codes] = np.inf
            near = apart.argmin(axis=1)
            right[here] = [found in twins[k] for k, found in zip(queries[here], near, strict=True)]
        return _groups(np.array([min(twins[k]) for k in queries]), right)


def _some(count: int) -> Ints:
    order = np.random.default_rng(0).permutation(count)
    return np.sort(order[:QUERIES])


def _groups(units: Ints, right: NDArray[np.float64]) -> list[float]:
    """Means over ten groups of blocks, or of places, of what holds for tiles in these."""
    held, unit = np.unique(units, return_inverse=True)
    group = np.random.default_rng(0).permutation(len(held))[unit] % GROUPS
    return [float(right[group == k].mean()) for k in range(min(GROUPS, len(held)))]


def _distances(vectors: Vectors, queries: Ints) -> Iterator[tuple[slice, Vectors]]:
    """Squared distances of some queries at a time to all vectors, less what is the same for a query."""
    vectors = vectors - vectors.mean(axis=0)  # lest large numbers cancel
    length = np.square(vectors).sum(axis=1)
    for start in range(0, len(queries), 500):
        here = slice(start, start + 500)
        yield here, length - 2 * vectors[queries[here]] @ vectors.T


def judge(tiles: TileSet, source: str, fields: list[str], ids: Ints, n_labels: tuple[int, ...]) -> Judge:
    names = np.array(tiles.table(["tile_id"])["tile_id"].to_pylist(), dtype=object)[ids]
    geometry, nothing = tiles.footprints(ids), np.zeros((len(ids), 1))
    own = Embeddings.of(nothing, geometry, tile_id=names)
    found = {}
    for field in fields if source else []:
        found[field or "classes"] = labels.read(source, geometry, names, field=field or None)
    return Judge(own, tiles, ids, found, ProbeConfig(classifiers=("logistic", "knn"), n_labels=n_labels))

"""Which tiles to label next, out of embeddings of any number.

With labels: of the tiles that the classifier is least sure of (the smallest margin between its two likeliest
classes: Scheffer, Decomain and Wrobel 2001, "Active hidden Markov models for information extraction"), those
that lie apart, in the vector space and on the ground, taken one after another. Without: the tiles at the
centres of k-means clusters, each of which stands for its cluster. No place is suggested twice, whatever its
dates, and none that has a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import SuggestConfig
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import Embeddings, OnRows, TileId
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import classification
from tile2vec_cli.evaluation.splits import POINT_BLOCK_M, block_side_m
from tile2vec_cli.geo.grid import Floats, Ints, ecef, spatial_blocks
from tile2vec_cli.labelling import labels as labelling
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.views import kinds
from tile2vec_cli.views.kinds import Clusters

UNSURE = "the tiles that the classifier is least sure of, apart from one another"
TYPICAL = "the tiles that stand for the most others: those at the centres of k-means clusters"

_SHARE = 0.49  # of a tile's side: centres nearer than that are one place, on other dates or in other scenes
_POINT_M = 1.0  # the same for points, which have no side
_CANDIDATES = 10  # times as many as are asked for: the least sure ones
_LEAST, _MOST = 50, 20_000  # candidates
_APART = 5  # sides of a tile beyond which it doesn't matter how far apart two suggestions lie
_SINGLED_OUT = 1000  # suggestions that are picked by where they lie; those beyond are taken as they come


@dataclass(frozen=True)
class Suggestion:
    """A tile to label."""

    row: int  # in the embeddings
    tile_id: TileId
    uncertainty: float | None  # 1 - the margin between its two likeliest classes; None without labels
    stands_for: int | None  # tiles of its cluster; None with labels


@dataclass(frozen=True)
class Suggested:
    """The tiles to label, the first ones first."""

    tiles: tuple[Suggestion, ...]
    embeddings: Embeddings
    strategy: str
    labels: Labels | None
    classes: int  # that have a labelled tile

    @property
    def rows(self) -> Ints:
        return np.array([one.row for one in self.tiles], np.int64)


@dataclass(frozen=True)
class Ground:
    """Where N tiles lie, and how far apart two of them have to be to count as two places."""

    xyz: Floats  # (N, 3) earth-centred, in metres
    place_m: float
    apart_m: float  # beyond it, two tiles are as far apart as they need be

    @classmethod
    def of(cls, embeddings: Embeddings) -> Ground:
        side = embeddings.side_m
        apart = _APART * side if side else POINT_BLOCK_M
        return cls(ecef(embeddings.lonlat), max(_SHARE * side, _POINT_M), apart)

    @cached_property
    def tree(self) -> cKDTree:
        return cKDTree(self.xyz)

    def away_from(self, taken: Ints) -> NDArray[np.bool_]:
        """(N,) which tiles lie at none of the places of these."""
        away = np.ones(len(self.xyz), bool)
        for rows in self.tree.query_ball_point(self.xyz[taken], self.place_m):
            away[rows] = False
        return away


def suggest(
    path: Path, labels: LabelSource | None, config: SuggestConfig, on_progress: Progress = silent
) -> Suggested:
    """The tiles to label next, `config.count` or all that are left.

    Where the labels are of fewer than two classes, the strategy is the one without labels. Raises InputError
    and DataError as `Embeddings.open` and `labels.read`, DataError where every place has a label.
    """
    every = Embeddings.open(path, part=config.part, on_rows=lambda done: on_progress(done, total))
    total = (2 if labels is None else 3) * len(every)  # to fit takes about as long as to go through the rows

    found, labelled = None, np.empty(0, np.int64)
    if labels is not None:
        found = labelling.read(
            labels, every.geometry, every.tile_id, field=config.field, min_purity=config.min_purity
        )
        labelled = found.labelled
    ground = Ground.of(every)
    free = ground.away_from(labelled)
    if not free.any():
        raise DataError(
            f"{path}: every place has a label; tiles without one are needed. There is none to label."
        )
    classes = 0 if found is None else len(np.unique(found.codes[labelled]))
    if found is not None and classes > 1:
        chosen = _unsure(
            every, found, labelled, free, ground, config, lambda done: on_progress(len(every) + done, total)
        )
    else:  # nothing is fitted
        before = total - len(every)
        chosen = _typical(every, free, ground, config, lambda done: on_progress(before + done, total))
    strategy = UNSURE if classes > 1 else TYPICAL
    return Suggested(tuple(chosen), every, strategy, found, classes)


def _unsure(
    every: Embeddings,
    labels: Labels,
    labelled: Ints,
    free: NDArray[np.bool_],
    ground: Ground,
    config: SuggestConfig,
    on_rows: OnRows,
) -> list[Suggestion]:
    random = np.random.default_rng(config.seed)
    if len(labelled) > kinds.SAMPLE:
        labelled = np.sort(random.choice(labelled, kinds.SAMPLE, replace=False))
    blocks = spatial_blocks(every.lonlat[labelled], block_side_m(every, None))
    fitted = classification.fit(
        every.vectors_of(labelled),
        labels.codes[labelled],
        blocks,
        config.classifier,
        config.seed,
        on_progress=lambda done, fits: on_rows(len(every) * done // fits),
    )
    unsure = np.empty(len(every), np.float32)
    for here in every.chunks():
        unsure[here] = uncertainty(fitted.probabilities(every.vectors[here]))
        on_rows(len(every) + here.stop)
    rows = candidates(unsure, free, config.count)
    near = replace(ground, xyz=ground.xyz[rows])
    rows = rows[spread(every.vectors_of(rows), near, unsure[rows], config.count)]
    found = zip(rows.tolist(), every.ids(rows), unsure[rows].tolist(), strict=True)
    return [Suggestion(row, tile_id, sure, None) for row, tile_id, sure in found]


def _typical(
    every: Embeddings, free: NDArray[np.bool_], ground: Ground, config: SuggestConfig, on_rows: OnRows
) -> list[Suggestion]:
    random = np.random.default_rng(config.seed)
    left = np.flatnonzero(free)
    rows = np.sort(random.choice(left, min(len(left), kinds.SAMPLE), replace=False))
    vectors = every.vectors_of(rows)
    clusters = Clusters(kinds.centres(vectors, min(config.count, _SINGLED_OUT), config.seed))
    for here in every.chunks():
        own = np.flatnonzero(free[here])
        clusters.add(here.start + own, every.vectors[here][own])
        on_rows(here.stop)
    chosen = typical(clusters, ground, random.permutation(left), config.count)
    ids = every.ids(np.array([row for row, _ in chosen], np.int64))
    return [Suggestion(row, tile_id, None, count) for (row, count), tile_id in zip(chosen, ids, strict=True)]


# --- the least sure, apart from one another ---------------------------------------------------------


def uncertainty(probabilities: Floats) -> NDArray[np.float32]:
    """(N,) 1 minus the margin between the two likeliest of (N, K) classes: 1 is undecided, 0 is sure."""
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    return (1 - (top[:, 1] - top[:, 0])).astype(np.float32)


def candidates(unsure: NDArray[np.float32], free: NDArray[np.bool_], count: int) -> Ints:
    """Rows of the least sure of the free tiles, the least sure first; of equally sure ones the first."""
    most = max(min(max(_CANDIDATES * count, _LEAST), _MOST), count)
    rows = np.flatnonzero(free)
    return rows[np.argsort(-unsure[rows], kind="stable")[:most]]


def spread(vectors: Vectors, ground: Ground, unsure: NDArray[np.float32], count: int) -> Ints:
    """Up to `count` of the candidates, taken one after another: the least sure one first, then that whose
    uncertainty times its distance from those taken, in the vector space and up to `apart_m` on the ground,
    is largest. One at a place at most.
    """
    chosen: list[int] = []
    from_vector, from_place = np.full(len(vectors), np.inf), np.full(len(vectors), np.inf)
    score, left = unsure.astype(np.float64), np.ones(len(vectors), bool)
    while len(chosen) < min(count, _SINGLED_OUT) and left.any():
        new = int(np.where(left, score, -np.inf).argmax())
        chosen.append(new)
        np.minimum(from_vector, np.linalg.norm(vectors - vectors[new], axis=1), out=from_vector)
        np.minimum(from_place, np.linalg.norm(ground.xyz - ground.xyz[new], axis=1), out=from_place)
        left &= from_place > ground.place_m
        score = unsure * from_vector * np.minimum(from_place / ground.apart_m, 1)
    return apart([*chosen, *np.flatnonzero(left).tolist()], ground, count)


# --- those that stand for others ----------------------------------------------------------------------


def typical(clusters: Clusters, ground: Ground, rest: Ints, count: int) -> list[tuple[int, int]]:
    """Rows and how many tiles each stands for: of each cluster, the largest first, the tile nearest to its
    centre whose place is not taken; then others of the clusters and of the rest, as far as `count` goes.
    """
    order = np.argsort(-clusters.counts, kind="stable").tolist()
    stands_for: dict[int, int] = {}
    left = np.ones(len(ground.xyz), bool)
    for number in order[:count]:
        row = next((row for row in clusters.nearest(number) if left[row]), None)
        if row is not None:
            stands_for[row] = int(clusters.counts[number])
            left[ground.tree.query_ball_point(ground.xyz[row], ground.place_m)] = False
    more = [row for number in order for row in clusters.nearest(number)]
    rows = apart([*stands_for, *more, *rest.tolist()], ground, count)
    return [(row, stands_for.get(row, 1)) for row in rows.tolist()]


def apart(rows: Sequence[int], ground: Ground, count: int) -> Ints:
    """The first `count` of the rows, but none at the place of one before it."""
    found: list[int] = []
    left = np.ones(len(ground.xyz), bool)
    for row in rows:
        if len(found) == count:
            break
        if left[row]:
            found.append(row)
            left[ground.tree.query_ball_point(ground.xyz[row], ground.place_m)] = False
    return np.array(found, np.int64)

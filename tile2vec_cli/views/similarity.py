"""Tiles like given ones: an exact search over embeddings of any number, a few thousand at a time.

A tile's distance is the Euclidean distance of its vector to that of the nearest example. Where
there are counter-examples, tiles nearer to one of these are left out. This is the 1-nearest-neighbour
rule: nothing is fitted or drawn, and with one example it is plain distance. On the labelled
sample it did as well as logistic regression against a sample of the rest. Mean distance to the
examples minus mean distance to the counter-examples, or their ratio, did far worse than
the distance alone: what a user rejects looks much like what he wants, and both measures then reward
whatever lies at the far end of the line from one to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from tile2vec_cli.config.views import SimilarConfig
from tile2vec_cli.embedding import embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import geoparquet
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.views import exemplars
from tile2vec_cli.views.exemplars import Batch, TileId

Keep = Callable[[Batch, Floats], None]


@dataclass(frozen=True)
class Near:
    """One tile of the result."""

    tile_id: TileId
    distance: float
    lonlat: tuple[float, float]
    geometry: Any  # shapely, in lon/lat

    @property
    def order(self) -> tuple[float, tuple[bool, TileId]]:
        return self.distance, exemplars.order(self.tile_id)


@dataclass(frozen=True)
class Found:
    """The nearest tiles, nearest first, and the tiles that the examples turned out to be."""

    near: tuple[Near, ...]
    examples: tuple[TileId, ...]
    counter_examples: tuple[TileId, ...]
    ruled_out: int  # tiles that are nearer to a counter-example


def search(
    path: Path, config: SimilarConfig, on_progress: Progress = silent, keep: Keep | None = None
) -> Found:
    """The tiles nearest to the examples, these left out; ties in the order of their tile_ids.

    keep: is shown every batch with its (B,) distances: 0 for an example, NaN for what is ruled out.
    Raises InputError and DataError as `embeddings.read`, and DataError for an example that is not there.
    """
    total = 2 * embeddings.count(path)
    meant = exemplars.resolve(
        path, (*config.to, *config.without), lambda done: on_progress(done, total), part=config.part
    )
    wanted = {meant[place].tile_id: meant[place].vector for place in config.to}
    unwanted = {meant[place].tile_id: meant[place].vector for place in config.without}
    for tile_id in wanted:
        if tile_id in unwanted:
            raise DataError(f"{tile_id}: given with --to and with --not; a tile can be only one of them.")
    half = total // 2
    near, ruled_out = rank(
        exemplars.batches(path, config.part),
        wanted,
        unwanted,
        config.top,
        lambda done: on_progress(half + done, total),
        keep,
    )
    if not near:
        raise DataError(f"{path}: holds no tiles beyond those given and excluded. Give fewer examples.")
    return Found(tuple(near), tuple(wanted), tuple(unwanted), ruled_out)


def rank(
    batches: Iterable[Batch],
    wanted: Mapping[TileId, Floats],
    unwanted: Mapping[TileId, Floats],
    top: int,
    on_rows: Callable[[int], None] = lambda _: None,
    keep: Keep | None = None,
) -> tuple[list[Near], int]:
    """The tiles nearest to the wanted vectors, and how many are nearer to an unwanted one.

    `on_rows` is told how many rows have been ranked; keep: see `search`.
    """
    to, without = np.stack([*wanted.values()]), np.stack([*unwanted.values()]) if unwanted else None
    ruled_out, done = 0, 0

    def distances(batch: Batch) -> Floats:
        nonlocal ruled_out, done
        distance, counter = _distances(batch.vectors, to, without)
        # The examples themselves are among those at no distance.
        same = np.flatnonzero((distance == 0) | (counter == 0))
        own = [row for row in same.tolist() if batch.ids[row] in wanted or batch.ids[row] in unwanted]
        out = counter < distance
        if keep is not None:
            keep(batch, np.where(out, np.nan, distance))
        out[own] = False
        ruled_out += int(out.sum())
        distance[out] = np.inf
        distance[own] = np.inf
        done += len(batch.ids)
        on_rows(done)
        return distance

    return nearest(batches, distances, top), ruled_out


def nearest(batches: Iterable[Batch], distances: Callable[[Batch], Floats], top: int) -> list[Near]:
    """The `top` tiles of the least distance, (B,) of each batch; infinite for what is left out."""
    near: list[Near] = []
    for batch in batches:
        near = _merged(near, batch, distances(batch), top)
    return near


def _distances(vectors: NDArray[np.float32], to: Floats, without: Floats | None) -> tuple[Floats, Floats]:
    """(B,) distances to the nearest example and to the nearest counter-example; infinite without any.

    Pair by pair, in doubles: a matrix product (|a|² - 2ab + |b|²) cancels for near twins, and gives equal
    vectors unequal distances depending on where in the product they stand.
    """
    own = vectors.astype(np.float64)
    distance = np.asarray(cdist(own, to).min(axis=1))
    if without is None:
        return distance, np.full(len(own), np.inf)
    return distance, np.asarray(cdist(own, without).min(axis=1))


def _merged(near: list[Near], batch: Batch, distance: Floats, top: int) -> list[Near]:
    """The `top` nearest of those found so far and of a batch."""
    bound = near[-1].distance if len(near) == top else np.inf
    if len(distance) > top:
        bound = min(bound, float(np.partition(distance, top - 1)[top - 1]))
    picked = np.flatnonzero((distance <= bound) & np.isfinite(distance)).tolist()
    picked = sorted(picked, key=lambda row: (distance[row], exemplars.order(batch.ids[row])))[:top]
    geometry = batch.rows.geometry[picked]
    new = [
        Near(batch.ids[row], float(distance[row]), (float(lon), float(lat)), shape)
        for row, (lon, lat), shape in zip(picked, geoparquet.centres(geometry), geometry, strict=True)
    ]
    return sorted([*near, *new], key=lambda one: one.order)[:top]

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

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from tile2vec_cli import embeddings, geoparquet
from tile2vec_cli.config import SimilarConfig
from tile2vec_cli.embeddings import Embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.grid import Floats
from tile2vec_cli.parts import Progress, silent
from tile2vec_cli.places import ground_m

TileId = str | int  # other people's rows without an id are known by their number
Place = str | tuple[float, float]

_ROWS = 8192  # at a time: 32 MB of doubles at 512 dimensions


@dataclass(frozen=True)
class Near:
    """One tile of the result."""

    tile_id: TileId
    distance: float
    lonlat: tuple[float, float]
    geometry: Any  # shapely, in lon/lat

    @property
    def order(self) -> tuple[float, tuple[bool, TileId]]:
        return self.distance, _order(self.tile_id)


def _order(tile_id: TileId) -> tuple[bool, TileId]:
    """Numbers and names don't compare, and a folder of other people's files may hold both."""
    return isinstance(tile_id, str), tile_id


@dataclass(frozen=True)
class Found:
    """The nearest tiles, nearest first, and the tiles that the examples turned out to be."""

    near: tuple[Near, ...]
    examples: tuple[TileId, ...]
    counter_examples: tuple[TileId, ...]
    ruled_out: int  # tiles that are nearer to a counter-example


@dataclass(frozen=True)
class _Batch:
    rows: Embeddings
    ids: Sequence[TileId]


@dataclass
class _Hit:
    """The best tile for one place so far."""

    distance_m: float = math.inf
    tile_id: TileId = ""
    inside: bool = False

    @property
    def order(self) -> tuple[bool, float, tuple[bool, TileId]]:
        return not self.inside, self.distance_m, _order(self.tile_id)


def search(path: Path, config: SimilarConfig, on_progress: Progress = silent) -> Found:
    """The tiles nearest to the examples, these left out; ties in the order of their tile_ids.

    Raises InputError and DataError as `embeddings.read`, and DataError for an example that is not there.
    """
    total = 2 * embeddings.count(path)
    wanted, unwanted = _resolved(path, config, lambda done: on_progress(done, total))
    for tile_id in wanted:
        if tile_id in unwanted:
            raise DataError(f"{tile_id}: given with --to and with --not; a tile is one or the other.")
    examples, counters = np.stack([*wanted.values()]), np.stack([*unwanted.values()]) if unwanted else None
    near: list[Near] = []
    ruled_out, done = 0, total // 2
    for batch in _batches(path):
        distance, out = _distances(batch.rows.vectors, examples, counters)
        own = np.array([i in wanted or i in unwanted for i in batch.ids])
        ruled_out += int((out & ~own).sum())
        distance[out | own] = np.inf
        near = _merged(near, batch, distance, config.top)
        done += len(batch.ids)
        on_progress(done, total)
    if not near:
        raise DataError(f"{path}: holds no tile but those given and those ruled out. Give fewer examples.")
    return Found(tuple(near), tuple(wanted), tuple(unwanted), ruled_out)


def _batches(path: Path) -> Iterator[_Batch]:
    start = 0
    for rows in embeddings.batches(path, _ROWS):
        ids = range(start, start + len(rows)) if rows.tile_id is None else rows.tile_id.tolist()
        yield _Batch(rows, ids)
        start += len(rows)


def _distances(
    vectors: NDArray[np.float32], examples: Floats, counters: Floats | None
) -> tuple[Floats, NDArray[np.bool_]]:
    """(B,) distance to the nearest example, and whether a counter-example is nearer.

    Pair by pair, in doubles: a matrix product (|a|² - 2ab + |b|²) cancels for near twins, and gives equal
    vectors unequal distances depending on where in the product they stand.
    """
    own = vectors.astype(np.float64)
    distance = cdist(own, examples).min(axis=1)
    if counters is None:
        return distance, np.zeros(len(own), bool)
    return distance, cdist(own, counters).min(axis=1) < distance


def _merged(near: list[Near], batch: _Batch, distance: Floats, top: int) -> list[Near]:
    """The `top` nearest of those found so far and of a batch."""
    bound = near[-1].distance if len(near) == top else np.inf
    if len(distance) > top:
        bound = min(bound, float(np.partition(distance, top - 1)[top - 1]))
    picked = np.flatnonzero((distance <= bound) & np.isfinite(distance)).tolist()
    picked = sorted(picked, key=lambda row: (distance[row], _order(batch.ids[row])))[:top]
    geometry = batch.rows.geometry[picked]
    new = [
        Near(batch.ids[row], float(distance[row]), (float(lon), float(lat)), shape)
        for row, (lon, lat), shape in zip(picked, geoparquet.centres(geometry), geometry, strict=True)
    ]
    return sorted([*near, *new], key=lambda one: one.order)[:top]


# --- examples --------------------------------------------------------------------------------


def _resolved(
    path: Path, config: SimilarConfig, on_rows: Callable[[int], None]
) -> tuple[dict[TileId, Floats], dict[TileId, Floats]]:
    """The tiles of --to and of --not with their vectors, in the order given."""
    places: list[Place] = list(dict.fromkeys((*config.to, *config.without)))
    points = np.array([place for place in places if not isinstance(place, str)]).reshape(-1, 2)
    hits = [_Hit() for _ in points]
    names = {place for place in places if isinstance(place, str)}
    vectors: dict[TileId, Floats] = {}
    by_text: dict[str, TileId] = {}
    done = 0
    for batch in _batches(path):
        for row, tile_id in enumerate(batch.ids):
            if str(tile_id) in names and tile_id not in vectors:
                vectors[tile_id] = batch.rows.vectors[row].astype(np.float64)
                by_text[str(tile_id)] = tile_id
        for point, hit in zip(points, hits, strict=True):
            better = _improve(hit, point, batch)
            if better is not None:
                vectors[hit.tile_id] = batch.rows.vectors[better].astype(np.float64)
        done += len(batch.ids)
        on_rows(done)
    found: dict[Place, TileId] = {}
    waiting = iter(hits)
    for place in places:
        if isinstance(place, str):
            if place not in by_text:
                raise DataError(f"{path}: holds no tile {place}; an example has to be in it. Check the id.")
            found[place] = by_text[place]
        else:
            found[place] = _at(path, place, next(waiting))
    return (
        {found[place]: vectors[found[place]] for place in config.to},
        {found[place]: vectors[found[place]] for place in config.without},
    )


def _improve(hit: _Hit, point: Floats, batch: _Batch) -> int | None:
    """The row of the batch that is a better tile for the point than the hit, which then becomes it.

    A footprint that holds the point is better than one that does not, then the nearer centre is, then
    the lower tile_id: of several dates of one place, the earliest where names hold dates.
    """
    inside = np.asarray(shapely.intersects_xy(batch.rows.geometry, *point))
    if hit.inside and not inside.any():
        return None
    rows = np.flatnonzero(inside) if inside.any() else np.arange(len(inside))
    centres = batch.rows.lonlat[rows]
    away = ground_m(centres, np.broadcast_to(point, centres.shape))
    row: int = min(rows[away == away.min()].tolist(), key=lambda row: _order(batch.ids[row]))
    new = _Hit(float(away.min()), batch.ids[row], bool(inside.any()))
    if new.order >= hit.order:
        return None
    hit.distance_m, hit.tile_id, hit.inside = new.distance_m, new.tile_id, new.inside
    return row


def _at(path: Path, place: tuple[float, float], hit: _Hit) -> TileId:
    if not hit.inside:
        lon, lat = place
        raise DataError(
            f"{path}: no footprint holds {lon:g},{lat:g}; the nearest, of {hit.tile_id}, has its centre "
            f"{hit.distance_m:,.0f} m away. Give its tile_id, or longitude,latitude of a point in a tile."
        )
    return hit.tile_id

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

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from tile2vec_cli.config.views import SimilarConfig
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import Embeddings, OnRows, TileId
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.views import exemplars


@dataclass(frozen=True)
class Near:
    """One tile of the result."""

    tile_id: TileId
    distance: float
    lonlat: tuple[float, float]
    geometry: Any  # shapely, in lon/lat


@dataclass(frozen=True)
class Found:
    """The nearest tiles, nearest first, and the tiles that the examples turned out to be."""

    near: tuple[Near, ...]
    examples: tuple[TileId, ...]
    counter_examples: tuple[TileId, ...]
    ruled_out: int  # tiles that are nearer to a counter-example
    embeddings: Embeddings
    distances: Floats = field(
        repr=False
    )  # (N,) of all tiles: 0 for an example, NaN nearer to a counter-example


def search(path: Path, config: SimilarConfig, on_progress: Progress = silent) -> Found:
    """The tiles nearest to the examples, these left out; ties in the order of their tile_ids.

    Raises InputError and DataError as `Embeddings.open`, and DataError for an example that is not there.
    """
    every = Embeddings.open(path, part=config.part, on_rows=lambda done: on_progress(done, total))
    total = 2 * len(every)
    meant = exemplars.resolve(every, (*config.to, *config.without))
    wanted = {meant[place].tile_id: meant[place].vector for place in config.to}
    unwanted = {meant[place].tile_id: meant[place].vector for place in config.without}
    for tile_id in wanted:
        if tile_id in unwanted:
            raise DataError(f"{tile_id}: given with --to and with --not; a tile can be only one of them.")
    found = rank(every, wanted, unwanted, config.top, lambda done: on_progress(len(every) + done, total))
    if not found.near:
        raise DataError(f"{path}: holds no tiles beyond those given and excluded. Give fewer examples.")
    return found


def rank(
    embeddings: Embeddings,
    wanted: Mapping[TileId, Floats],
    unwanted: Mapping[TileId, Floats],
    top: int,
    on_rows: OnRows = lambda _: None,
) -> Found:
    """The tiles nearest to the wanted vectors. `on_rows` is told how many rows have been ranked."""
    to, without = np.stack([*wanted.values()]), np.stack([*unwanted.values()]) if unwanted else None
    distance, counter = np.empty(len(embeddings)), np.empty(len(embeddings))
    for here in embeddings.chunks():
        distance[here], counter[here] = _distances(embeddings.vectors[here], to, without)
        on_rows(here.stop)
    # The examples themselves are among those at no distance.
    same = np.flatnonzero((distance == 0) | (counter == 0))
    ids = zip(same.tolist(), embeddings.ids(same), strict=True)
    own = [row for row, tile_id in ids if tile_id in wanted or tile_id in unwanted]
    out = counter < distance
    all_distances = np.where(out, np.nan, distance)
    out[own] = False
    distance[out] = np.inf
    distance[own] = np.inf
    near = nearest(embeddings, distance, top)
    return Found(near, tuple(wanted), tuple(unwanted), int(out.sum()), embeddings, all_distances)


def nearest(embeddings: Embeddings, distance: Floats, top: int) -> tuple[Near, ...]:
    """The `top` tiles of the least distance (N,), nearest first; infinite for what is left out."""
    bound = np.partition(distance, top - 1)[top - 1] if len(distance) > top else np.inf
    rows = np.flatnonzero((distance <= bound) & np.isfinite(distance))
    ids = embeddings.ids(rows)
    picked = sorted(range(len(rows)), key=lambda one: (distance[rows[one]], exemplars.order(ids[one])))[:top]
    rows, ids = rows[picked], [ids[one] for one in picked]
    geometry = embeddings.shapes(rows)
    return tuple(
        Near(tile_id, float(away), (float(lon), float(lat)), shape)
        for tile_id, away, (lon, lat), shape in zip(
            ids, distance[rows], outlines.centres(geometry), geometry, strict=True
        )
    )


def _distances(vectors: Vectors, to: Floats, without: Floats | None) -> tuple[Floats, Floats]:
    """(B,) distances to the nearest example and to the nearest counter-example; infinite without any.

    Pair by pair, in doubles: a matrix product (|a|² - 2ab + |b|²) cancels for near twins, and gives equal
    vectors unequal distances depending on where in the product they stand.
    """
    own = vectors.astype(np.float64)
    distance = np.asarray(cdist(own, to).min(axis=1))
    if without is None:
        return distance, np.full(len(own), np.inf)
    return distance, np.asarray(cdist(own, without).min(axis=1))

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

import numpy as np
from scipy.spatial.distance import cdist

from tile2vec_cli.config.views import SimilarConfig
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import Embeddings, OnRows, TileId
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.records import Report
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import exemplars, near_reports
from tile2vec_cli.views.contact_sheets import SHOWN, Group, Source
from tile2vec_cli.views.mosaics import Placing
from tile2vec_cli.views.near_reports import Finding, Near, Outputs, nearest
from tile2vec_cli.views.value_maps import Maps

_TAGS = {
    "TILE2VEC_FORMAT": "tile2vec-similar/1",
    "TILE2VEC_VALUE": "Euclidean distance of a tile's vector to that of the nearest example: 0 at the "
    "examples, NaN where there is no tile or one nearer to a counter-example",
}


@dataclass(frozen=True)
class Found:
    """The nearest tiles, nearest first, and the tiles that the examples turned out to be."""

    near: tuple[Near, ...]
    examples: tuple[TileId, ...]
    counter_examples: tuple[TileId, ...]
    ruled_out: int  # tiles that are nearer to a counter-example
    embeddings: Embeddings
    distances: Floats = field(repr=False)  # (N,): 0 for an example, NaN nearer to a counter-example


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


# --- files -------------------------------------------------------------------------------------


def run(embeddings: Path, config: SimilarConfig, outputs: Outputs, on_progress: Progress = silent) -> Report:
    """Find the tiles; write what is not up to date. Errors as `near_reports.run` and `search`."""

    def find() -> Finding:
        found = search(embeddings, config, on_progress)
        rows = near_reports.rows(found.near)
        keys = {
            "similar": rows,
            "examples": list(found.examples),
            "counter_examples": list(found.counter_examples),
            "ruled_out": found.ruled_out,
        }
        maps = None if outputs.raster is None else _maps(found, outputs.tiles)
        return Finding(
            near_reports.batch(rows, found.near), keys, lambda source: _groups(found, source), maps
        )

    return near_reports.run("similar", config.settings(), {"embeddings": embeddings}, outputs, find)


def _maps(found: Found, tiles: Path | None) -> Maps:
    """The distance of every tile. Raises DataError where the tiles lie on no grid."""
    placing = Placing(None if tiles is None else TileSet.open(tiles))
    placing.add_all(found.embeddings)
    placing.require_grids(found.embeddings.name)
    return Maps(placing.mosaics(), found.distances.astype(np.float32), _TAGS)


def _groups(found: Found, source: Source) -> list[Group]:
    groups = []
    for heading, ids, colour in (
        ("Example", found.examples[: SHOWN // 10], "blue"),
        ("Counter-example", found.counter_examples[: SHOWN // 10], "orange"),
    ):
        if ids:
            groups.append(source.group(heading + "s" * (len(ids) > 1), ids, colour=colour))
    return [*groups, near_reports.group("Nearest tiles", found.near, source)]

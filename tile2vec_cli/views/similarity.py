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

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from tile2vec_cli.config.views import SimilarConfig
from tile2vec_cli.embedding import embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.records import Report
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import exemplars, near_reports
from tile2vec_cli.views.contact_sheets import SHOWN, Group, Source
from tile2vec_cli.views.exemplars import Batch, TileId
from tile2vec_cli.views.mosaics import Placing
from tile2vec_cli.views.near_reports import Finding, Near, Outputs, nearest
from tile2vec_cli.views.value_maps import Maps

Keep = Callable[[Batch, Floats], None]
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


# --- files -------------------------------------------------------------------------------------


class _Surface:
    """The distance of every tile, and where the tiles lie."""

    def __init__(self, path: Path, tiles: Path | None) -> None:
        self._path = path
        self._placing = Placing(None if tiles is None else TileSet.open(tiles))
        self._distances: list[NDArray[np.float32]] = []

    def add(self, batch: Batch, distance: Floats) -> None:
        self._placing.add(batch.rows)
        self._distances.append(distance.astype(np.float32))

    def maps(self) -> Maps:
        """Raises DataError where the tiles lie on no grid."""
        self._placing.require_grids(self._path)
        return Maps(self._placing.mosaics(), np.concatenate(self._distances), _TAGS)


def run(embeddings: Path, config: SimilarConfig, outputs: Outputs, on_progress: Progress = silent) -> Report:
    """Find the tiles; write what is not up to date. Errors as `near_reports.run` and `search`."""

    def find() -> Finding:
        surface = None if outputs.raster is None else _Surface(embeddings, outputs.tiles)
        found = search(embeddings, config, on_progress, None if surface is None else surface.add)
        rows = near_reports.rows(found.near)
        keys = {
            "similar": rows,
            "examples": list(found.examples),
            "counter_examples": list(found.counter_examples),
            "ruled_out": found.ruled_out,
        }
        maps = surface.maps() if surface else None
        return Finding(
            near_reports.batch(rows, found.near), keys, lambda source: _groups(found, source), maps
        )

    return near_reports.run("similar", config.settings(), {"embeddings": embeddings}, outputs, find)


def _groups(found: Found, source: Source) -> list[Group]:
    groups = []
    for heading, ids, colour in (
        ("Example", found.examples[: SHOWN // 10], "blue"),
        ("Counter-example", found.counter_examples[: SHOWN // 10], "orange"),
    ):
        if ids:
            groups.append(source.group(heading + "s" * (len(ids) > 1), ids, colour=colour))
    return [*groups, near_reports.group("Nearest tiles", found.near, source)]

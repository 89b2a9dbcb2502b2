"""Which tiles a user means, by id or by a place in them, found in embeddings of any number."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from tile2vec_cli.config.rules import parse_place
from tile2vec_cli.embedding import embeddings
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError, InputError, UsageError
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.geo.places import ground_m

TileId = str | int  # other people's rows without an id are known by their number
Place = str | tuple[float, float]
"""A tile_id, or (longitude, latitude) of a point in a tile."""

_ROWS = 8192  # at a time: 32 MB of doubles at 512 dimensions
_SUGGESTED = 3


@dataclass(frozen=True)
class Batch:
    """Some rows of the embeddings."""

    rows: Embeddings  # int8 as stored
    ids: Sequence[TileId]

    @property
    def vectors(self) -> Vectors:
        """(B, D)"""
        scale = self.rows.scale
        return self.rows.vectors if scale is None else np.asarray(self.rows.vectors * scale)


@dataclass(frozen=True)
class Example:
    """A tile that was meant."""

    tile_id: TileId
    vector: Floats  # (D,)


@dataclass
class _Hit:
    """The best tile for one place so far."""

    distance_m: float = math.inf
    tile_id: TileId = ""
    inside: bool = False

    @property
    def order(self) -> tuple[bool, float, tuple[bool, TileId]]:
        return not self.inside, self.distance_m, order(self.tile_id)


def order(tile_id: TileId) -> tuple[bool, TileId]:
    """Numbers and names don't compare, and a folder of other people's files may hold both."""
    return isinstance(tile_id, str), tile_id


def batches(path: Path, part: str | None = None, only: Sequence[Path] | None = None) -> Iterator[Batch]:
    """All rows of the embeddings, or of one part of their vectors; errors as `embeddings.read`.

    only: these files of a folder.
    """
    start = 0
    for rows in embeddings.batches(path, _ROWS, stored=True, part=part, only=only):
        ids = range(start, start + len(rows)) if rows.tile_id is None else rows.tile_id.tolist()
        yield Batch(rows, ids)
        start += len(rows)


def places_of(
    path: Path,
    part: str | None = None,
    only: Sequence[Path] | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[Embeddings, list[TileId]]:
    """All rows without their vectors, and their ids; `advance` is told of each so many more rows."""
    pieces, ids = [], list[TileId]()
    for batch in batches(path, part, only):
        pieces.append(replace(batch.rows, vectors=np.empty((len(batch.ids), 0), np.float32), scale=None))
        ids += batch.ids
        advance(len(batch.ids))
    return embeddings.joined(path, pieces), ids


def vectors_of(
    path: Path,
    rows: Ints,
    part: str | None = None,
    only: Sequence[Path] | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Vectors:
    """(M, D) those of these rows, in their order; `advance` as in `places_of`."""
    order = np.argsort(rows, kind="stable")
    ascending, found, start = rows[order], [], 0
    for batch in batches(path, part, only):
        first, last = np.searchsorted(ascending, [start, start + len(batch.ids)])
        found.append(batch.vectors[ascending[first:last] - start])
        start += len(batch.ids)
        advance(len(batch.ids))
    vectors = np.concatenate(found)
    back = np.empty_like(vectors)
    back[order] = vectors
    return back


def resolve(
    path: Path,
    wanted: Iterable[Place],
    on_rows: Callable[[int], None] = lambda _: None,
    hint: str = "",
    part: str | None = None,
    only: Sequence[Path] | None = None,
) -> dict[Place, Example]:
    """The tile that each place means. `on_rows` is told how many rows have been read; `hint` is what else
    an unknown id may be; `part` is that of the vectors, None for whole ones; `only` as in `batches`.

    Raises DataError for an id that is not there, naming those most like it, and for a place outside
    all footprints; else as `embeddings.read`.
    """
    places = list(dict.fromkeys(wanted))
    points = np.array([place for place in places if not isinstance(place, str)]).reshape(-1, 2)
    hits = [_Hit() for _ in points]
    names = {place for place in places if isinstance(place, str)}
    vectors: dict[TileId, Floats] = {}
    by_text: dict[str, TileId] = {}
    done = 0
    for batch in batches(path, part, only):
        own = batch.vectors
        for row, tile_id in enumerate(batch.ids):
            if str(tile_id) in names and tile_id not in vectors:
                vectors[tile_id] = own[row].astype(np.float64)
                by_text[str(tile_id)] = tile_id
        for point, hit in zip(points, hits, strict=True):
            better = _improve(hit, point, batch)
            if better is not None:
                vectors[hit.tile_id] = own[better].astype(np.float64)
        done += len(batch.ids)
        on_rows(done)
    found: dict[Place, Example] = {}
    waiting = iter(hits)
    for place in places:
        if isinstance(place, str):
            if place not in by_text:
                raise _unknown(path, place, hint)
            tile_id = by_text[place]
        else:
            tile_id = _at(path, place, next(waiting))
        found[place] = Example(tile_id, vectors[tile_id])
    return found


def _improve(hit: _Hit, point: Floats, batch: Batch) -> int | None:
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
    row: int = min(rows[away == away.min()].tolist(), key=lambda row: order(batch.ids[row]))
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


# --- ids that are not there --------------------------------------------------------------------


def _unknown(path: Path, wanted: str, hint: str) -> DataError:
    ids = (tile_id for batch in batches(path) for tile_id in batch.ids)
    close = heapq.nsmallest(_SUGGESTED, ids, key=lambda tile_id: _unlikeness(str(tile_id), wanted))
    return DataError(
        f"{path}: holds no tile {wanted}; an example has to be in it. "
        f"Check the id: the nearest are {', '.join(map(str, close))}.{hint}"
    )


def _unlikeness(tile_id: str, wanted: str) -> tuple[float, int, str]:
    """How far an id is from another: first its scene by its letters, then its row and column."""
    (scene, *cell), (other, *place) = id_parts(tile_id), id_parts(wanted)
    if len(cell) != len(place):
        scene, other, cell, place = tile_id, wanted, [], []
    same = _shared(scene, other)
    same += _shared(scene[same:][::-1], other[same:][::-1])
    away = sum(abs(int(one) - int(two)) for one, two in zip(cell, place, strict=True))
    return -same / max(len(scene), len(other), 1), away, tile_id


def _shared(one: str, other: str) -> int:
    """How many letters two words have in common at their beginnings."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def id_parts(tile_id: str) -> list[str]:
    """[scene, row, col], or the whole id where it has another form."""
    parts = tile_id.rsplit("/", 2)
    return parts if len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal() else [tile_id]


def listed(option: str, given: Sequence[Place]) -> tuple[Place, ...]:
    """tile_ids and places, those of @files among them, each once."""
    found: list[Place] = []
    for text in given:
        if not isinstance(text, str):
            found.append(text)
        elif text.startswith("@"):
            lines = [line.strip() for line in _read(text[1:]).splitlines() if line.strip()]
            if not lines:
                raise DataError(f"{text[1:]}: is empty; {option} needs one tile_id or X,Y a line.")
            found += map(parse_place, lines)
        elif text.strip():
            found.append(parse_place(text.strip()))
        else:
            raise UsageError(f"{option}: names nothing; needs a tile_id, X,Y or @ids.txt.")
    return tuple(dict.fromkeys(found))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; a list of tile_ids is needed. Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text; a list of tile_ids, one per line, is needed.") from error

"""Which tiles a user means, by id or by a place in them, found in embeddings of any number."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from tile2vec_cli.config.rules import parse_place
from tile2vec_cli.embedding.embeddings import Embeddings, TileId
from tile2vec_cli.errors import DataError, InputError, UsageError
from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.geo.places import ground_m

Place = str | tuple[float, float]
"""A tile_id, or (longitude, latitude) of a point in a tile."""

_SUGGESTED = 3


@dataclass(frozen=True)
class Example:
    """A tile that was meant."""

    tile_id: TileId
    vector: Floats  # (D,)


def order(tile_id: TileId) -> tuple[bool, TileId]:
    """Numbers and names don't compare, and a folder of other people's files may hold both."""
    return isinstance(tile_id, str), tile_id


def resolve(embeddings: Embeddings, wanted: Iterable[Place], hint: str = "") -> dict[Place, Example]:
    """The tile that each place means. `hint` is what else an unknown id may be.

    Raises DataError for an id that is not there, naming those most like it, and for a place outside
    all footprints.
    """
    places = list(dict.fromkeys(wanted))
    named = _named(embeddings, {place for place in places if isinstance(place, str)})
    points = [place for place in places if not isinstance(place, str)]
    rows = dict(zip(points, _holding(embeddings, points), strict=True)) | named
    for place in places:
        if place not in rows:
            raise _unknown(embeddings, str(place), hint)
    found = np.array([rows[place] for place in places], np.int64)
    vectors = embeddings.vectors_of(found).astype(np.float64)
    return dict(zip(places, map(Example, embeddings.ids(found), vectors), strict=True))


def _named(embeddings: Embeddings, names: set[str]) -> dict[Place, int]:
    """The first row of each of these ids that is there."""
    found: dict[Place, int] = {}
    for here in embeddings.chunks() if names else ():
        for row, tile_id in enumerate(embeddings.ids(here), here.start):
            if str(tile_id) in names:
                found.setdefault(str(tile_id), row)
    return found


def _holding(embeddings: Embeddings, points: Sequence[tuple[float, float]]) -> list[int]:
    """The row that each point means: of the footprints that hold it the one with the nearest centre, of
    equally near ones that of the lowest tile_id: of several dates, the earliest where names hold dates.
    """
    inside: list[list[int]] = [[] for _ in points]
    for here in embeddings.chunks() if points else ():
        shapes = embeddings.shapes(here)
        for point, rows in zip(points, inside, strict=True):
            rows += (here.start + np.flatnonzero(shapely.intersects_xy(shapes, *point))).tolist()
    found = []
    for point, rows in zip(points, inside, strict=True):
        among = np.array(rows, np.int64)
        centres = outlines.centres(embeddings.shapes(among)) if rows else embeddings.lonlat
        away = ground_m(centres, np.broadcast_to(point, centres.shape))
        nearest = np.flatnonzero(away == away.min())
        nearest = among[nearest] if rows else nearest
        ids = embeddings.ids(nearest)
        row, tile_id = min(zip(nearest.tolist(), ids, strict=True), key=lambda one: order(one[1]))
        if not rows:
            lon, lat = point
            raise DataError(
                f"{embeddings.name}: no footprint holds {lon:g},{lat:g}; the nearest, of {tile_id}, has its "
                f"centre {away.min():,.0f} m away. Give its tile_id, or longitude,latitude of a point in a "
                "tile."
            )
        found.append(row)
    return found


# --- ids that are not there --------------------------------------------------------------------


def _unknown(embeddings: Embeddings, wanted: str, hint: str) -> DataError:
    ids = (tile_id for here in embeddings.chunks() for tile_id in embeddings.ids(here))
    close = heapq.nsmallest(_SUGGESTED, ids, key=lambda tile_id: _unlikeness(str(tile_id), wanted))
    return DataError(
        f"{embeddings.name}: holds no tile {wanted}; an example has to be in it. "
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

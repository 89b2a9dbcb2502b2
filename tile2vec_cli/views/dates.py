"""The tiles of one date, and which of two dates show one place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import CHUNK, Embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.grid import Floats, Ints, ecef

_CANDIDATES = 8  # tiles of other dates or overlaps at one place, of which the best is taken
_STEPS = 100  # of the allowed distance: within one step, tiles count as equally near


@dataclass(frozen=True)
class Side:
    """N tiles of the one or the other date."""

    embeddings: Embeddings
    rows: Ints = field(repr=False)  # (N,) of these
    lonlat: Floats = field(repr=False)  # (N, 2) centres
    side_m: float

    def __len__(self) -> int:
        return len(self.rows)

    def ids(self, rows: Ints | slice = slice(None)) -> pa.Array:
        """(M,) tile_ids, or row numbers as text, of these rows of the side."""
        return pa.array(map(str, self.embeddings.ids(self.rows[rows])), pa.string())

    def vectors(self, rows: Ints) -> Vectors:
        """(M, D)"""
        return self.embeddings.vectors_of(self.rows[rows])

    def places(self, rows: Ints) -> Embeddings:
        """(M,) without vectors."""
        return self.embeddings.places(self.rows[rows])

    def shapes(self, rows: Ints) -> NDArray[np.object_]:
        """(M,) footprints."""
        return self.embeddings.shapes(self.rows[rows])

    @cached_property
    def times(self) -> NDArray[np.datetime64] | None:
        """(N,) NaT where not known; None where none is."""
        known = self.embeddings.datetime
        found = None if known is None else known[self.rows]
        return None if found is None or np.isnat(found).all() else found


def chosen(embeddings: Embeddings, scenes: Sequence[str], option: str) -> Side:
    """The tiles of the scenes that match a glob, or of all.

    Raises DataError, naming `option`, where no scene matches.
    """
    rows, lonlat, sides = [], [], []
    seen: set[str] = set()
    for here in embeddings.chunks():
        kept = _kept(embeddings.places(here), scenes, option, seen)
        if len(kept):
            rows.append(here.start + kept)
            shapes = embeddings.shapes(rows[-1])
            lonlat.append(outlines.centres(shapes))
            sides.append(outlines.side_m(shapely.area(shapes), lonlat[-1]))
    if not rows:
        raise DataError(
            f"{embeddings.name}: holds no scene like {', '.join(scenes)}; it holds {_some(seen)}. "
            f"Change {option}."
        )
    return Side(embeddings, np.concatenate(rows), np.concatenate(lonlat), float(np.median(sides)))


def _kept(batch: Embeddings, scenes: Sequence[str], option: str, seen: set[str]) -> Ints:
    """Rows of the batch that belong to the scenes asked for; `seen` gets the names of all."""
    if not scenes:
        return np.arange(len(batch))
    own = batch.scene
    if own is None:
        raise DataError(f"{batch.name}: has no column `scene`; {option} needs one. Leave the option out.")
    names = set(own.tolist())
    seen |= names
    matching = [name for name in names if any(fnmatchcase(name, pattern) for pattern in scenes)]
    return np.flatnonzero(np.isin(own, np.array(matching, dtype=object)))


def _some(names: set[str]) -> str:
    few = sorted(names)[:5]
    return ", ".join(few) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


# --- pairs -------------------------------------------------------------------------------------


def paired(before: Side, after: Side, within_m: float) -> tuple[Ints, Ints, Floats, tuple[int, int]]:
    """(P,) rows of either side that show one place, the metres between their centres, and spare tiles.

    Each tile is in one pair at most: with the nearest of the other side, of equally near ones with the
    first by tile_id. Raises DataError where no two lie within `within_m`.
    """
    tree = cKDTree(ecef(after.lonlat))
    first = id_order(after.ids())
    nearest = np.inf
    candidates = min(_CANDIDATES, len(after))
    partner = np.full(len(before), -1, dtype=np.int64)
    apart = np.full(len(before), np.inf)
    reached = np.zeros(len(after), bool)
    for here in chunks(len(before)):
        places = ecef(before.lonlat[here])
        away, rows = tree.query(places, k=[*range(1, candidates + 1)])
        nearest = min(nearest, float(away.min()))
        inside = away <= within_m
        reached[rows[inside]] = True
        steps = np.where(inside, np.rint(away / within_m * _STEPS), np.inf)
        best = np.lexsort((first[rows], steps), axis=1)[:, 0]
        own = np.arange(len(best))
        good = inside[own, best]
        partner[here] = np.where(good, rows[own, best], -1)
        apart[here] = away[own, best]
    matched = np.flatnonzero(partner >= 0)
    if not len(matched):
        raise DataError(
            f"{before.embeddings.name} and {after.embeddings.name}: no place in common; the nearest tiles "
            f"lie {_metres(nearest)} apart, and {_metres(within_m)} are allowed. "
            "Compare scenes of one place, cut with --snap."
        )
    steps = np.rint(apart[matched] / within_m * _STEPS)
    matched = matched[np.lexsort((id_order(before.ids())[matched], steps, partner[matched]))]
    partners, firsts = np.unique(partner[matched], return_index=True)
    rows = matched[firsts]
    return rows, partners, apart[rows], (len(matched) - len(rows), int(reached.sum()) - len(rows))


def _metres(length: float) -> str:
    return f"{length:,.0f} m" if length >= 100 else f"{length:.3g} m"


def chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, CHUNK):
        yield slice(start, start + CHUNK)


def id_order(ids: pa.Array) -> Ints:
    """(N,) the place of each id in the sorted ids."""
    order = np.empty(len(ids), dtype=np.int64)
    order[pc.sort_indices(ids).to_numpy()] = np.arange(len(ids))
    return order

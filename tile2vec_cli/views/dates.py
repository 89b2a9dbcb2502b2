"""The tiles of one date, and which of two dates show one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import gettempdir
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tile2vec_cli.embedding import embeddings
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError, OutputError
from tile2vec_cli.geo.grid import Floats, Ints, ecef

ROWS = 8192  # at a time

_TIME = pa.timestamp("ms", "UTC")
_CANDIDATES = 8  # tiles of other dates or overlaps at one place, of which the best is taken
_STEPS = 100  # of the allowed distance: within one step, tiles count as equally near


@dataclass(frozen=True)
class Side:
    """N tiles of the one or the other date."""

    path: Path
    ids: pa.Array  # (N,) tile_ids, or row numbers as text
    lonlat: Floats  # (N, 2) centres
    geometry: pa.Array  # (N,) WKB in lon/lat
    datetime: pa.Array | None  # (N,) milliseconds
    scene: pa.Array | None  # (N,) names
    vectors: np.memmap[Any, np.dtype[np.float32]] = field(repr=False)  # (N, D) in a file without a name
    side_m: float
    kind: Embeddings = field(repr=False)  # without rows: what tells vectors of one model from others

    def __len__(self) -> int:
        return len(self.lonlat)


def read(
    path: Path,
    scenes: Sequence[str],
    option: str,
    part: str | None,
    spool: IO[bytes],
    on_rows: Callable[[int], None],
) -> Side:
    """The tiles of the scenes that match a glob, or of all; their vectors, or a part, go to the file `spool`.

    Raises InputError and DataError as `embeddings.read`; DataError, naming `option`, where no scene matches.
    """
    found: list[tuple[pa.Array, Floats, pa.Array, pa.Array | None, pa.Array | None]] = []
    sides: list[float] = []
    seen: set[str] = set()
    count = 0
    kind: Embeddings | None = None
    for batch in embeddings.batches(path, ROWS, part=part):
        kept = _kept(batch, scenes, option, seen)
        names = np.arange(count, count + len(batch)).astype(str) if batch.tile_id is None else batch.tile_id
        count += len(batch)
        on_rows(count)
        if not len(kept):
            continue
        _spool(spool, batch.vectors[kept])
        shapes = batch.geometry[kept]
        places = Embeddings(path, batch.vectors[:0], shapes, None, None, None, batch.metadata)
        kind = kind or replace(places, geometry=shapes[:0])
        sides.append(places.side_m)
        found.append(
            (
                pa.array(names[kept], pa.string()),
                places.lonlat,
                pa.array(shapely.to_wkb(shapes), pa.binary()),
                None if batch.datetime is None else pa.array(batch.datetime[kept]).cast(_TIME),
                None if batch.scene is None else pa.array(batch.scene[kept], pa.string()),
            )
        )
    if kind is None:
        raise DataError(
            f"{path}: holds no scene like {', '.join(scenes)}; it holds {_some(seen)}. Change {option}."
        )
    ids, lonlat, geometry, times, scene = zip(*found, strict=True)
    if any(column is not None for column in times):  # files without dates, beside dated ones
        times = tuple(pa.nulls(len(n), _TIME) if t is None else t for n, t in zip(ids, times, strict=True))

    def joined(columns: Sequence[pa.Array | None]) -> pa.Array | None:
        return None if any(column is None for column in columns) else pa.concat_arrays(columns)

    return Side(
        path,
        joined(ids),
        np.concatenate(lonlat),
        joined(geometry),
        joined(times),
        joined(scene),
        _mapped(spool, kind.vectors.shape[1]),
        float(np.median(sides)),
        kind,
    )


def _kept(batch: Embeddings, scenes: Sequence[str], option: str, seen: set[str]) -> Ints:
    """Rows of the batch that belong to the scenes asked for; `seen` gets the names of all."""
    if not scenes:
        return np.arange(len(batch))
    if batch.scene is None:
        raise DataError(f"{batch.path}: has no column `scene`; {option} needs one. Leave the option out.")
    names = set(batch.scene.tolist())
    seen |= names
    chosen = [name for name in names if any(fnmatchcase(name, pattern) for pattern in scenes)]
    return np.flatnonzero(np.isin(batch.scene, np.array(chosen, dtype=object)))


def _some(names: set[str]) -> str:
    few = sorted(names)[:5]
    return ", ".join(few) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _spool(file: IO[bytes], vectors: NDArray[np.float32]) -> None:
    try:
        file.write(np.ascontiguousarray(vectors).data)
        file.flush()
    except OSError as error:
        raise OutputError(
            f"{gettempdir()}: {error.strerror}; the vectors wait there. Point TMPDIR elsewhere."
        ) from error


def _mapped(file: IO[bytes], width: int) -> np.memmap[Any, np.dtype[np.float32]]:
    return np.memmap(file, np.float32, "r", shape=(file.tell() // (4 * width), width))


# --- pairs -------------------------------------------------------------------------------------


def paired(before: Side, after: Side, within_m: float) -> tuple[Ints, Ints, Floats, tuple[int, int]]:
    """(P,) rows of either side that show one place, the metres between their centres, and spare tiles.

    Each tile is in one pair at most: with the nearest of the other side, of equally near ones with the
    first by tile_id. Raises DataError where no two lie within `within_m`.
    """
    tree = cKDTree(ecef(after.lonlat))
    first = id_order(after.ids)
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
            f"{before.path} and {after.path}: no place in common; the nearest tiles lie "
            f"{_metres(nearest)} apart, and {_metres(within_m)} are allowed. "
            "Compare scenes of one place, cut with --snap."
        )
    steps = np.rint(apart[matched] / within_m * _STEPS)
    matched = matched[np.lexsort((id_order(before.ids)[matched], steps, partner[matched]))]
    partners, firsts = np.unique(partner[matched], return_index=True)
    rows = matched[firsts]
    return rows, partners, apart[rows], (len(matched) - len(rows), int(reached.sum()) - len(rows))


def _metres(length: float) -> str:
    return f"{length:,.0f} m" if length >= 100 else f"{length:.3g} m"


def chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, ROWS):
        yield slice(start, start + ROWS)


def id_order(ids: pa.Array) -> Ints:
    """(N,) the place of each id in the sorted ids."""
    order = np.empty(len(ids), dtype=np.int64)
    order[pc.sort_indices(ids).to_numpy()] = np.arange(len(ids))
    return order

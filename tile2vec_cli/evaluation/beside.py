"""Somebody else's vectors of the same tiles, found by tile_id or else by place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.spatial import cKDTree

from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo.grid import Floats, Ints, ecef
from tile2vec_cli.geo.places import ground_m

_CANDIDATES = 8  # rows at one place, such as other dates, of which the best is taken
_STEPS = 100  # of the allowed distance: within one step, rows count as equally near
_POINT_M = 1.0  # that points may lie apart; footprints half their side


@dataclass(frozen=True)
class Common:
    """The tiles that the embeddings and all that stand beside them have in common."""

    own: Embeddings  # of N tiles
    others: Mapping[str, Vectors] = field(repr=False)  # (N, D) of the same tiles, by name
    matched_by: Mapping[str, str]  # "tile_id" or "place", by name
    left_out: int  # tiles of the embeddings that another one lacks

    @classmethod
    def of(cls, own: Embeddings, paths: Mapping[str, Path]) -> Common:
        """Raises InputError and DataError as `Embeddings.open`, DataError where no tile is in common."""
        rows, others, matched_by = {}, {}, {}
        for name, path in paths.items():
            other = Embeddings.open(path)
            rows[name], matched_by[name] = _rows(own, other)
            others[name] = other
        found = np.all([one >= 0 for one in rows.values()], axis=0)
        if not found.any():
            raise DataError(
                f"{own.name}: no tile stands in all of {', '.join(map(str, paths.values()))}; vectors of the "
                "same tiles are needed. Leave one of them out."
            )
        kept = np.flatnonzero(found)
        vectors = {name: others[name].vectors_of(rows[name][kept]) for name in paths}
        return cls(own.take(kept), vectors, matched_by, len(own) - len(kept))

    def report(self) -> dict[str, object]:
        return {"matched_by": {**self.matched_by}, "tiles_left_out": self.left_out}


def names(paths: Sequence[Path], taken: Iterable[str]) -> dict[str, Path]:
    """Each file by the name of its column: its stem, with its folder where another one is called so.

    Raises UsageError where a name is left that is taken.
    """
    stems = [path.resolve().stem for path in paths]
    found: dict[str, Path] = {}
    for path, stem in zip(paths, stems, strict=True):
        clash = stem in taken or stems.count(stem) > 1
        name = f"{path.resolve().parent.name}/{stem}" if clash else stem
        if name in found:
            raise UsageError(f"--beside {path}: a second {name}; each needs its own name. Rename one.")
        found[name] = path
    return found


def _rows(own: Embeddings, other: Embeddings) -> tuple[Ints, str]:
    """(N,) the row of `other` that is each of our tiles, -1 where there is none, and how it was found.

    Ids count where tiles of one id lie at one place: elsewhere somebody cut the same scenes otherwise.
    """
    within_m = (own.side_m or other.side_m) / 2 or _POINT_M
    ids, others = own.tile_id, other.tile_id
    if ids is not None and others is not None:
        at = pc.index_in(pa.array(ids, pa.string()), value_set=pa.array(others, pa.string()))
        rows = np.asarray(at.fill_null(-1), dtype=np.int64)
        rows[ground_m(own.lonlat, other.lonlat[rows]) > within_m] = -1
        if (rows >= 0).any():
            return rows, "tile_id"
    rows, nearest_m = _nearest(own, other, within_m)
    if not (rows >= 0).any():
        raise DataError(
            f"{other.name}: none of its {len(other):,} vectors is of a tile of {own.name}; the nearest lies "
            f"{nearest_m:,.0f} m away, and {within_m:,.3g} m are allowed. Give vectors of the same tiles."
        )
    return rows, "place"


def _nearest(own: Embeddings, other: Embeddings, within_m: float) -> tuple[Ints, float]:
    """(N,) the nearest row, of equally near ones that of the nearest date; and the least distance."""
    k = [*range(1, min(_CANDIDATES, len(other)) + 1)]
    apart, rows = cKDTree(ecef(other.lonlat)).query(ecef(own.lonlat), k=k)
    inside = apart <= within_m
    steps = np.where(inside, np.rint(apart / within_m * _STEPS), np.inf)
    best = np.lexsort((_days(own, other, rows), steps), axis=1)[:, 0]
    each = np.arange(len(best))
    return np.where(inside[each, best], rows[each, best], -1), float(apart.min())


def _days(own: Embeddings, other: Embeddings, rows: Ints) -> Floats:
    """(N, K) days between each tile and its candidates; 0 where dates are not known."""
    one, two = own.datetime, other.datetime
    if one is None or two is None:
        return np.zeros(rows.shape)
    days = np.abs(two[rows] - one[:, None]) / np.timedelta64(1, "D")
    return np.nan_to_num(np.asarray(days, dtype=np.float64))

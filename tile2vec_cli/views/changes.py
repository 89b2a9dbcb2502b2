"""How far the vectors of one place lie apart on two dates.

The dates differ in light, haze and season, and with them all vectors by much the same. The mean
difference over all pairs is taken away first, unless asked not to, or where pairs are too few to tell it
from change. What is left is also told in units of its own median: of most places nothing has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tile2vec_cli.config.views import ChangeConfig
from tile2vec_cli.embedding import embeddings
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.feature_files import Batch
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import dates
from tile2vec_cli.views.dates import Side, chunks, id_order, paired
from tile2vec_cli.views.mosaics import Mosaic, Placing

LEAST_CENTRED = 30  # pairs; of fewer, the mean difference would hide what has changed

_WRITTEN = 65_536
_SIZES = 1.1  # by which the tiles' sides may differ


@dataclass(frozen=True)
class Changes:
    """P places, the most changed first."""

    before: Side
    after: Side
    one: Ints = field(repr=False)  # (P,) rows of `before`
    other: Ints = field(repr=False)  # (P,) rows of `after`
    apart_m: Floats = field(repr=False)  # (P,) between the two centres
    distance: Floats = field(repr=False)  # (P,) between the two vectors
    shift: float  # length of the mean difference
    centred: bool  # whether it was taken away
    unmatched: tuple[int, int]  # tiles of either side without a partner
    spare: tuple[int, int]  # tiles whose place another of the same side shows as well

    def __len__(self) -> int:
        return len(self.one)

    @property
    def unit(self) -> float:
        """The median distance; where most are 0, the median of the others; 1 where all are."""
        median = float(np.median(self.distance))
        moved = self.distance[self.distance > 0]
        return median or (float(np.median(moved)) if len(moved) else 1.0)

    def table(self, start: int, stop: int) -> pa.Table:
        """Rows of the places from rank start + 1 to stop."""
        here = slice(start, stop)
        one, other = pa.array(self.one[here]), pa.array(self.other[here])
        ranks = np.arange(start, min(stop, len(self))) + 1
        times = [
            (f"datetime_{name}", side.datetime.take(rows))
            for name, side, rows in (("before", self.before, one), ("after", self.after, other))
            if side.datetime is not None
        ]
        lon, lat = self.after.lonlat[self.other[here]].T
        return pa.table(
            {
                "rank": ranks,
                "tile_id_before": self.before.ids.take(one),
                "tile_id_after": self.after.ids.take(other),
                "distance": self.distance[here],
                "relative": self.distance[here] / self.unit,
                # Share of the places that have changed less.
                "percentile": 100 * (len(self) - ranks) / len(self),
                "apart_m": self.apart_m[here],
                "longitude": lon,
                "latitude": lat,
                **dict(times),
            }
        )

    def shapes(self, start: int, stop: int) -> NDArray[np.object_]:
        """Their footprints, as they are afterwards."""
        rows = self.after.geometry.take(pa.array(self.other[start:stop]))
        return np.asarray(shapely.from_wkb(rows.to_numpy(zero_copy_only=False)))

    def mosaics(self, tiles: TileSet | None) -> list[Mosaic]:
        """Maps of one pixel a place. tiles: the tile set of the second date, if known."""
        placing = Placing(tiles)
        scene = self.after.scene
        for start in range(0, len(self), _WRITTEN):
            shapes = self.shapes(start, start + _WRITTEN)
            rows = pa.array(self.other[start : start + _WRITTEN])
            names = None if scene is None else scene.take(rows).to_numpy(zero_copy_only=False)
            nothing = np.empty((len(shapes), 0), np.float32)
            placing.add(Embeddings(self.after.path, nothing, shapes, None, names, None, {}))
        return placing.mosaics()

    def batches(self) -> Iterator[Batch]:
        for start in range(0, len(self), _WRITTEN):
            yield self.table(start, start + _WRITTEN), self.shapes(start, start + _WRITTEN)


def compare(
    before: Path, after: Path, config: ChangeConfig, stack: ExitStack, on_progress: Progress = silent
) -> Changes:
    """Pair the tiles of two dates by place and take the distances of their vectors.

    Vectors lie in temporary files until `stack` is closed: memory does not grow with their length.
    Raises InputError and DataError as `embeddings.read`; DataError where the vectors are of two models or
    lengths, the tiles of two sizes, where both sides are the same tiles, and where no place is common.
    """
    total = embeddings.count(before) + embeddings.count(after)
    sides = []
    done = 0
    for path, scenes, option in (
        (before, config.before_scenes, "--before-scenes"),
        (after, config.after_scenes, "--after-scenes"),
    ):
        spool = stack.enter_context(TemporaryFile())  # noqa: SIM115 - which closes it
        on_rows = _count(on_progress, done, total)
        sides.append(dates.read(path, scenes, option, config.part, spool, on_rows))
        done += embeddings.count(path)
    one, other = sides
    _require_comparable(one, other)
    within = config.within_m or one.side_m / 2
    if not within:
        raise DataError(
            f"{before}: its places are points; the largest distance between two of one place is needed. "
            "Say it with --within METRES."
        )
    rows, partners, apart, spare = paired(one, other, within)
    difference = np.zeros(one.vectors.shape[1])
    for here in chunks(len(rows)):
        difference += _difference(one, other, rows[here], partners[here]).sum(axis=0)
    difference /= len(rows)
    centred = config.centre and len(rows) >= LEAST_CENTRED
    distance = np.concatenate(
        [
            np.linalg.norm(_difference(one, other, rows[here], partners[here]) - centred * difference, axis=1)
            for here in chunks(len(rows))
        ]
    )
    order = np.lexsort((id_order(other.ids)[partners], -distance))
    return Changes(
        one,
        other,
        rows[order],
        partners[order],
        apart[order],
        distance[order],
        float(np.linalg.norm(difference)),
        centred,
        (len(one) - len(rows) - spare[0], len(other) - len(rows) - spare[1]),
        spare,
    )


def _count(on_progress: Progress, done: int, total: int) -> Callable[[int], None]:
    return lambda rows: on_progress(done + rows, total)


def _difference(one: Side, other: Side, rows: Ints, partners: Ints) -> Floats:
    return other.vectors[partners].astype(np.float64) - one.vectors[rows]


def _require_comparable(before: Side, after: Side) -> None:
    embeddings.require_alike(before.kind, after.kind)
    low, high = sorted((before.side_m, after.side_m))
    if high > _SIZES * low:
        raise DataError(
            f"{after.path}: its tiles measure {after.side_m:.4g} m, those of {before.path} "
            f"{before.side_m:.4g} m; one size is needed. Cut both with one --size."
        )
    if before.path.resolve() == after.path.resolve():
        both = pc.value_counts(before.ids.filter(pc.is_in(before.ids, after.ids)))
        if len(both):
            raise DataError(
                f"{after.path}: {len(both):,} tiles, such as {both[0]['values']}, stand on both sides; each "
                "needs dates of its own. Choose them with --before-scenes and --after-scenes."
            )

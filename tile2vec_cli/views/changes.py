"""How far the vectors of one place lie apart on two dates.

The dates differ in light, haze and season, and with them all vectors by much the same. The mean
difference over all pairs is taken away first, unless asked not to, or where pairs are too few to tell it
from change. What is left is also told in units of its own median: of most places nothing has happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tile2vec_cli.config.views import ChangeConfig
from tile2vec_cli.embedding.embeddings import Embeddings, require_alike
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.feature_files import Batch
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import dates
from tile2vec_cli.views.dates import Side, chunks, id_order, paired
from tile2vec_cli.views.mosaics import Mosaic, Placing

LEAST_CENTRED = 30  # pairs; of fewer, the mean difference would hide what has changed

_TIME = pa.timestamp("ms", "UTC")
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
        one, other = self.one[here], self.other[here]
        ranks = np.arange(start, min(stop, len(self))) + 1
        times = {
            f"datetime_{name}": pa.array(side.times[rows]).cast(_TIME)
            for name, side, rows in (("before", self.before, one), ("after", self.after, other))
            if side.times is not None
        }
        lon, lat = self.after.lonlat[other].T
        return pa.table(
            {
                "rank": ranks,
                "tile_id_before": self.before.ids(one),
                "tile_id_after": self.after.ids(other),
                "distance": self.distance[here],
                "relative": self.distance[here] / self.unit,
                # Share of the places that have changed less.
                "percentile": 100 * (len(self) - ranks) / len(self),
                "apart_m": self.apart_m[here],
                "longitude": lon,
                "latitude": lat,
                **times,
            }
        )

    def shapes(self, start: int, stop: int) -> NDArray[np.object_]:
        """Their footprints, as they are afterwards."""
        return self.after.shapes(self.other[start:stop])

    def mosaics(self, tiles: TileSet | None) -> list[Mosaic]:
        """Maps of one pixel a place. tiles: the tile set of the second date, if known."""
        placing = Placing(tiles)
        for start in range(0, len(self), _WRITTEN):
            own = self.after.places(self.other[start : start + _WRITTEN])
            nothing = np.zeros((len(own), 1))
            placing.add(Embeddings.of(nothing, own.geometry, scene=own.scene))  # one date: none is newer
        return placing.mosaics()

    def batches(self) -> Iterator[Batch]:
        for start in range(0, len(self), _WRITTEN):
            yield self.table(start, start + _WRITTEN), self.shapes(start, start + _WRITTEN)


def compare(before: Path, after: Path, config: ChangeConfig, on_progress: Progress = silent) -> Changes:
    """Pair the tiles of two dates by place and take the distances of their vectors.

    Raises InputError and DataError as `Embeddings.open`; DataError where the vectors are of two models or
    lengths, the tiles of two sizes, where both sides are the same tiles, and where no place is common.
    """
    opened = [Embeddings.open(before, part=config.part, on_rows=lambda done: on_progress(done, total))]
    total = len(opened[0])
    if after != before:
        own = total
        opened.append(
            Embeddings.open(after, part=config.part, on_rows=lambda done: on_progress(own + done, total))
        )
        total += len(opened[1])
    one = dates.chosen(opened[0], config.before_scenes, "--before-scenes")
    other = dates.chosen(opened[-1], config.after_scenes, "--after-scenes")
    _require_comparable(one, other)
    within = config.within_m or one.side_m / 2
    if not within:
        raise DataError(
            f"{before}: its places are points; the largest distance between two of one place is needed. "
            "Say it with --within METRES."
        )
    rows, partners, apart, spare = paired(one, other, within)
    difference = np.zeros(opened[0].vectors.shape[1])
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
    order = np.lexsort((id_order(other.ids())[partners], -distance))
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


def _difference(one: Side, other: Side, rows: Ints, partners: Ints) -> Floats:
    return other.vectors(partners).astype(np.float64) - one.vectors(rows)


def _require_comparable(before: Side, after: Side) -> None:
    one, other = before.embeddings, after.embeddings
    require_alike(one, other)
    low, high = sorted((before.side_m, after.side_m))
    if high > _SIZES * low:
        raise DataError(
            f"{other.name}: its tiles measure {after.side_m:.4g} m, those of {one.name} "
            f"{before.side_m:.4g} m; one size is needed. Cut both with one --size."
        )
    if Path(one.name).resolve() == Path(other.name).resolve():
        ids = before.ids()
        both = pc.value_counts(ids.filter(pc.is_in(ids, after.ids())))
        if len(both):
            raise DataError(
                f"{other.name}: {len(both):,} tiles, such as {both[0]['values']}, stand on both sides; each "
                "needs dates of its own. Choose them with --before-scenes and --after-scenes."
            )

"""Examples, out of the triplets' tiles, of which an objective's steps are made.

An epoch of any objective is as long as one of the triplets': where there are fewer examples, they
come round again, each as often as the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.geo.grid import Floats, Ints, block_numbers
from tile2vec_cli.labelling.votes import UNLABELLED
from tile2vec_cli.learning import draws
from tile2vec_cli.learning.draws import Split

if TYPE_CHECKING:
    from tile2vec_cli.tiling.tiles import TileSet
    from tile2vec_cli.tiling.triplets import Triplets


@dataclass(frozen=True)
class Source:
    """Triplets whose tiles are numbered from 0, and which of them train and validate."""

    tiles: TileSet
    used: Ints  # (U,) positions in the tile set
    triplets: Triplets
    numbers: Ints  # (T, 3) of tiles among these
    split: Split

    @classmethod
    def of(cls, tiles: TileSet, triplets: Triplets, config: TrainConfig) -> Source:
        """Raises DataError where nothing is left to train or to validate."""
        used, numbers = np.unique(triplets.ids, return_inverse=True)
        numbers = numbers.reshape(-1, 3)
        held_out = draws.split(
            numbers,
            tiles.lonlat[used],
            max(draws.BLOCK_SIDES * triplets.side_m, triplets.settings["neighborhood_m"]),
            2 * triplets.side_m,
            config.val_fraction,
            config.seed,
        )
        return cls(tiles, used, triplets, numbers, held_out)

    @property
    def places(self) -> Floats:
        """(U, 3) earth-centred."""
        return self.tiles.ecef[self.used]

    @property
    def spots(self) -> Ints:
        """(U,) which spot each tile lies in, from 0; see `draws.partly_local`."""
        return block_numbers(self.tiles.lonlat[self.used], draws.SPOT_SIDES * self.triplets.side_m)


@dataclass(frozen=True)
class Examples:
    """Numbers of the tiles of each example, and what is known of the tiles."""

    train: Ints  # (T, K)
    val: Ints  # (V, K), all or the first of whose tiles lie in held-out blocks
    places: Floats  # (U, 3) earth-centred
    spots: Ints  # (U,) numbers of the spots they lie in, from 0
    codes: NDArray[np.int64]  # (U,) class of each tile in use; UNLABELLED without one
    classes: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)  # what of the labels plays no part, by reason
    label_rasters: dict[str, int] = field(default_factory=dict)  # see LabelRasters.found


def of_triplets(source: Source, rows: Ints, usable: NDArray[np.bool_] | None = None) -> Examples:
    """Rows (T, K) of tiles, one a triplet, or those of them that are usable."""
    if usable is None:
        usable = np.ones(len(rows), bool)
    train, val = (side[usable[side]] for side in (source.split.train, source.split.val))
    nothing = np.full(len(source.used), UNLABELLED, np.int64)
    return Examples(
        _repeated(rows[train], len(source.split.train)), rows[val], source.places, source.spots, nothing
    )


def of_tiles(source: Source, codes: NDArray[np.int64] | None = None, classes: int = 0) -> Examples:
    """The triplets' tiles, each by itself, or those of them that have a code."""
    if codes is None:
        codes = np.zeros(len(source.used), np.int64)
    train = np.unique(source.numbers[source.split.train])
    val = np.unique(source.numbers[source.split.val, 0])
    train, val = (side[codes[side] != UNLABELLED][:, None] for side in (train, val))
    return Examples(
        _repeated(train, len(source.split.train)), val, source.places, source.spots, codes, classes
    )


def _repeated(rows: Ints, least: int) -> Ints:
    return np.resize(rows, (max(len(rows), least), rows.shape[1])) if len(rows) else rows

"""Which tiles each objective learns from: the examples of its steps, out of the triplets' tiles.

An epoch of any objective is as long as one of the triplets': where there are fewer examples, they
come round again, each as often as the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import TrainConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Ints
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


@dataclass(frozen=True)
class Examples:
    """Numbers of the tiles of each example; what is known of the tiles beside their places."""

    train: Ints  # (T, K)
    val: Ints  # (V, K), all or the first of whose tiles lie in held-out blocks
    codes: NDArray[np.int64]  # (U,) class of each tile in use; UNLABELLED without one
    classes: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)  # what of the labels plays no part, by reason


def triplets(source: Source, config: TrainConfig) -> Examples:
    """Anchor, neighbor and, for saved distants, distant."""
    columns = slice(3 if config.distants == "saved" else 2)
    return _examples(source, source.numbers[:, columns], np.ones(len(source.numbers), bool))


def pairs(source: Source, _config: TrainConfig) -> Examples:
    """Anchor and neighbor."""
    return _examples(source, source.numbers[:, :2], np.ones(len(source.numbers), bool))


def tiles(source: Source, _config: TrainConfig) -> Examples:
    """Every tile of the triplets."""
    return _single(source, np.zeros(len(source.used), np.int64))


def labelled(source: Source, config: TrainConfig) -> Examples:
    """Every tile of the triplets that has a label.

    Raises DataError where these are of fewer than two classes; else as `labels.read`.
    """
    # Benchmarks of the loop run where no library of maps is.
    from tile2vec_cli.labelling import labels

    found = labels.read(
        str(config.labels),
        source.tiles.footprints(source.used),
        source.tiles.index(["tile_id"])["tile_id"].to_numpy()[source.used],
        field=config.field,
        layer=config.layer,
        crs=config.crs,
        min_purity=config.min_purity,
    )
    examples = _single(source, found.codes.astype(np.int64), len(found.classes))
    examples = replace(examples, left_out=found.left_out)
    present = np.unique(examples.codes[examples.train])
    if len(present) < 2:
        of = f", all of class {found.classes[present[0]]}" if len(present) else ""
        raise DataError(
            f"{config.labels}: labels {len(np.unique(examples.train)):,} of the tiles to train on{of}; two "
            f"classes are needed for --objective {config.objective}. Label more tiles."
        )
    return examples


def dated(source: Source, config: TrainConfig) -> Examples:
    """The earlier, then the later of anchor and neighbor, where they are one place at two dates.

    One place: centres within half a tile's side. Raises DataError where there is no such pair.
    """
    path = source.tiles.path
    dates = source.tiles.datetime[source.used][source.numbers[:, :2]]
    if np.isnat(source.tiles.datetime).all():
        raise DataError(
            f"{path}: its scenes have no dates; --objective {config.objective} needs two dates of one place. "
            "Put dates into their names (such as _2021-07-31) or TIFF tags, and cut them again."
        )
    with_dates = ~np.isnat(dates).any(axis=1) & (dates[:, 0] != dates[:, 1])
    usable = with_dates & (source.triplets.neighbor_m <= source.triplets.side_m / 2)
    if not usable[source.split.train].any():
        raise DataError(
            f"{path}: no neighbors of the triplets to train on are one place at two dates; "
            f"--objective {config.objective} needs some. Cut with --snap and draw triplets with "
            f"--neighbors other-scene --neighborhood {source.triplets.side_m / 2:.6g}."
        )
    ordered = np.take_along_axis(source.numbers[:, :2], np.argsort(dates, axis=1), axis=1)
    return _examples(source, ordered, usable)


def _examples(source: Source, rows: Ints, usable: NDArray[np.bool_]) -> Examples:
    """Those of the rows (T, K), one a triplet, that are usable."""
    train, val = (side[usable[side]] for side in (source.split.train, source.split.val))
    nothing = np.full(len(source.used), UNLABELLED, np.int64)
    return Examples(_repeated(rows[train], len(source.split.train)), rows[val], nothing)


def _single(source: Source, codes: NDArray[np.int64], classes: int = 0) -> Examples:
    """The tiles that have a code, each by itself."""
    train = np.unique(source.numbers[source.split.train])
    val = np.unique(source.numbers[source.split.val, 0])
    train, val = (side[codes[side] != UNLABELLED][:, None] for side in (train, val))
    return Examples(_repeated(train, len(source.split.train)), val, codes, classes)


def _repeated(rows: Ints, least: int) -> Ints:
    return np.resize(rows, (max(len(rows), least), rows.shape[1])) if len(rows) else rows

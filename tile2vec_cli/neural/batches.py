"""Batches of tiles for training: which triplets validate, their order, their pixels, their turns.

All that is drawn at random follows from the seed and the number of the epoch or step alone, so
that a resumed run needs no generator's state to go on as if it had never stopped.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Floats, Ints, spatial_blocks
from tile2vec_cli.neural.device import free_memory
from tile2vec_cli.neural.transfers import Courier, sent

if TYPE_CHECKING:  # it needs libraries that no batch does
    from tile2vec_cli.tiling.tiles import TileSet

Item = TypeVar("Item")

BLOCK_SIDES = 20  # side of a validation block in tiles, where the data is large enough
VALIDATION_TRIPLETS = 1000  # a share of 0.9 is then known to 0.01
# Streams of random numbers beside that of the epochs' order.
_TURNS, _SPLIT, _LIGHT, _QUESTION, _VALIDATION = 1, 2, 3, 4, 5
_CHUNK = 1024  # tiles read at a time
_GRACE_S = 5.0  # for a thread to end behind a signal; ten seconds are promised in all
_SAMPLE = 10_000  # tiles from which mean and deviation are taken
_UNSIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


# --- which triplets --------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Numbers of the triplets that train and of those that validate."""

    train: Ints
    val: Ints


def split(
    numbers: Ints, lonlat: Floats, block_m: float, least_block_m: float, fraction: float, seed: int
) -> Split:
    """Hold out whole spatial blocks with about `fraction` of the anchors.

    `numbers` (T, 3) are rows of `lonlat` (U, 2): anchor, neighbor, distant. Blocks measure
    `block_m`, or down to about `least_block_m` where the data would fall into too few of them. A
    triplet validates when its anchor lies in a held-out block (1,000 at most do, evenly chosen),
    and trains when none of its tiles does. Raises DataError when nothing is left for one of the two.
    """
    everything = np.arange(len(numbers))
    if fraction == 0:
        return Split(everything, everything[:0])
    blocks = _blocks(lonlat, block_m)
    while len(np.unique(blocks[numbers[:, 0]])) < 2 / fraction and block_m > least_block_m:
        block_m /= 2
        blocks = _blocks(lonlat, block_m)
    anchors = np.bincount(blocks[numbers[:, 0]], minlength=blocks.max() + 1)
    apart = _hold_out(anchors, fraction, seed)[blocks[numbers]]
    train, val = np.flatnonzero(~apart.any(axis=1)), np.flatnonzero(apart[:, 0])
    if not len(train) or not len(val):
        raise DataError(
            f"--val-fraction {fraction:g}: of {len(numbers):,} triplets {len(train):,} are left to train and "
            f"{len(val):,} to validate; both need some. Change --val-fraction (0: no validation)."
        )
    chosen = np.linspace(0, len(val) - 1, min(len(val), VALIDATION_TRIPLETS)).astype(np.int64)
    return Split(train, val[chosen])


def _blocks(lonlat: Floats, block_m: float) -> Ints:
    """(U,) numbers from 0 of the blocks in which the tiles lie."""
    return np.unique(spatial_blocks(lonlat, block_m), return_inverse=True)[1].astype(np.int64)


def _hold_out(anchors: Ints, fraction: float, seed: int) -> NDArray[np.bool_]:
    """(blocks,) which blocks validate: whole ones in random order, as near to the fraction as they come."""
    with_anchors = np.flatnonzero(anchors)
    order = np.random.default_rng((seed, 0, _SPLIT)).permutation(with_anchors)
    shares = np.cumsum(anchors[order]) / anchors.sum()
    count = 1 + int(np.abs(shares - fraction).argmin())
    chosen = np.zeros(len(anchors), bool)
    chosen[order[:count]] = True
    return chosen


# --- in which order ----------------------------------------------------------------------------


def order(count: int, batch_size: int, seed: int, first_step: int) -> Iterator[Ints]:
    """Numbers of the triplets of each step from `first_step` on, for ever.

    Each epoch takes all `count` triplets in another order; what is left over at its end is dropped,
    so that all batches have one size.
    """
    steps = steps_per_epoch(count, batch_size)
    epoch, skipped = divmod(first_step, steps)
    while True:
        permuted = np.random.default_rng((seed, epoch)).permutation(count)
        for number in range(skipped, steps):
            yield permuted[number * batch_size : (number + 1) * batch_size]
        epoch, skipped = epoch + 1, 0


def steps_per_epoch(count: int, batch_size: int) -> int:
    return max(1, count // batch_size)


def turned(pixels: Tensor, seed: int, step: int) -> Tensor:
    """Flip and turn a batch (B, C, S, S) to one of the eight positions of a square, drawn by step.

    All tiles of a batch share the position: light then falls from one side on all of them, as it
    does in the scene, and no tile is told from its neighbor by its shadows alone. It costs nothing.
    """
    position = int(np.random.default_rng((seed, step, _TURNS)).integers(8))
    image = torch.rot90(pixels.view(_indexable(pixels.dtype)), position % 4, (2, 3))
    return (image.flip(3) if position >= 4 else image).view(pixels.dtype)


def light(seed: int, step: int, tiles: int, bands: int, strength: float) -> Tensor:
    """(2, B, C, 1, 1) another light for each band of each tile: factors, then shifts in deviations.

    Bands vary by themselves, since haze, season and sensor change hues too.
    """
    drawn = np.random.default_rng((seed, step, _LIGHT)).standard_normal((2, tiles, bands, 1, 1))
    drawn[0] = np.exp(strength / 2 * drawn[0])
    drawn[1] *= strength
    return torch.from_numpy(drawn.astype(np.float32))


def question(seed: int, step: int) -> np.random.Generator:
    """From which an objective draws what it asks in a step: holes, turns, patches."""
    return np.random.default_rng((seed, step, _QUESTION))


def validation(seed: int, batch: int) -> np.random.Generator:
    """The same for a batch of the validation, which asks the same in every epoch."""
    return np.random.default_rng((seed, batch, _VALIDATION))


# --- their pixels ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pixels:
    """The pixels of the tiles in use: on the device, as stored, when they fit there.

    They are then read once, in order; of a virtual tile set so are the strips of scenes that hold
    them. Otherwise each batch is gathered by a thread that runs one step ahead: from the memory
    map or, of a virtual tile set, from scenes, which is quick while these fit into memory and else
    costs, for each tile, the scene's blocks around it (see `sources`).
    """

    tiles: TileSet
    ids: Ints  # (U,) positions in the tile set; a tile is known here by its number among these
    device: torch.device
    resident: Tensor | None = field(repr=False)  # (U, C, S, S)
    dtype: torch.dtype

    @classmethod
    def of(cls, tiles: TileSet, ids: Ints, device: torch.device, sharers: int = 1) -> Pixels:
        """`sharers`: how many processes do the same in this memory.

        Raises DataError for pixels that are no real numbers.
        """
        if tiles.dtype.kind not in "uif":
            raise DataError(f"{tiles.path}: its pixels are {tiles.dtype}; real numbers are needed.")
        dtype = torch.from_numpy(np.empty(0, tiles.dtype)).dtype
        size = len(ids) * math.prod(tiles.shape[1:]) * tiles.dtype.itemsize
        resident = None
        if size < free_memory(device) // (2 * sharers):
            resident = torch.empty((len(ids), *tiles.shape[1:]), dtype=_indexable(dtype), device=device)
            for start in range(0, len(ids), _CHUNK):
                rows = slice(start, start + _CHUNK)
                resident[rows] = torch.from_numpy(tiles.pixels(ids[rows])).view(_indexable(dtype)).to(device)
        return cls(tiles, ids, device, resident, dtype)

    def stream(self, numbers: Iterable[Ints], share: slice = slice(None)) -> Iterator[tuple[Ints, Tensor]]:
        """Yield each of these (B, K) arrays of tiles with its pixels (K B, C, S, S), column after column.

        The pixels are on the device, as stored; they are those of the array's `share` of rows alone.
        """
        if self.resident is not None:
            for batch in numbers:
                rows = sent(torch.from_numpy(batch[share].T.ravel()), self.device)
                yield batch, self.resident.index_select(0, rows).view(self.dtype)
        else:
            courier = Courier(self.device)
            parcels = ((batch, courier.send(self._gather(batch[share].T.ravel()))) for batch in numbers)
            for batch, parcel in ahead(parcels):
                yield batch, courier.receive(parcel)

    def _gather(self, numbers: Ints) -> Tensor:
        return torch.from_numpy(self.tiles.pixels(self.ids[numbers]))


def _indexable(dtype: torch.dtype) -> torch.dtype:
    """Of the same size, with the kernels that torch leaves out for unsigned types."""
    return _UNSIGNED.get(dtype, dtype)


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The items, made by a thread of its own that keeps two ready.

    Whoever stops early goes on when the thread has ended, lest what it reads be closed meanwhile: for
    GDAL, that is a segmentation fault.
    """
    ready: queue.Queue[Item | BaseException | None] = queue.Queue(maxsize=2)
    done = threading.Event()

    def put(item: Item | BaseException | None) -> None:
        while not done.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put(item)
                if done.is_set():
                    return
            put(None)
        except BaseException as error:  # raised again where the items are used
            put(error)

    thread = threading.Thread(target=work, daemon=True)
    try:
        thread.start()
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        done.set()
        if thread.ident is not None:  # a signal may have come before its start
            thread.join(_GRACE_S)


def normalisation(tiles: TileSet, ids: Ints) -> tuple[list[float], list[float]]:
    """Mean and deviation of each band over the pixels of these tiles, or of 10,000 spread among them.

    Pixels that are no number are left out; a band that is the same everywhere has deviation 1.
    """
    chosen = ids[np.linspace(0, len(ids) - 1, min(len(ids), _SAMPLE)).astype(np.int64)]
    count, total, squares = (np.zeros(tiles.shape[1]) for _ in range(3))
    shift: NDArray[Any] | float = 0.0  # the first chunk's mean, lest large values cancel in the squares
    for start in range(0, len(chosen), _CHUNK):
        values = tiles.pixels(chosen[start : start + _CHUNK]).astype(np.float64)
        known = np.isfinite(values)
        if not start:
            counts = np.maximum(known.sum(axis=(0, 2, 3)), 1)
            shift = (np.where(known, values, 0).sum(axis=(0, 2, 3)) / counts)[:, None, None]
        values = np.where(known, values - shift, 0)
        count += known.sum(axis=(0, 2, 3))
        total += values.sum(axis=(0, 2, 3))
        squares += np.square(values).sum(axis=(0, 2, 3))
    if not count.all():
        raise DataError(f"{tiles.path}: band {int(np.argmin(count)) + 1} of its tiles holds no number.")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return (mean + np.ravel(shift)).tolist(), np.where(std > 0, std, 1.0).tolist()

"""What a training run draws: which triplets validate, the order of the others, turns, light, questions.

All that is drawn at random follows from the seed and the number of the epoch or step alone, so
that a resumed run needs no generator's state to go on as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Floats, Ints, block_numbers
from tile2vec_cli.neural.batches import indexable

BLOCK_SIDES = 20  # side of a validation block in tiles, where the data is large enough
VALIDATION_TRIPLETS = 1000  # a share of 0.9 is then known to 0.01
# Streams of random numbers beside that of the epochs' order.
_TURNS, _SPLIT, _LIGHT, _QUESTION, _VALIDATION, _LOCAL, PLACE = range(1, 8)
SPOT_SIDES = 50  # side of a spot in tiles, and
SPOTS = 8  # how many a local batch comes from


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
    blocks = block_numbers(lonlat, block_m)
    while len(np.unique(blocks[numbers[:, 0]])) < 2 / fraction and block_m > least_block_m:
        block_m /= 2
        blocks = block_numbers(lonlat, block_m)
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


def partly_local(
    batches: Iterator[Ints], spots: Ints, share: float, seed: int, first_step: int
) -> Iterator[Ints]:
    """The batches, about a `share` of which is replaced by triplets of a few spots.

    Distant tiles of one spot are harder to tell from neighbors than those of another region, and what
    tells them is not the light of a scene. spots: (T,) in which spot each triplet lies, from 0.
    """
    order = np.argsort(spots, kind="stable")
    starts = np.searchsorted(spots[order], np.arange(spots.max() + 2))
    for step, batch in enumerate(batches, first_step):
        random = np.random.default_rng((seed, step, _LOCAL))
        if random.random() >= share:
            yield batch
            continue
        chosen = spots[random.integers(len(spots), size=min(SPOTS, len(batch)))]
        counts = np.full(len(chosen), len(batch) // len(chosen))
        counts[: len(batch) % len(chosen)] += 1
        yield np.concatenate(
            [
                order[random.integers(starts[spot], starts[spot + 1], size=count)]
                for spot, count in zip(chosen, counts, strict=True)
            ]
        )


def steps_per_epoch(count: int, batch_size: int) -> int:
    return max(1, count // batch_size)


def turned(pixels: Tensor, seed: int, step: int) -> Tensor:
    """Flip and turn a batch (B, C, S, S) to one of the eight positions of a square, drawn by step.

    All tiles of a batch share the position: light then falls from one side on all of them, as it
    does in the scene, and no tile is told from its neighbor by its shadows alone. It costs nothing.
    """
    position = int(np.random.default_rng((seed, step, _TURNS)).integers(8))
    image = torch.rot90(pixels.view(indexable(pixels.dtype)), position % 4, (2, 3))
    return (image.flip(3) if position >= 4 else image).view(pixels.dtype)


def light(seed: int, step: int, tiles: int, bands: int, strength: float) -> Tensor:
    """(2, B, C, 1, 1) another light for each band of each tile: factors, then shifts in deviations.

    Bands vary by themselves, since haze, season and sensor change hues too. In every other step all is as
    it was: colour alone tells some classes, and a column that never sees it keeps nothing of it.
    """
    if step % 2:
        strength = 0.0
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

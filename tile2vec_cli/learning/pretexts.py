"""Questions about a tile's own pixels, which need neither places nor labels.

Patches are three quarters of a cell of a grid on the tile, each at a random place in its cell, so
that edges that run on from one to the next do not give the answer away. For tiles of 50 pixels:
`context` has 3 × 3 cells of 16 and patches of 12 pixels, `jigsaw` 2 × 2 cells of 25 and patches of
19. More pieces would be too small for the encoder's strides, which add up to 16.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from tile2vec_cli.config.pipeline import TrainConfig
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.learning.questions import Batch, Question, side_by_side

NEIGHBORS = 8  # patches around the one in the middle


def _even(order: tuple[int, ...]) -> bool:
    return sum(a > b for k, b in enumerate(order) for a in order[:k]) % 2 == 0


# Any two of the even permutations of four differ in three places or in all; no larger set does.
PERMUTATIONS = np.array([order for order in permutations(range(4)) if _even(order)])


def autoencoder(batch: Batch, _config: TrainConfig) -> Question:
    """The tile itself, from its vector (Hinton, Salakhutdinov 2006): mean square of standardised bands."""
    bands = batch.standardise(batch.pixels)
    return Question(batch.pixels, lambda vectors, head: mse_loss(head(vectors), bands))


def inpainting(batch: Batch, _config: TrainConfig) -> Question:
    """What was in a hole of half the tile's side, at a random place (Pathak et al. 2016, equation 1).

    The hole looks like the mean of all tiles. The loss is over the hole alone.
    """
    bands = batch.standardise(batch.pixels)
    side = bands.shape[-1]
    wide = side // 2
    first = batch.random.integers(side - wide + 1, size=(2, len(bands), 1))
    inside = (np.arange(side) >= first) & (np.arange(side) < first + wide)
    hole = batch.tensor(inside[0][:, None, :, None] & inside[1][:, None, None, :])
    # A pixel that is no number counts as the mean.
    seen = batch.pixels.to(torch.float32).masked_fill(hole, torch.nan)

    def judge(vectors: Tensor, head: nn.Module) -> Tensor:
        squares = (head(vectors) - bands).square()
        mean: Tensor = torch.where(hole, squares, 0.0).sum() / (len(bands) * bands.shape[1] * wide**2)
        return mean

    return Question(seen, judge)


def colorization(batch: Batch, _config: TrainConfig) -> Question:
    """How each band differs from the mean of all (after Zhang et al. 2016, with squares for their classes).

    All bands show the mean, in standardised values: so the encoder meets pixels such as it will embed.
    """
    bands = batch.standardise(batch.pixels)
    grey = bands.mean(1, keepdim=True)
    colours = bands - grey
    seen = grey * batch.standardise.std + batch.standardise.mean
    return Question(seen, lambda vectors, head: mse_loss(head(vectors), colours))


def rotation(batch: Batch, _config: TrainConfig) -> Question:
    """By how many quarter turns each tile was turned (Gidaris et al. 2018); a quarter of a batch by each."""
    turns = batch.random.permutation(np.arange(len(batch.pixels)) % 4)
    seen = batch.pixels.to(torch.float32)
    for turn in (1, 2, 3):
        rows = batch.tensor(np.flatnonzero(turns == turn))
        seen = seen.index_copy(0, rows, torch.rot90(seen[rows], turn, (2, 3)))
    answers = batch.tensor(turns)
    return Question(seen, lambda vectors, head: cross_entropy(head(vectors), answers))


def context(batch: Batch, _config: TrainConfig) -> Question:
    """Which of the eight patches around the middle one the second patch is (Doersch et al. 2015)."""
    which = batch.random.integers(NEIGHBORS, size=len(batch.pixels))
    cells = np.stack([np.full_like(which, 4), which + (which >= 4)])
    answers = batch.tensor(which)
    return Question(
        _patches(batch, cells, 3),
        lambda vectors, head: cross_entropy(head(side_by_side(vectors, 2)), answers),
    )


def jigsaw(batch: Batch, _config: TrainConfig) -> Question:
    """In which of twelve orders the four patches of a tile come (Noroozi, Favaro 2016)."""
    which = batch.random.integers(len(PERMUTATIONS), size=len(batch.pixels))
    answers = batch.tensor(which)
    return Question(
        _patches(batch, PERMUTATIONS[which].T, 2),
        lambda vectors, head: cross_entropy(head(side_by_side(vectors, 4)), answers),
    )


def _patches(batch: Batch, cells: Ints, grid: int) -> Tensor:
    """(P B, C, p, p) float32: of each tile the patches in these cells (P, B) of a grid × grid, row by row."""
    side = batch.pixels.shape[-1] // grid
    gap = side // 4
    tile = np.broadcast_to(np.arange(cells.shape[1]), cells.shape).reshape(-1, 1, 1)
    jitter = batch.random.integers(gap + 1, size=(2, cells.size))
    along = np.arange(side - gap)
    first = np.stack(np.divmod(cells.ravel(), grid)) * side + jitter
    rows, cols = first[0, :, None, None] + along[:, None], first[1, :, None, None] + along
    pixels = batch.pixels.to(torch.float32).movedim(1, -1)
    return pixels[batch.tensor(tile), batch.tensor(rows), batch.tensor(cols)].movedim(-1, 1)

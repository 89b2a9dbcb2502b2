"""Objectives about a tile's own pixels, which need neither places nor labels.

Patches are three quarters of a cell of a grid on the tile, each at a random place in its cell, so
that edges that run on from one to the next do not give the answer away. For tiles of 50 pixels:
`context` has 3 × 3 cells of 16 and patches of 12 pixels, `jigsaw` 2 × 2 cells of 25 and patches of
19. More pieces would be too small for the encoder's strides, which add up to 16.
"""

from __future__ import annotations

from abc import ABC
from itertools import permutations
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.learning import examples, heads
from tile2vec_cli.learning.examples import Examples, Source
from tile2vec_cli.learning.heads import Sizes
from tile2vec_cli.learning.objective import Answers, Batch, Objective, Views

NEIGHBORS = 8  # patches around the one in the middle


def _even(order: tuple[int, ...]) -> bool:
    return sum(a > b for k, b in enumerate(order) for a in order[:k]) % 2 == 0


# Any two of the even permutations of four differ in three places or in all; no larger set does.
PERMUTATIONS = np.array([order for order in permutations(range(4)) if _even(order)])


class _Pretext(Objective[Answers], ABC):
    """Every tile of the triplets teaches by itself."""

    whole = True

    def examples(self, source: Source) -> Examples:
        return examples.of_tiles(source)


class _Decoded(_Pretext[Tensor], ABC):
    """The answers are standardised bands; the loss is the mean of squares."""

    def loss(self, vectors: Tensor, answers: Tensor, head: nn.Module) -> Tensor:
        return mse_loss(head(vectors), answers)

    def head(self, dim: int, sizes: Sizes) -> nn.Module:
        return heads.Decoder(dim, sizes.bands, sizes.side)


class Autoencoder(_Decoded):
    """The tile itself, from its vector (Hinton, Salakhutdinov 2006)."""

    def views(self, batch: Batch) -> Views[Tensor]:
        return Views(batch.pixels, batch.standardise(batch.pixels))


class Colorization(_Decoded):
    """How each band differs from the mean of all (after Zhang et al. 2016, with squares for their classes).

    All bands show the mean, in standardised values: so the encoder meets pixels such as it will embed.
    """

    bands = 2

    def views(self, batch: Batch) -> Views[Tensor]:
        bands = batch.standardise(batch.pixels)
        grey = bands.mean(1, keepdim=True)
        return Views(grey * batch.standardise.std + batch.standardise.mean, bands - grey)


class Inpainting(_Pretext[tuple[Tensor, Tensor]]):
    """What was in a hole of half the tile's side, at a random place (Pathak et al. 2016, equation 1).

    The hole looks like the mean of all tiles. The loss is over the hole alone.
    """

    def views(self, batch: Batch) -> Views[tuple[Tensor, Tensor]]:
        bands = batch.standardise(batch.pixels)
        side = bands.shape[-1]
        wide = side // 2
        first = batch.random.integers(side - wide + 1, size=(2, len(bands), 1))
        inside = (np.arange(side) >= first) & (np.arange(side) < first + wide)
        hole = batch.tensor(inside[0][:, None, :, None] & inside[1][:, None, None, :])
        # A NaN pixel counts as the mean.
        return Views(batch.pixels.to(torch.float32).masked_fill(hole, torch.nan), (bands, hole))

    def loss(self, vectors: Tensor, answers: tuple[Tensor, Tensor], head: nn.Module) -> Tensor:
        bands, hole = answers
        squares = (head(vectors) - bands).square()
        pixels = len(bands) * bands.shape[1] * (bands.shape[-1] // 2) ** 2
        mean: Tensor = torch.where(hole, squares, 0.0).sum() / pixels
        return mean

    def head(self, dim: int, sizes: Sizes) -> nn.Module:
        return heads.Decoder(dim, sizes.bands, sizes.side)


class _Puzzle(_Pretext[Tensor], ABC):
    """Which of several answers is right, from the pieces of a tile."""

    choices: ClassVar[int]
    pieces: ClassVar[int] = 1

    def loss(self, vectors: Tensor, answers: Tensor, head: nn.Module) -> Tensor:
        return cross_entropy(head(torch.cat(vectors.chunk(self.pieces), 1)), answers)

    def head(self, dim: int, sizes: Sizes) -> nn.Module:
        return heads.one_of(dim, self.choices, self.pieces)


class Rotation(_Puzzle):
    """By how many quarter turns each tile was turned (Gidaris et al. 2018); a quarter of a batch by each."""

    turns = False
    choices = 4

    def views(self, batch: Batch) -> Views[Tensor]:
        turns = batch.random.permutation(np.arange(len(batch.pixels)) % 4)
        seen = batch.pixels.to(torch.float32)
        for turn in (1, 2, 3):
            rows = batch.tensor(np.flatnonzero(turns == turn))
            seen = seen.index_copy(0, rows, torch.rot90(seen[rows], turn, (2, 3)))
        return Views(seen, batch.tensor(turns))


class Context(_Puzzle):
    """Which of the eight patches around the middle one the second patch is (Doersch et al. 2015)."""

    side = 15
    choices = NEIGHBORS
    pieces = 2

    def views(self, batch: Batch) -> Views[Tensor]:
        which = batch.random.integers(NEIGHBORS, size=len(batch.pixels))
        cells = np.stack([np.full_like(which, 4), which + (which >= 4)])
        return Views(_patches(batch, cells, 3), batch.tensor(which))


class Jigsaw(_Puzzle):
    """In which of twelve orders the four patches of a tile come (Noroozi, Favaro 2016)."""

    side = 10
    choices = len(PERMUTATIONS)
    pieces = 4

    def views(self, batch: Batch) -> Views[Tensor]:
        which = batch.random.integers(len(PERMUTATIONS), size=len(batch.pixels))
        return Views(_patches(batch, PERMUTATIONS[which].T, 2), batch.tensor(which))


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

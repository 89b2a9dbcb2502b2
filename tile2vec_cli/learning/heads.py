"""What stands on the vectors while an encoder is trained, and is left behind with the training.

A head turns one column's vectors into an answer. Heads have no batch norm, so that a step that is
given up leaves nothing in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, relu

_WIDTH = 32  # channels of the decoder's maps
_PIXELS = 4  # that a place of its last map stands for, a side


@dataclass(frozen=True)
class Sizes:
    """What the answers are about."""

    bands: int
    side: int  # of a tile in pixels
    classes: int  # of the labels; 0 without any


Head = Callable[[int, Sizes], nn.Module]
"""Makes the head of a column of D dimensions."""


class Decoder(nn.Module):
    """(B, D) vectors to (B, C, S, S) standardised bands.

    A coarse map, doubled once, whose places then hold 4 × 4 pixels each (Shi et al. 2016): maps of
    the tile's own size would cost more than the encoder does.
    """

    def __init__(self, dim: int, bands: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.coarse = -(-side // (2 * _PIXELS))
        self.first = nn.Linear(dim, _WIDTH * self.coarse**2)
        self.middle = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.last = nn.Conv2d(_WIDTH, bands * _PIXELS**2, 3, padding=1)

    def forward(self, vectors: Tensor) -> Tensor:
        x = relu(self.first(vectors)).view(-1, _WIDTH, self.coarse, self.coarse)
        x = relu(self.middle(interpolate(x, scale_factor=2.0, mode="nearest")))
        return pixel_shuffle(self.last(x), _PIXELS)[:, :, : self.side, : self.side]


def classes(dim: int, sizes: Sizes) -> nn.Module:
    """The labels' classes, as a linear function: what `probe` will ask for."""
    return nn.Linear(dim, sizes.classes)


def one_of(dim: int, answers: int, pieces: int = 1) -> nn.Module:
    """One of so many answers, from the vectors of `pieces` images side by side."""
    if pieces == 1:
        return nn.Linear(dim, answers)
    # What relates two pieces is no sum of what either is: it takes a layer between.
    return nn.Sequential(nn.Linear(pieces * dim, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, answers))


def untrained(head: Head, dims: Sequence[int], sizes: Sizes, seed: int) -> nn.ModuleList:
    """A head for each column, drawn from `seed`, leaving torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)  # the encoder's weights are drawn from the seed itself
        return nn.ModuleList(head(dim, sizes) for dim in dims)

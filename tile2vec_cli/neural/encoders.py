"""Tile -> vector networks, and the ENCODERS table.

An encoder is a module (B, C, S, S) raw pixels of any number type -> (B, D) float32. Another one is a
function that makes its columns (see `columns.py`), and a row here.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tile2vec_cli.neural.columns import Build, Column, Foldable
from tile2vec_cli.neural.residual import residual
from tile2vec_cli.neural.standardise import Standardise


@dataclass(frozen=True)
class Row:
    """One encoder: its columns, and what suits it where the user says nothing."""

    columns: Build
    dim: int  # D
    batch_size: int  # triplets a training step
    lr: float
    embed_batch_size: int  # tiles a forward pass on a CPU

    def tiles_a_pass(self, device: str) -> int:
        """Tiles that go through the network at once where it does not train; a GPU needs more to be busy."""
        return self.embed_batch_size * (8 if device == "cuda" else 1)

    def build(self, bands: int, dim: int, side: int, mean: Sequence[float], std: Sequence[float]) -> Encoder:
        return Encoder(Standardise(mean, std), self.columns(bands, dim, side))


ENCODERS = {
    # The TileNet of the paper's published code: ResNet-18 whose stem keeps the resolution, and a
    # fifth stage.
    "resnet18": Row(
        columns=residual((64, 128, 256, 512), blocks=2, stem_stride=1),
        dim=512,
        batch_size=50,
        lr=0.001,
        embed_batch_size=64,
    ),
    # For CPUs: about a hundredth of the arithmetic.
    "small": Row(
        columns=residual((16, 32, 64), (32, 64, 128), blocks=1, stem_stride=2),
        dim=128,
        batch_size=128,
        lr=0.002,
        embed_batch_size=128,
    ),
}


def untrained(
    name: str, bands: int, dim: int, side: int, mean: Sequence[float], std: Sequence[float], seed: int
) -> Encoder:
    """An encoder with weights drawn from `seed`, leaving torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ENCODERS[name].build(bands, dim, side, mean, std)


class Encoder(nn.Module):
    """Columns whose vectors stand side by side.

    What tells places apart soonest is the colour of their scenes, and an encoder that has learned
    that looks no further. So a column that is `lit` is trained under another `light` for each tile, and
    has to tell places by what light does not change; the others see the colours as they are. A
    column is trained by itself (`parts`), else one would only add to what another has.
    """

    def __init__(self, standardise: Standardise, columns: Sequence[Column]) -> None:
        super().__init__()
        self.standardise = standardise
        self.columns = nn.ModuleList(columns)
        self.shares = [column.dim for column in columns]
        self.lit = [column.lit for column in columns]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pixels: Tensor, light: Tensor | None = None) -> Tensor:
        """(B, D) of raw pixels (B, C, S, S). `light` (2, B, C, 1, 1): factors, then shifts in deviations."""
        plain = self.standardise(pixels)
        shown = plain if light is None else plain * light[0] + light[1]
        columns = zip(self.columns, self.lit, strict=True)
        return torch.cat([column(shown if lit else plain) for column, lit in columns], dim=1)

    def parts(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """Vectors (…, D) cut into those of each column."""
        return torch.split(vectors, self.shares, dim=-1)


def fused(encoder: Encoder) -> Encoder:
    """A copy for inference whose batch norms are folded into the layers before them."""
    encoder = deepcopy(encoder).eval()
    for module in list(encoder.modules()):
        if isinstance(module, Foldable):
            module.fold()
    return encoder

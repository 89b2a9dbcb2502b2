"""The texture column: two residual stages, and of each channel its mean and its deviation over the tile.

Neighbors are alike in most ways, so a deep network that is to bring them together learns to forget what
stands in this very tile. What two shallow stages see, each pooled by itself, it keeps. Mean and deviation
describe a texture whatever its position (Portilla, Simoncelli 2000; for networks Ulyanov et al. 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from tile2vec_cli.neural.columns import Column
from tile2vec_cli.neural.residual import Convolution, Residual, fold_norm

_LEAST = 1e-5  # added to variances: the gradient of a root at 0 is infinite


def texture(bands: int, dim: int, _side: int) -> list[Column]:
    """The texture column of `dim` numbers; see `columns.Build`."""
    return [Texture(bands, dim)]


class Texture(Column):
    """Maps (B, C, S, S) float32 to (B, dim) float32; three eighths of the channels are the first stage's."""

    lit = True

    def __init__(self, bands: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        channels = max(2, -(-dim // 2))  # two numbers each; of an odd `dim` the last deviation is left out
        first = max(1, 3 * channels // 8)
        self.stem = Convolution(bands, first, 3, 2)
        self.stem_norm = nn.BatchNorm2d(first)
        self.stages = nn.Sequential(Residual(first, first, 1), Residual(first, channels - first, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.stem_norm(self.stem(x)), inplace=True)
        pooled = []
        for stage in self.stages:
            x = stage(x)
            maps = x.permute(0, 2, 3, 1).flatten(1, 2).float()  # (B, n, channels) as it lies in memory
            mean = maps.mean(1)
            variance = (maps.square().mean(1) - mean.square()).clamp(min=0)  # four times as fast as var_mean
            pooled += [mean, (variance + _LEAST).sqrt()]
        return torch.cat(pooled, dim=1)[:, : self.dim]

    def fold(self) -> None:
        fold_norm(self, "stem", "stem_norm")

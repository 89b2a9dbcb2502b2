"""Residual columns (He et al. 2016), for any number of bands and any tile side from 2 pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tile2vec_cli.neural.columns import Build, Column


def residual(*columns: tuple[int, ...], blocks: int, stem_stride: int) -> Build:
    """Makes one column or two that share the dimensions; light reaches the second.

    Each is given by the channels of its stages but the last, which has as many as the column has
    dimensions. blocks: residual blocks a stage.
    """

    def build(bands: int, dim: int, _side: int) -> list[Column]:
        shares = [dim - dim // 2, dim // 2] if len(columns) == 2 else [dim]
        return [
            Residuals(bands, (*widths, share), blocks, stem_stride, lit=number > 0)
            for number, (widths, share) in enumerate(zip(columns, shares, strict=True))
        ]

    return build


class Convolution(nn.Conv2d):
    """A convolution without bias whose output is as large as its input, or half of that for stride 2.

    On a map of one pixel the stride changes nothing and is taken as 1: oneDNN's bfloat16 kernel for
    stride 2 reads beyond such a map, and its gradient holds whatever lay in memory there.
    """

    def __init__(self, channels_in: int, channels: int, size: int, stride: int) -> None:
        super().__init__(channels_in, channels, size, stride, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        stride = (1, 1) if x.shape[-2:] == (1, 1) else self.stride
        return conv2d(x, self.weight, self.bias, stride, self.padding)


class Residual(nn.Module):
    """Two 3×3 convolutions beside a short cut (He et al. 2016, basic block)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = Convolution(channels_in, channels, 3, stride)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = Convolution(channels, channels, 3, 1)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels:
            self.shortcut.append(Convolution(channels_in, channels, 1, stride))
            self.shortcut.append(nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        # In place: what no gradient asks for again is not copied.
        out: Tensor = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)), inplace=True)))
        out += self.shortcut(x)
        return relu(out, inplace=True)

    def fold(self) -> None:
        fold_norm(self, "conv1", "norm1")
        fold_norm(self, "conv2", "norm2")
        if len(self.shortcut):
            fold_norm(self.shortcut, "0", "1")


class Residuals(Column):
    """Stem, residual stages (the first at the stem's resolution, the others halve it), average.

    Maps (B, C, S, S) float32 to (B, widths[-1]) float32; each entry of `widths` is a stage.
    """

    def __init__(
        self, bands: int, widths: Sequence[int], blocks: int, stem_stride: int, *, lit: bool
    ) -> None:
        super().__init__()
        self.lit = lit
        self.stem = Convolution(bands, widths[0], 3, stem_stride)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        self.stages = nn.Sequential()
        channels = widths[0]
        for depth, width in enumerate(widths):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(Residual(channels, width, 2 if depth and not block else 1))
                channels = width
            self.stages.append(stage)
        self.dim = channels

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.stem_norm(self.stem(x)), inplace=True)
        vectors: Tensor = self.stages(x).mean((2, 3), dtype=torch.float32)
        return vectors

    def fold(self) -> None:
        fold_norm(self, "stem", "stem_norm")


def fold_norm(module: nn.Module, convolution: str, norm: str) -> None:
    conv, batch_norm = module.get_submodule(convolution), module.get_submodule(norm)
    assert isinstance(conv, Convolution) and isinstance(batch_norm, nn.BatchNorm2d)
    setattr(module, convolution, fuse_conv_bn_eval(conv, batch_norm))
    setattr(module, norm, nn.Identity())

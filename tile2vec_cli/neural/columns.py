"""Columns: what encoders are made of, side by side; the residual and the texture column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import conv2d, relu
from torch.nn.utils.fusion import fuse_conv_bn_eval

_LEAST = 1e-5  # added to variances: the gradient of a root at 0 is infinite


class Column(nn.Module):
    """Standardised pixels (B, C, S, S) float32 of any side S ≥ 2 to vectors (B, dim) float32.

    S may change from batch to batch: some objectives show parts of tiles. Modules that hold an
    nn.BatchNorm2d, which is the only norm over a batch, are `Foldable`.
    """

    dim: int
    lit: bool = False  # whether light changes while it is trained; see `encoders.Encoder`

    def finished(self, vectors: Tensor) -> Tensor:
        """What becomes of its vectors once it is trained."""
        return vectors


Build = Callable[[int, int], list[Column]]
"""Makes the columns for C bands and `dim` numbers in all, with weights drawn from torch's generator."""


@runtime_checkable
class Foldable(Protocol):
    """A module that works faster in inference once its batch norms are part of the layers before them."""

    def fold(self) -> None:
        """Fold the module's own batch norms, in place; it is in evaluation mode."""


def residual(*columns: tuple[int, ...], blocks: int, stem_stride: int) -> Build:
    """Makes one column or two that share the dimensions; light reaches the second.

    Each is given by the channels of its stages but the last, which has as many as the column has
    dimensions. blocks: residual blocks a stage.
    """

    def build(bands: int, dim: int) -> list[Column]:
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
    """Make a batch norm part of the convolution before it; both are named as `get_submodule` names them."""
    before, batch_norm = module.get_submodule(convolution), module.get_submodule(norm)
    if not isinstance(before, Convolution) or not isinstance(batch_norm, nn.BatchNorm2d):
        raise TypeError(f"{convolution} and {norm}: a columns.Convolution and an nn.BatchNorm2d are folded")
    module.set_submodule(convolution, fuse_conv_bn_eval(before, batch_norm))
    module.set_submodule(norm, nn.Identity())


def _moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Means of maps (B, n, C) and of their squares, (B, C) float32 each."""
    full = maps.float()
    return full.mean(1), full.square().mean(1)


class _Moments(Function):
    """The same with one pass on the way back. Autograd's own writes five copies: a seventh of a step."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(maps)
        return _moments(maps)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (maps,) = ctx.saved_tensors
        of_means, of_squares = (grad[:, None] / maps.shape[1] for grad in grads)
        return torch.addcmul(of_means.to(maps.dtype), maps, (2 * of_squares).to(maps.dtype))


def texture(bands: int, dim: int) -> list[Column]:
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
            maps = x.permute(0, 2, 3, 1).flatten(1, 2)  # as they lie in memory
            moments = _Moments.apply if maps.requires_grad else _moments
            mean, squares = moments(maps)
            variance = (squares - mean.square()).clamp(min=0)  # four times as fast as var_mean
            pooled += [mean, (variance + _LEAST).sqrt()]
        return torch.cat(pooled, dim=1)[:, : self.dim]

    def finished(self, vectors: Tensor) -> Tensor:
        """Their roots, in which what is frequent outweighs the rest by less (Perronnin et al. 2010)."""
        return vectors.sqrt()

    def fold(self) -> None:
        fold_norm(self, "stem", "stem_norm")


# The TileNet of the paper's published code: ResNet-18 whose stem keeps the resolution, and a fifth stage.
resnet18 = residual((64, 128, 256, 512), blocks=2, stem_stride=1)
# For CPUs: about a hundredth of the arithmetic.
small = residual((16, 32, 64), (32, 64, 128), blocks=1, stem_stride=2)

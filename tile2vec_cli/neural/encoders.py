"""Tile -> vector networks, and the ENCODERS table.

An encoder is a module (B, C, S, S) raw pixels of any number type -> (B, D) float32. Its first
layer standardises, so that whoever holds the weights needs to know nothing about the pixels.
Any number of bands and any tile side from 2 pixels will do.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu
from torch.nn.utils.fusion import fuse_conv_bn_eval


@dataclass(frozen=True)
class Row:
    """One encoder: its shape, and what suits it where the user says nothing."""

    columns: tuple[tuple[int, ...], ...]  # one or two: channels of every stage but the last, which share D
    blocks: int  # residual blocks a stage
    stem_stride: int
    dim: int  # D
    batch_size: int  # triplets a training step
    lr: float
    embed_batch_size: int  # tiles a forward pass on a CPU

    def tiles_a_pass(self, device: str) -> int:
        """Tiles that go through the network at once where it does not train; a GPU needs more to be busy."""
        return self.embed_batch_size * (8 if device == "cuda" else 1)

    def build(self, bands: int, dim: int, mean: Sequence[float], std: Sequence[float]) -> Encoder:
        shares = [dim - dim // 2, dim // 2] if len(self.columns) == 2 else [dim]
        columns = [
            Column(bands, (*widths, share), self.blocks, self.stem_stride)
            for widths, share in zip(self.columns, shares, strict=True)
        ]
        return Encoder(Standardise(mean, std), columns)


ENCODERS = {
    # The TileNet of the paper's published code: ResNet-18 whose stem keeps the resolution, and a
    # fifth stage.
    "resnet18": Row(
        columns=((64, 128, 256, 512),),
        blocks=2,
        stem_stride=1,
        dim=512,
        batch_size=50,
        lr=0.001,
        embed_batch_size=64,
    ),
    # For CPUs: about a hundredth of the arithmetic.
    "small": Row(
        columns=((16, 32, 64), (32, 64, 128)),
        blocks=1,
        stem_stride=2,
        dim=128,
        batch_size=128,
        lr=0.002,
        embed_batch_size=128,
    ),
}


def untrained(
    name: str, bands: int, dim: int, mean: Sequence[float], std: Sequence[float], seed: int
) -> Encoder:
    """An encoder with weights drawn from `seed`, leaving torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ENCODERS[name].build(bands, dim, mean, std)


class Standardise(nn.Module):
    """Raw pixels of any number type to float32 of mean 0 and deviation 1 a band.

    A pixel that is no number counts as the mean. Mean and deviation are saved with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        values = (pixels.to(torch.float32, memory_format=torch.channels_last) - self.mean) / self.std
        return values.nan_to_num(0.0, 0.0, 0.0) if pixels.is_floating_point() else values


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


class Column(nn.Module):
    """Stem, residual stages (the first at the stem's resolution, the others halve it), average.

    Maps (B, C, S, S) float32 to (B, widths[-1]) float32; each entry of `widths` is a stage.
    """

    def __init__(self, bands: int, widths: Sequence[int], blocks: int, stem_stride: int) -> None:
        super().__init__()
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


class Encoder(nn.Module):
    """One column or two, whose vectors stand side by side.

    What tells places apart soonest is the colour of their scenes, and an encoder that has learned
    that looks no further. So the second column is trained under another `light` for each tile, and
    has to tell places by what light does not change; the first sees the colours as they are. A
    column is trained by itself (`parts`), else the second would only add to what the first has.
    """

    def __init__(self, standardise: Standardise, columns: Sequence[Column]) -> None:
        super().__init__()
        self.standardise = standardise
        self.columns = nn.ModuleList(columns)
        self.shares = [column.dim for column in columns]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pixels: Tensor, light: Tensor | None = None) -> Tensor:
        """(B, D) of raw pixels (B, C, S, S). `light` (2, B, C, 1, 1): factors, then shifts in deviations."""
        seen = self.standardise(pixels)
        lit = seen if light is None else seen * light[0] + light[1]
        return torch.cat([column(x) for column, x in zip(self.columns, (seen, lit), strict=False)], dim=1)

    def parts(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """Vectors (…, D) cut into those of each column."""
        return torch.split(vectors, self.shares, dim=-1)


def fused(encoder: Encoder) -> Encoder:
    """A copy for inference whose batch norms are folded into the convolutions before them."""
    encoder = deepcopy(encoder).eval()
    for module in list(encoder.modules()):
        if isinstance(module, Column):
            _fuse(module, "stem", "stem_norm")
        elif isinstance(module, Residual):
            _fuse(module, "conv1", "norm1")
            _fuse(module, "conv2", "norm2")
            if len(module.shortcut):
                _fuse(module.shortcut, "0", "1")
    return encoder


def _fuse(module: nn.Module, convolution: str, norm: str) -> None:
    conv, batch_norm = module.get_submodule(convolution), module.get_submodule(norm)
    assert isinstance(conv, Convolution) and isinstance(batch_norm, nn.BatchNorm2d)
    setattr(module, convolution, fuse_conv_bn_eval(conv, batch_norm))
    setattr(module, norm, nn.Identity())

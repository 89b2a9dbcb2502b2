"""The U-Net (Ronneberger et al. 2015) of Wang et al. 2020, and what it grew into here.

No group norm: statistics of a whole window would make a pixel's class depend on how a scene was cut
into windows. Batch norm in evaluation is a fixed scaling, so the same surroundings always give the
same answer (see `reach`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tile2vec_cli.neural.batches import Standardise


class UNet(nn.Module):
    """(B, C, H, W) standardised bands to (B, H, W) logits; H and W are multiples of `stride`.

    levels: resolutions, each half the one before and twice as wide, beginning with `width` channels.
    pixel_path: the last layer also sees the input itself, so that a pixel's own bands can decide alone,
    as in a logistic regression, and the U only has to learn what the surroundings add.
    drop: share of the channels dropped in training, at the bottom and before the last layer.
    """

    def __init__(
        self, bands: int, *, width: int = 32, levels: int = 4, pixel_path: bool = False, drop: float = 0.0
    ) -> None:
        super().__init__()
        widths = [width << level for level in range(levels)]
        self.stride = 1 << (levels - 1)
        self.down = nn.ModuleList(_block(i, o) for i, o in zip([bands, *widths], widths, strict=False))
        self.up = nn.ModuleList(_block(n + wider, n) for n, wider in pairwise(widths))
        self.drop, self._dropping = drop, [widths[-1], width]  # channels at the bottom, before the last layer
        self.pixel_path = pixel_path
        self.shape = {"width": width, "levels": levels, "pixel_path": pixel_path}
        self.head = nn.Conv2d(width + bands * pixel_path, 1, 1)

    def dropout(self, tiles: int) -> Tensor | None:
        """(B, channels, 1, 1) what channels are multiplied by in a step; None where none are dropped.

        As `nn.Dropout2d` does (Tompson et al. 2015), but drawn before tiles are shared out to threads.
        """
        if not self.drop:
            return None
        kept = torch.empty(tiles, sum(self._dropping), 1, 1, device=self.head.weight.device)
        return kept.bernoulli_(1 - self.drop) / (1 - self.drop)

    def forward(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        kept: list[Tensor] = []
        y = x
        for level, block in enumerate(self.down):
            y = block(F.max_pool2d(y, 2) if level else y)
            kept.append(y)
        lower, upper = (
            (None, None) if dropout is None else torch.split(dropout.to(y.dtype), self._dropping, 1)
        )
        y = y if lower is None else y * lower
        for level in reversed(range(len(self.up))):
            wider = F.interpolate(y, scale_factor=2.0, mode="nearest")
            y = self.up[level](torch.cat([kept[level], wider], 1))
        y = y if upper is None else y * upper
        logits: Tensor = self.head(torch.cat([y, x], 1) if self.pixel_path else y)
        return logits[:, 0]

    @property
    def reach(self) -> int:
        """Pixels beyond which the surroundings of a pixel play no part, rounded up to whole strides.

        A 3×3 convolution at level k reaches 2^k further; there are two of them at each level on the
        way down and up; pooling adds at most a stride.
        """
        steps = [2 << level for level in range(len(self.down))]
        reach = sum(steps) + sum(steps[:-1]) + self.stride
        return -(-reach // self.stride) * self.stride


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Segmenter(nn.Module):
    """Raw pixels and validity to logits (B, H, W), for any H and W: what a model folder holds.

    The logits are the mean of the member networks'. A pixel is of the class where its probability is at
    least `threshold`.
    """

    threshold: Tensor

    def __init__(self, standardise: Standardise, members: Sequence[UNet], threshold: float = 0.5) -> None:
        super().__init__()
        self.standardise = standardise
        self.members = nn.ModuleList(members)
        self.register_buffer("threshold", torch.tensor(threshold, dtype=torch.float32))

    @property
    def unets(self) -> list[UNet]:
        return [member for member in self.members if isinstance(member, UNet)]

    @property
    def stride(self) -> int:
        return max(member.stride for member in self.unets)

    @property
    def reach(self) -> int:
        return max(member.reach for member in self.unets)

    def forward(self, pixels: Tensor, valid: Tensor) -> Tensor:
        x, crop = padded(self.standardise.clipped(pixels, valid), self.stride)
        x = x.contiguous(memory_format=torch.channels_last)
        logits = torch.stack([member(x).float() for member in self.unets]).mean(0)
        return logits[crop]


def padded(x: Tensor, stride: int) -> tuple[Tensor, tuple[slice, ...]]:
    """`x` (B, C, H, W) with zeros around it up to multiples of `stride`, and the slice of it that is `x`."""
    height, width = x.shape[-2:]
    down, right = -height % stride, -width % stride
    top, left = down // 2, right // 2
    inside = (slice(None), slice(top, top + height), slice(left, left + width))
    return F.pad(x, (left, right - left, top, down - top)), inside

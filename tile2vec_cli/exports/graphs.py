"""Networks as graphs of fixed operations: what `torch.export` and ONNX can hold.

Each takes raw pixels as float32, NaN where they are not valid, and gives what `embed` or `map` gives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tile2vec_cli.neural.descriptors import STEP, Descriptors
from tile2vec_cli.neural.encoders import Encoder, fused
from tile2vec_cli.segmentation.unet import Segmenter


class EncoderGraph(nn.Module):
    """(B, C, S, S) to (B, D); for an invalid pixel stands its band's mean in the tile, as for `embed`."""

    centre: Tensor  # (C, 1, 1)

    def __init__(self, encoder: Encoder, whole: bool) -> None:
        """whole: the pixels are whole numbers, and so are the means."""
        super().__init__()
        self.encoder = fused(encoder)
        if self.encoder.place is not None:
            self.encoder.place.descriptors = _Descriptors.of(self.encoder.place.descriptors)
        self.whole = whole
        # Sums of what is left of the pixels without it are exact, or nearly so, in float32.
        self.register_buffer("centre", self.encoder.standardise.mean.round())

    def forward(self, pixels: Tensor) -> Tensor:
        known = pixels.isfinite().all(1, keepdim=True)
        count = known.float().sum((2, 3), keepdim=True)
        means = torch.where(known, pixels - self.centre, 0.0).sum((2, 3), keepdim=True) / count.clamp(min=1)
        means = torch.where(count > 0, means + self.centre, 0.0)
        vectors: Tensor = self.encoder(torch.where(known, pixels, means.round() if self.whole else means))
        return vectors


class _Descriptors(Descriptors):
    """The same numbers without a choice that depends on the batch."""

    kernels: Tensor  # (F, C, K, K)

    @classmethod
    def of(cls, found: Descriptors) -> _Descriptors:
        made = cls(found.filters, found.axes, found.edges)
        made.register_buffer("kernels", found.filters.weight.permute(0, 3, 1, 2).contiguous())
        return made

    def forward(self, pixels: Tensor, standardised: Tensor) -> Tensor:
        filters = self.filters
        answers = F.conv2d(pixels - filters.shift[:, None, None], self.kernels, filters.bias, filters.stride)
        values = self._values(standardised[:, :, ::STEP, ::STEP])
        return torch.cat([answers.relu().mean((2, 3)), self._components(standardised), values], dim=1)

    def _patches(self, pixels: Tensor) -> Tensor:
        side = self.filters.side
        last = STEP * ((pixels.shape[-1] - side) // STEP) + 1
        taps = [
            pixels[:, :, row : row + last : STEP, col : col + last : STEP]
            for row in range(side)
            for col in range(side)
        ]
        return torch.stack(taps, 2).flatten(3).flatten(1, 2)

    def _values(self, pixels: Tensor) -> Tensor:
        above = (pixels.flatten(2)[:, :, None] > self.edges[:, :, None]).float().mean(3)
        shares = F.pad(above, (1, 0), value=1.0) - F.pad(above, (0, 1))
        return shares.clamp(min=0).sqrt().flatten(1)


class SegmenterGraph(nn.Module):
    """(B, C, H, W) to probabilities (B, 1, H, W), NaN where a pixel is not valid."""

    def __init__(self, segmenter: Segmenter, nodata: float | None) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.nodata = nodata

    def forward(self, pixels: Tensor) -> Tensor:
        known = pixels.isfinite()
        if self.nodata is not None:
            known = known & (pixels != self.nodata)
        valid = known.all(1)
        shares = self.segmenter(pixels, valid).sigmoid()
        return torch.where(valid, shares, torch.nan)[:, None]

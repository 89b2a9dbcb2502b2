"""The first layer of every network: whoever holds the weights needs to know nothing about the pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_CLIP = 6.0  # standard deviations: a glint or a cloud edge must not drown its surroundings


class Standardise(nn.Module):
    """Raw pixels (B, C, H, W) of any number type to float32 of mean 0 and deviation 1 a band.

    Mean and deviation are saved with the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """For encoders: a NaN or infinite pixel counts as the mean."""
        values = (pixels.to(torch.float32, memory_format=torch.channels_last) - self.mean) / self.std
        return values.nan_to_num(0.0, 0.0, 0.0) if pixels.is_floating_point() else values

    def clipped(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """For segmenters: within six deviations; 0, the mean, where `valid` (B, H, W) is not."""
        values = ((pixels.float() - self.mean) / self.std).clamp(-_CLIP, _CLIP)
        return torch.where(valid[:, None], values, 0.0)

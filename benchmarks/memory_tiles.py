"""Tiles that are made in memory: noise, for what measures no accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

BANDS, MEAN, STD = 4, [127.5] * 4, [73.9] * 4  # of the noise


class MemoryTiles:
    """A tile set without files, and at the same time one of its parts."""

    path, name, settings = Path("memory"), "memory", {"virtual": False}

    def __init__(self, count: int, side: int) -> None:
        self.values = np.random.default_rng(0).integers(0, 256, (count, BANDS, side, side), np.uint8)
        self.shape, self.dtype, self.count = self.values.shape, self.values.dtype, count

    def pixels(self, ids: np.ndarray) -> np.ndarray:
        return self.values[ids]

    filled = pixels

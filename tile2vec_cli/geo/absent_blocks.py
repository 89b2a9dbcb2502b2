"""Blocks that a sparse TIFF does not hold: GDAL reads them as 0, without a word."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Blocks:
    """Blocks of these bands of an opened dataset."""

    def __init__(self, source: Any, bands: Sequence[int]) -> None:
        self._source, self._shape = source, source.block_shapes[0]
        # One answer serves bands that are stored together.
        self._bands = bands[:1] if source.profile.get("interleave") == "pixel" else bands

    @cached_property
    def any_absent(self) -> bool:
        if self._source.driver != "GTiff":
            return False
        high, wide = self._shape
        rows, cols = -(-self._source.height // high), -(-self._source.width // wide)
        return not all(self._is_held(row, col) for row in range(rows) for col in range(cols))

    def without(
        self, valid: NDArray[np.bool_] | None, row0: int, row1: int, col0: int, col1: int
    ) -> NDArray[np.bool_] | None:
        """The window's mask (H, W) without pixels of absent blocks; None where all of it is valid."""
        if not self.any_absent:
            return valid
        high, wide = self._shape
        for block_row in range(row0 // high, (row1 - 1) // high + 1):
            for block_col in range(col0 // wide, (col1 - 1) // wide + 1):
                if not self._is_held(block_row, block_col):
                    if valid is None:
                        valid = np.ones((row1 - row0, col1 - col0), bool)
                    top, left = block_row * high - row0, block_col * wide - col0
                    valid[max(top, 0) : top + high, max(left, 0) : left + wide] = False
        return valid

    def _is_held(self, block_row: int, block_col: int) -> bool:
        name = f"BLOCK_OFFSET_{block_col}_{block_row}"
        return all(self._source.get_tag_item(name, "TIFF", bidx=band) is not None for band in self._bands)

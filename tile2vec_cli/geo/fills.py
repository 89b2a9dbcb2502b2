"""Fill values: which pixels stand for no data, by GDAL's own rule."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.errors import Remark

# GDAL's tolerance (its ARE_REAL_EQUAL), in double precision as well.
_STEPS, _STEP = 2, np.finfo(np.float32).eps


@dataclass(frozen=True)
class Fill:
    """A number, of the pixels' type, that stands for no data."""

    value: Any

    @classmethod
    def of(cls, declared: float, dtype: np.dtype[Any]) -> Fill | None:
        """None where pixels of this type cannot hold it, or are never valid with it (NaN, infinity).

        Of integers GDAL's mask cuts the fraction off.
        """
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                value = dtype.type(declared)
            return cls(value) if np.isfinite(value) else None
        held = np.iinfo(dtype)
        if not math.isfinite(declared) or not held.min <= declared <= held.max:
            return None
        return cls(dtype.type(int(declared)))

    def masks(self, pixels: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of the pixels, all of the type, are nodata.

        Numbers written as text lose digits, so GDAL takes real ones for the same that are nearly so;
        where their sum overflows that is much: -3.4e+38 stands for -3.4028235e+38, and for -1e+38 too.
        """
        if pixels.dtype.kind != "f" or self.value == 0:
            return np.asarray(pixels == self.value)
        size, most = abs(self.value), np.finfo(pixels.dtype).max
        least = min(size * (1 - 8 * _STEP), most - size)  # quickly told: most pixels are far from it
        taken = np.asarray(pixels >= least if self.value > 0 else pixels <= -least)
        if taken.any():
            near = pixels[taken]
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                reach = near.dtype.type(_STEP) * np.abs(near + self.value) * near.dtype.type(_STEPS)
                taken[taken] = (near == self.value) | (np.abs(near - self.value) < reach)
        return taken


def first_foreign(declared: Iterable[float | None], dtype: np.dtype[Any]) -> float | None:
    """The first number that no pixel of this type can hold, as with -9999 and bytes; None: there is none."""
    return next((value for value in declared if value is not None and _is_foreign(value, dtype)), None)


def remark(found: Sequence[str], option: str = "--nodata of `tile`") -> None:
    """Say, once, of which rasters the pixels cannot hold the nodata value; `found` holds "VALUE in PATH"."""
    if found:
        text = f"Rasters with a nodata value that their pixels cannot hold: {len(found):,} ({found[0]}). "
        warnings.warn(f"{text}It masks nothing; {option} gives another.", Remark, stacklevel=2)


def _is_foreign(declared: float, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "f" and not math.isfinite(declared):
        return False
    return Fill.of(declared, dtype) is None


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

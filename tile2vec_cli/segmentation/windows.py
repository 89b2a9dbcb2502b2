"""Overlapping windows over a scene, laid so that where they overlap they agree.

Each window is larger than its core by a margin on all sides, as wide as a network's reach: inside the
core, then, the network sees all it can ever see of the surroundings, and no blending could better its
answer. Windows begin where the scene's own coordinates are a multiple of the network's stride, so that
pooling falls on the same pixels in every window, in a crop of the scene, and in the scene next to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tile2vec_cli.geo.grid import Transform


@dataclass(frozen=True)
class Span:
    """Half-open pixels along one axis: of a window, which may lie beyond the scene, and of its core."""

    start: int
    stop: int
    core_start: int
    core_stop: int


@dataclass(frozen=True)
class Layout:
    """The windows over a scene of `height` × `width` pixels."""

    height: int
    width: int
    side: int  # of a window, at the most
    margin: int
    stride: int
    row_phase: int = 0  # of pixel (0, 0) on the grid of strides
    col_phase: int = 0

    @classmethod
    def over(
        cls, height: int, width: int, transform: Transform, *, side: int, margin: int, stride: int
    ) -> Layout:
        """side and margin in pixels; both are taken as whole strides, the side at least one core wide."""
        margin = _up(margin, stride)
        side = max(_up(side, stride), 2 * margin + stride)
        a, b, c, d, e, f = transform
        straight = b == d == 0
        row_phase = math.floor(f / e + 0.5) % stride if straight else 0
        col_phase = math.floor(c / a + 0.5) % stride if straight else 0
        return cls(height, width, side, margin, stride, row_phase, col_phase)

    @property
    def rows(self) -> list[Span]:
        return self._spans(self.height, self.row_phase)

    @property
    def cols(self) -> list[Span]:
        return self._spans(self.width, self.col_phase)

    def __iter__(self) -> Iterator[tuple[Span, Span]]:
        """(rows, columns) of each window."""
        cols = self.cols
        return ((row, col) for row in self.rows for col in cols)

    def _spans(self, length: int, phase: int) -> list[Span]:
        """All of one size, no larger than needed for one core."""
        first = -phase
        core = min(self.side - 2 * self.margin, _up(length - first, self.stride))
        return [
            Span(start - self.margin, start + core + self.margin, max(start, 0), min(start + core, length))
            for start in range(first, length, core)
        ]


def _up(length: int, stride: int) -> int:
    return -(-length // stride) * stride

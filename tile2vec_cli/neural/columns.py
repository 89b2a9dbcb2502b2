"""What an encoder is made of: columns, which may be any networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import nn


class Column(nn.Module):
    """Standardised pixels (B, C, S, S) float32 to vectors (B, dim) float32."""

    dim: int
    lit: bool = False  # whether it is trained under another light for each tile; see `encoders.Encoder`


Build = Callable[[int, int, int], list[Column]]
"""Makes the columns for C bands, `dim` numbers in all, and tiles of S pixels a side."""


@runtime_checkable
class Foldable(Protocol):
    """A module that works faster in inference once its batch norms are part of the layers before them."""

    def fold(self) -> None:
        """Fold the module's own batch norms, in place; it is in evaluation mode."""

"""A model as a notebook has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import EmbedConfig
from tile2vec_cli.embedding import embedding_files, inference
from tile2vec_cli.embedding.forward import Forward
from tile2vec_cli.errors import DataError
from tile2vec_cli.neural import encoders, models


@dataclass(frozen=True)
class Model:
    """A trained encoder, or a segmenter of `weak_segment`."""

    path: Path
    described: models.Description = field(repr=False)  # what model.json says
    report: dict[str, Any] = field(default_factory=dict, repr=False)  # of the call that trained it

    @classmethod
    def open(cls, path: str | Path, report: dict[str, Any] | None = None) -> Model:
        """Raises InputError and DataError."""
        return cls(Path(path), models.describe(Path(path)), report or {})

    @property
    def kind(self) -> str:
        """encoder or segmenter"""
        return self.described.kind

    @property
    def bands(self) -> tuple[int, ...]:
        """1-based numbers of the scenes' bands, in the order of the pixels."""
        return self.described.bands

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.described.settings)

    @property
    def dim(self) -> int:
        """The length of an encoder's vectors."""
        return sum(self._sizes.values())

    @cached_property
    def parts(self) -> dict[str, slice]:
        """Where in a vector its parts stand, by name."""
        return embedding_files.slices(self._sizes)

    @property
    def _sizes(self) -> dict[str, int]:
        self._require_encoder()
        return encoders.part_sizes(self.described.architecture)

    def encode(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """(B, D) float32 vectors of raw pixels (B, C, S, S), as `embed` would write them.

        Raises DataError for pixels of another shape or type than the model's.
        """
        self._require_encoder()
        pixels, side = np.asanyarray(pixels), self.described.size
        shape, dtype = (len(self.bands), side, side), np.dtype(self.described.dtype)
        if pixels.ndim != 4 or pixels.shape[1:] != shape or pixels.dtype != dtype:
            raise DataError(
                f"pixels: are {pixels.dtype} {pixels.shape}; the model {self.path} needs {dtype} "
                f"{('B', *shape)}. Give them as `tiles.pixels(ids)` does.".replace("'", "")
            )
        if not len(pixels):
            return np.empty((0, self.dim), np.float32)
        return self._forward.encode(pixels)

    @cached_property
    def _forward(self) -> Forward:
        return inference.load(self.path, EmbedConfig())

    def _require_encoder(self) -> None:
        models.require_kind(self.path, self.kind)

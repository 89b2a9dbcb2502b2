"""A number for each tile as maps of one pixel a tile: one COG per CRS, NaN where there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.outputs import cogs
from tile2vec_cli.outputs.cogs import Layer
from tile2vec_cli.outputs.records import Keys, Maker, Output
from tile2vec_cli.views.mosaics import Mosaic, names

SUFFIXES = (".tif", ".tiff")


def is_map(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


@dataclass(frozen=True)
class Maps:
    """The numbers of N tiles, and the maps on which these lie."""

    mosaics: Sequence[Mosaic]
    values: NDArray[Any]  # (N,)
    tags: Mapping[str, str]

    def makers(self, path: Path) -> dict[Path, Maker]:
        """What writes each of the files that `path` becomes."""
        files = names(self.mosaics, path)
        return {file: partial(self._write, one) for file, one in zip(files, self.mosaics, strict=True)}

    def _write(self, one: Mosaic, path: Path) -> None:
        with cogs.new_cog(path, one, Layer("float32", math.nan, "average", self.tags)) as write:
            for row, pixels in one.whole(self.values.astype(np.float32), math.nan):
                write(row, 0, pixels)


def files(output: Output, keys: Keys) -> list[Path]:
    """Those that an output became, as its report names them under `maps`; itself where it is no map."""
    if not is_map(output.path):
        return [output.path]
    return [output.path.with_name(name) for name in keys.get("maps", [output.path.name])]

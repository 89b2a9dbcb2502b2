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
        layer, values = Layer("float32", math.nan, "average", self.tags), self.values.astype(np.float32)
        files = zip(names(self.mosaics, path), self.mosaics, strict=True)
        return {file: partial(write, one, layer, values) for file, one in files}


def write(one: Mosaic, layer: Layer, values: NDArray[Any], path: Path) -> None:
    """A map of the values (N,) of tiles; elsewhere the layer's nodata."""
    assert layer.nodata is not None
    with cogs.new_cog(path, one, layer) as write_pixels:
        for row, pixels in one.whole(values, layer.nodata):
            write_pixels(row, 0, pixels)


def files(output: Output, keys: Keys) -> list[Path]:
    """Those that an output became, as its report names them under `maps`; itself where it is no map."""
    if not is_map(output.path):
        return [output.path]
    return [output.path.with_name(name) for name in keys.get("maps", [output.path.name])]

"""Fits that take minutes each, kept beside a report until it is whole: a stopped run goes on after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tile2vec_cli.errors import Tile2VecError
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.outputs.parts import dump_json, fingerprint, read_json, remove, write_json

FORMAT = "tile2vec-fits/1"
NAME = ".fits.json"


@dataclass
class Fits:
    """Confusion matrices by the name of the fit, in a file that every new one is added to."""

    path: Path | None = None  # None: they are not kept
    made_from: str = ""  # of what the report is made; fits of anything else are not used
    found: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, made_from: Any) -> Fits:
        """What a stopped run of the same report has left in its folder."""
        own = fingerprint(dump_json(made_from))
        try:
            read = read_json(folder / NAME, FORMAT, {"fits": dict})
        except Tile2VecError:  # none, or none of use: they are made again
            read = {}
        return cls(folder / NAME, own, read["fits"] if read.get("made_from") == own else {})

    def get(self, name: str) -> Ints | None:
        """(K, K), None where the fit is still to be made."""
        return np.array(self.found[name], np.int64) if name in self.found else None

    def add(self, name: str, matrix: Ints) -> None:
        """Raises OutputError where the file cannot be written."""
        self.found[name] = matrix.tolist()
        if self.path is not None:
            write_json(self.path, {"format": FORMAT, "made_from": self.made_from, "fits": self.found})

    def discard(self) -> None:
        """Remove the file: the report holds what came of them."""
        if self.path is not None:
            remove(self.path)

"""What pixels, points, polygons or rows say of a tile, and what the majority says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Ints

UNLABELLED = -1


@dataclass(frozen=True)
class Votes:
    """M votes: `count` pixels (points, rows) in tile `tile` are of class `classes[code]`."""

    tile: Ints  # (M,) row numbers
    code: Ints  # (M,) positions in `classes`
    count: Ints  # (M,)
    classes: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)  # what has no vote, by reason

    @classmethod
    def of(cls, tile: Ints, values: Any, source: str, left_out: dict[str, int] | None = None) -> Votes:
        """One vote a row, from a pandas Series of classes; empty values do not vote.

        Classes are in natural order (2 before 10). Raises DataError, naming `source`, where the
        values are measurements rather than classes.
        """
        kept = values.notna().to_numpy()
        tile, values = tile[kept], values[kept]
        if values.dtype.kind == "f":
            numbers = values.to_numpy(np.float64)
            odd = numbers[~(np.isfinite(numbers) & (numbers == np.rint(numbers)))]
            if len(odd):
                raise DataError(
                    f"{source}: holds numbers such as {odd[0]:g}; classes are needed. Choose another --field."
                )
            values = values.astype(np.int64)
        text = values.astype(str).str.strip().to_numpy(dtype=object)
        kept = text != ""
        tile, text = tile[kept], text[kept]
        classes = sorted(set(text), key=_natural)
        number = {name: code for code, name in enumerate(classes)}
        code = np.array([number[name] for name in text], dtype=np.int64)
        left_out = {reason: count for reason, count in (left_out or {}).items() if count}
        return cls(tile, code, np.ones(len(tile), np.int64), tuple(classes), left_out)

    def total(self, tiles: int) -> Ints:
        """(N,) votes cast in each of `tiles` tiles."""
        return np.bincount(self.tile, self.count, minlength=tiles).astype(np.int64)

    def majority(self, tiles: int, least_share: float = 0.0) -> NDArray[np.int32]:
        """(N,) class of each of `tiles` tiles, UNLABELLED without a majority.

        The class with the most votes, kept where it has at least `least_share` of them. A tie is
        no majority.
        """
        winner = np.full(tiles, UNLABELLED, np.int32)
        key, position = np.unique(self.tile * len(self.classes) + self.code, return_inverse=True)
        if not len(key):
            return winner
        count = np.bincount(position, self.count).astype(np.int64)
        tile, code = np.divmod(key, len(self.classes))
        order = np.lexsort((count, tile))
        tile, code, count = tile[order], code[order], count[order]
        last = np.flatnonzero(np.append(np.diff(tile) > 0, True))
        before = np.maximum(last - 1, 0)
        tied = (last > 0) & (tile[before] == tile[last]) & (count[before] == count[last])
        # A share of exactly least_share must not be lost to rounding.
        kept = ~tied & (count[last] >= least_share * self.total(tiles)[tile[last]] - 1e-9)
        winner[tile[last][kept]] = code[last][kept]
        return winner


def without_class(values: Any, source: str) -> NDArray[np.bool_]:
    """(N,) which rows of a pandas Series of classes are empty; DataError, naming `source`, where all are."""
    empty = np.array(values.isna())
    if values.dtype.kind not in "biufM":
        empty |= (values.astype(str).str.strip() == "").to_numpy()
    if len(empty) and empty.all():
        raise DataError(f"{source}: is empty everywhere; classes are needed. Choose another --field.")
    return empty


def _natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts runs of digits by value."""
    parts = re.findall(r"\d+|\D+", text)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts]

"""Ways that take turns, and the row of a table that comes of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

HEADER = (
    "| work | published way | ours | ratio | limit | share of it |",
    "|---|--:|--:|--:|--:|--:|",
)


@dataclass(frozen=True)
class Row:
    """What one part of the work came to; rates are of `unit` a second, or 1 / s where the unit is s."""

    work: str
    unit: str
    published: float | None
    ours: float
    limit: float | None
    limit_is: str
    ratio: float | None  # ours over the published way
    share: float | None  # ours over the limit

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:,.{1 if self.ratio >= 3 else 2}f}"
        share = "" if self.share is None else f"{self.share:.0%}"
        limit = f"{self._shown(self.limit)} ({self.limit_is})" if self.limit else ""
        unit = "s" if self.unit == "s" else f"{self.unit}/s"
        rates = f"{self._shown(self.published)} | {self._shown(self.ours)}"
        return f"| {self.work}, {unit} | {rates} | {ratio} | {limit} | {share} |"

    def _shown(self, rate: float | None) -> str:
        if rate is None or (self.unit == "s" and not rate):
            return ""
        value = 1 / rate if self.unit == "s" else rate
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def row(
    work: str,
    unit: str,
    rounds: int,
    ours: Callable[[], float],
    plain: Callable[[], float] | None,
    limit: Callable[[], float] | None = None,
    limit_is: str = "",
) -> Row:
    """Alternate the ways, each of which returns a rate."""
    found: list[tuple[float | None, float, float | None]] = []
    for _ in range(rounds):
        found.append((plain and plain(), ours(), limit and limit()))
    columns = [None if None in column else statistics.median(column) for column in zip(*found, strict=True)]
    ratio = None if plain is None else statistics.median(mine / rate for rate, mine, _ in found)
    share = None if limit is None else statistics.median(mine / most for _, mine, most in found)
    return Row(work, unit, columns[0], columns[1], columns[2], limit_is, ratio, share)

"""The pictures of an inspection: what is told of each factor, and how the variance is spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tile2vec_cli.figures import blues, figure_file
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.views.factors import Told
from tile2vec_cli.views.spectra import Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE = "#0072B2", "#D55E00"
_DASHED: dict[str, Any] = {"color": _ORANGE, "linewidth": 1, "linestyle": (0, (5, 1.5))}
_LINE = 0.21  # inches a factor is high
_BINS = 50


def factors(path: Path, told: Sequence[Told], squared: Floats) -> None:
    """Left, R² of each factor from all dimensions and from one; right, r² of each dimension with each.

    squared: (D, F).
    """
    count = len(told)
    with figure_file(path, width=6.6, height=1.0 + _LINE * count) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.15), sharey=True)
        _lines(left, told)
        # Dimensions that tell the same factor stand together, the best one first.
        order = np.lexsort((-squared.max(axis=1), squared.argmax(axis=1)))
        image = right.imshow(
            squared[order].T, cmap=blues(), vmin=0, vmax=1, aspect="auto", interpolation="nearest"
        )
        right.set_xlabel(f"Dimensions ({len(squared)}), by the factor they tell most")
        right.set_xticks([])
        right.tick_params(length=0)
        right.spines[:].set_visible(True)
        bar = figure.colorbar(image, ax=right, pad=0.02, aspect=18, label="r² with one dimension")
        bar.outline.set_linewidth(0.5)


def _lines(axis: Axes, told: Sequence[Told]) -> None:
    rows = np.arange(len(told))
    together, alone = (np.clip([getattr(one, name) for one in told], 0, 1) for name in ("together", "alone"))
    axis.hlines(rows, alone, together, color="#bbbbbb", linewidth=1.2, zorder=1)
    axis.plot(together, rows, "o", color=_BLUE, markersize=4.5, label="all dimensions", zorder=3)
    axis.plot(
        alone, rows, "s", color=_ORANGE, markerfacecolor="white", markersize=4, label="best one", zorder=2
    )
    axis.set_yticks(rows, [one.factor for one in told])
    axis.set_ylim(len(told) - 0.5, -0.5)
    axis.set_xlim(-0.03, 1.03)
    axis.set_xlabel("R² on blocks left out (below 0: shown as 0)")
    axis.grid(axis="x", color="#e5e5e5", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, handletextpad=0.3)


def spectrum(path: Path, found: Spectrum, cosines: Floats) -> None:
    """Left, the share of the variance in the first components; right, the cosines of pairs of tiles."""
    with figure_file(path, width=6.2, height=2.5) as figure:
        left, right = figure.subplots(1, 2)
        shares = np.cumsum(found.shares)
        numbers = np.arange(1, found.dim + 1)
        left.plot(numbers, shares, color=_BLUE, marker="o", markersize=2.2)
        left.axvline(
            max(found.effective_rank, 1), label=f"effective rank {found.effective_rank:.1f}", **_DASHED
        )
        left.set_xscale("log")
        ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if n <= found.dim]
        left.set_xticks(ticks, [str(n) for n in ticks])
        left.minorticks_off()
        left.set_ylim(0, 1.02)
        left.set_xlabel(f"Principal components (of {found.dim})")
        left.set_ylabel("Share of the variance")
        left.grid(color="#e5e5e5", linewidth=0.5)
        left.set_axisbelow(True)
        left.legend(loc="lower right", frameon=False)
        right.hist(cosines, bins=np.linspace(-1, 1, _BINS + 1), color=_BLUE, weights=_shares(cosines))
        right.axvline(found.mean_cosine, label=f"mean {found.mean_cosine:.2f}", **_DASHED)
        right.legend(loc="upper left", frameon=False)
        right.set_xlim(-1, 1)
        right.set_xticks([-1, -0.5, 0, 0.5, 1])
        right.set_ylim(top=1.15 * right.get_ylim()[1])
        right.set_xlabel("Cosine of two tiles' vectors")
        right.set_ylabel("Share of the pairs")


def _shares(values: Floats) -> Floats:
    return np.full(len(values), 1 / max(len(values), 1))

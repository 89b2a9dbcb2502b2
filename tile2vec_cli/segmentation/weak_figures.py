"""The picture of a study of weak labels, in the common style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from tile2vec_cli.figures import figure_file

Row = Mapping[str, Any]  # of weak_study.report()["curve"]

_KINDS = {"pixel": "one pixel per tile", "image": "one label per tile", "full": "all pixels"}
_RIVALS = {
    "logistic": "Logistic regression",
    "forest": "Random forest",
    "svm": "SVM",
    "forest-context": "Forest on neighbourhoods",
}
# Colours of Okabe and Ito (2008); lines differ by marker and dash as well.
_NETWORK = ("#0072B2", "o", "-")
_LINES = (
    ("#D55E00", "s", (0, (5, 1.5))),
    ("#E69F00", "v", (0, (3, 1.5))),
    ("#CC79A7", "D", (0, (4, 1.2, 1, 1.2))),
    ("#009E73", "^", (0, (1, 1.2))),
)


def curve(path: Path, rows: Sequence[Row]) -> None:
    """F1 against the number of labelled tiles, a panel for each kind of labels."""
    kinds = list(dict.fromkeys(row["supervision"] for row in rows))
    repeats = rows[0]["repeats"]
    with figure_file(path, width=0.9 + 2.8 * len(kinds), height=3.2) as figure:
        axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False).ravel()
        for axis, kind in zip(axes, kinds, strict=True):
            _panel(axis, [row for row in rows if row["supervision"] == kind])
            axis.set_title(_KINDS[kind])
        axes[0].set_ylabel("F1" if repeats == 1 else f"F1 (mean ± s.d. of {repeats} draws)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, handlelength=2.6)


def _panel(axis: Axes, rows: Sequence[Row]) -> None:
    axis.set_xscale("log")
    counts = [row["n_labels"] for row in rows]
    _line(axis, counts, [row["test"]["f1"] for row in rows], "U-Net", *_NETWORK)
    for name, line in zip(rows[0]["baselines"], _LINES, strict=False):
        _line(axis, counts, [row["baselines"][name]["f1"] for row in rows], _RIVALS.get(name, name), *line)
    axis.set_xlabel("Labelled tiles")
    axis.set_xticks(counts, [f"{count:,}" for count in counts])
    axis.minorticks_off()
    axis.margins(x=0.08, y=0.08)
    axis.grid(axis="y", color="#e5e5e5", linewidth=0.5)
    axis.set_axisbelow(True)


def _line(
    axis: Axes,
    counts: Sequence[int],
    scores: Sequence[Mapping[str, float]],
    label: str,
    colour: str,
    marker: str,
    dash: Any,
) -> None:
    mean = [score["mean"] for score in scores]
    low = [score["mean"] - score["std"] for score in scores]
    high = [score["mean"] + score["std"] for score in scores]
    axis.plot(counts, mean, color=colour, marker=marker, linestyle=dash, label=label, zorder=3)
    axis.fill_between(counts, low, high, color=colour, alpha=0.12, linewidth=0)

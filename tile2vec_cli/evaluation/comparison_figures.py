"""The picture of a comparison, in the common style: a row for each way to learn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tile2vec_cli.evaluation.scores import NETWORK
from tile2vec_cli.figures import CLASSIFIERS, GREY, NAMES, figure_file

Score = Mapping[str, Any]

# Colours of Okabe and Ito (2008); numbers of labels differ by marker as well, from few to many.
_OBJECTIVE, _NETWORK, _BASELINE = "#0072B2", "#000000", "#D55E00"
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_APART = 0.5  # of a row, over which the numbers of labels are spread


def scores(path: Path, found: Sequence[Score], objectives: Collection[str], floor: float) -> None:
    """Accuracy of each kind of features, in the order in which they come, a panel a classifier.

    found: as in `probe`'s report; what networks reach by themselves stands in every panel. objectives:
    features that were learned without labels. floor: accuracy of always answering the commonest class.
    """
    features = list(dict.fromkeys(score["features"] for score in found))
    classifiers = [name for name in dict.fromkeys(s["classifier"] for s in found) if name != NETWORK]
    counts = sorted({score["n_labels"] for score in found})
    height = 1.1 + 0.1 * max(len(counts), 2) * len(features)
    with figure_file(path, width=1.9 + 2.9 * len(classifiers), height=height) as figure:
        axes = figure.subplots(1, len(classifiers), sharey=True, squeeze=False).ravel()
        for axis, classifier in zip(axes, classifiers, strict=True):
            shown = [score for score in found if score["classifier"] in (classifier, NETWORK)]
            _panel(axis, shown, features, counts, objectives)
            axis.axvline(floor, color=GREY, linewidth=0.6, linestyle=(0, (2, 2)))
            axis.set_title(CLASSIFIERS.get(classifier, classifier))
        axes[0].set_yticks(range(len(features)), [_row(name, found) for name in features])
        axes[0].set_ylim(len(features) - 0.5, -0.5)  # the best on top
        for tick, name in zip(axes[0].get_yticklabels(), features, strict=True):
            tick.set_color(_colour(name, objectives))
        figure.legend(
            handles=_legend(counts, found, objectives),
            loc="outside lower center",
            ncols=3 + len(classifiers),
            frameon=False,
            handlelength=1.4,
        )


def _panel(
    axis: Axes, found: Sequence[Score], features: list[str], counts: list[int], objectives: Collection[str]
) -> None:
    offsets = np.linspace(-_APART / 2, _APART / 2, len(counts)) if len(counts) > 1 else np.zeros(1)
    for row in range(0, len(features), 2):
        axis.axhspan(row - 0.5, row + 0.5, color="#f4f4f4", linewidth=0, zorder=0)
    for score in found:
        name, which = score["features"], counts.index(score["n_labels"])
        axis.errorbar(
            score["accuracy"],
            features.index(name) + offsets[which],
            xerr=score["std"] if score["repeats"] > 1 else None,
            color=_colour(name, objectives),
            marker=_MARKERS[which % len(_MARKERS)],
            markerfacecolor=_colour(name, objectives) if which % 2 else "white",
            linewidth=0.8,
            capsize=1.5,
        )
    axis.set_xlabel("Accuracy (mean ± s.d.)")
    axis.locator_params(axis="x", nbins=6)
    axis.grid(axis="x", color="#e0e0e0", linewidth=0.5)
    axis.set_axisbelow(True)
    axis.tick_params(axis="y", length=0)


def _row(name: str, found: Sequence[Score]) -> str:
    repeats = max(score["repeats"] for score in found if score["features"] == name)
    if repeats == max(score["repeats"] for score in found):
        return NAMES.get(name, name)
    return f"{NAMES.get(name, name)} ({repeats} {'draw' if repeats == 1 else 'draws'})"


def _colour(name: str, objectives: Collection[str]) -> str:
    if name in objectives:
        return _OBJECTIVE
    return _NETWORK if name == "end-to-end" else _BASELINE


def _legend(counts: list[int], found: Sequence[Score], objectives: Collection[str]) -> list[Line2D]:
    handles = [
        Line2D(
            [],
            [],
            color=GREY,
            marker=_MARKERS[which % len(_MARKERS)],
            markerfacecolor=GREY if which % 2 else "white",
            linestyle="",
            label=f"{count:,} labels",
        )
        for which, count in enumerate(counts)
    ]
    kinds = {_OBJECTIVE: "learned without labels", _NETWORK: "learned from the labels alone"}
    kinds[_BASELINE] = "baselines"
    present = {_colour(score["features"], objectives) for score in found}
    handles += [
        Line2D([], [], color=colour, linewidth=2.5, label=label)
        for colour, label in kinds.items()
        if colour in present
    ]
    floor = Line2D([], [], color=GREY, linewidth=0.6, linestyle=(0, (2, 2)), label="commonest class")
    return [*handles, floor]

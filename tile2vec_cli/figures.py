"""The pictures, in one style: for print, legible in grey and to the colour-blind.

Colours are those of Okabe and Ito (2008); kinds of lines differ by marker and dash as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.errors import UsageError
from tile2vec_cli.geo.grid import Ints

if TYPE_CHECKING:  # matplotlib is imported to draw, not to ask what a picture's suffix may be
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Curves = Mapping[str, Sequence[tuple[str, Floats]]]

# Colour, marker, dash of the embeddings, and of their rivals.
_LINE = ("#0072B2", "o", "-")
_RIVALS: dict[str, tuple[str, str, Any]] = {
    "stats": ("#D55E00", "s", (0, (5, 1.5))),
    "pca": ("#009E73", "^", (0, (1, 1.2))),
    "random": ("#CC79A7", "D", (0, (4, 1.2, 1, 1.2))),
    "rcf": ("#56B4E9", "X", (0, (2, 1, 1, 1))),
    "end-to-end": ("#000000", "v", (0, (7, 1.2))),
    "fine-tuned": ("#E69F00", "P", "-"),
}
# Of vectors that stand beside them.
_OTHERS = (("#999999", "<", "-"), ("#E69F00", ">", "-"), ("#000000", "h", "-"), ("#009E73", "*", "-"))
NAMES = {
    "stats": "mean and deviation of bands",
    "pca": "principal components",
    "random": "untrained encoder",
    "rcf": "random convolutional features",
    "end-to-end": "end to end",
    "fine-tuned": "fine-tuned",
}
CLASSIFIERS = {
    "logistic": "Logistic regression",
    "forest": "Random forest",
    "mlp": "Multilayer perceptron",
    "knn": "Nearest neighbours",
}
GREY = "#666666"
_BLUES = ("#ffffff", "#c6dcef", "#6aa9d3", "#0072B2", "#08306b")
_NUMBERED = 15  # classes up to which each cell is written out

# What a picture can be, by suffix, and what keeps the file from telling when and by what it was made.
FORMATS: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "savefig.dpi": 300,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.04,
    "svg.hashsalt": "tile2vec",  # else ids in the file are drawn anew every time
    "pdf.fonttype": 42,  # text stays text that editors can change
}


def curves(
    path: Path, panels: Curves, floor: float, repeats: int, notes: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Accuracy against the number of labels, a panel a classifier.

    panels: classifier -> [(features, (P, 4) n_labels, accuracy, deviation, accuracy by a random split or
    NaN)], the embeddings first. floor: accuracy of always answering the commonest class. notes: what the
    legend adds to the name of some features.
    """
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    with figure_file(path, width=0.9 + 2.8 * columns, height=0.7 + 2.3 * rows) as figure:
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axis, (classifier, lines) in zip(axes, panels.items(), strict=False):
            _panel(axis, lines, floor, notes)
            axis.set_title(CLASSIFIERS.get(classifier, classifier))
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis in axes[::columns]:
            axis.set_ylabel("Accuracy" if repeats == 1 else f"Accuracy (mean ± s.d. of {repeats} splits)")
        handles, labels = axes[0].get_legend_handles_labels()
        columns = min(len(labels), 1 + columns)
        figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=2.6
        )


def _panel(axis: Axes, lines: Sequence[tuple[str, Floats]], floor: float, notes: Mapping[str, str]) -> None:
    ticks = lines[0][1][:, 0]
    axis.set_xscale("log")
    if len(ticks) == 1:
        axis.set_xlim(ticks[0] / 2, ticks[0] * 2)
    others = [name for name, _ in lines[1:] if name not in _RIVALS]
    styles = {lines[0][0]: _LINE, **dict(zip(others, cycle(_OTHERS), strict=False)), **_RIVALS}
    for place, (name, points) in enumerate(lines):
        colour, marker, dash = styles[name]
        n, accuracy, deviation, by_chance = points.T
        label = NAMES.get(name, name) + (f" ({notes[name]})" if name in notes else "")
        axis.plot(n, accuracy, color=colour, marker=marker, linestyle=dash, label=label, zorder=3)
        if len(n) > 1:
            axis.fill_between(
                n, accuracy - deviation, accuracy + deviation, color=colour, alpha=0.15, linewidth=0
            )
        else:
            axis.errorbar(n, accuracy, deviation, color=colour, linewidth=0.8, capsize=2)
        if not place and np.isfinite(by_chance).all():
            label = f"{name}, if split at random"
            axis.plot(
                n, by_chance, color=colour, marker=marker, markerfacecolor="white", linewidth=0.6, label=label
            )
    axis.axhline(floor, color=GREY, linewidth=0.6, linestyle=(0, (2, 2)), label="commonest class")
    of_labels(axis, ticks)


def of_labels(axis: Axes, counts: Sequence[float] | Floats) -> None:
    """Mark these numbers of labelled tiles along the axis, and draw lines across."""
    axis.set_xlabel("Labelled tiles")
    axis.set_xticks(counts, [f"{int(count):,}" for count in counts])
    axis.minorticks_off()
    axis.margins(x=0.08, y=0.08)
    axis.grid(axis="y", color="#e5e5e5", linewidth=0.5)
    axis.set_axisbelow(True)


def confusion(path: Path, matrix: Ints, classes: Sequence[str]) -> None:
    """A (K, K) confusion matrix, truth in rows, as shares of each row."""
    total = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(total, 1)
    count = len(classes)
    cell = float(np.clip(4.4 / count, 0.095, 0.5))  # inches
    fontsize = float(np.clip(cell * 72 * 0.72, 4.5, 7.5))
    longest = max(len(name) for name in classes) * fontsize * 0.6 / 72
    side = cell * count
    with figure_file(path, width=side + longest + 0.9, height=side + longest + 0.6) as figure:
        axis = figure.subplots()
        image = axis.imshow(shares, cmap=blues(), vmin=0, vmax=1)
        axis.set_xticks(range(count), classes, rotation=90 if count > 4 else 0, fontsize=fontsize)
        axis.set_yticks(range(count), classes, fontsize=fontsize)
        axis.set_xlabel("Predicted")
        axis.set_ylabel("Truth")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(True)
        axis.spines[:].set_linewidth(0.5)
        if count <= _NUMBERED:
            _write_cells(axis, shares, fontsize)
        else:
            bar = figure.colorbar(image, shrink=0.5, aspect=30, pad=0.02, label="Share of truth")
            bar.outline.set_linewidth(0.5)


def _write_cells(axis: Axes, shares: Floats, fontsize: float) -> None:
    for (row, col), share in np.ndenumerate(shares):
        if share >= 0.005:
            colour = "white" if share > 0.55 else "black"
            text = f"{share:.2f}".lstrip("0") if share < 1 else "1"
            axis.text(col, row, text, ha="center", va="center", color=colour, fontsize=fontsize)


def blues() -> Colormap:
    """The colours of shares, from none to all."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("blues", _BLUES)


@contextmanager
def figure_file(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches in the common style, written to `path` at the end, as its suffix says."""
    import matplotlib
    from matplotlib.figure import Figure

    suffix = path.suffix.lower()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        figure.savefig(path, format=suffix[1:], metadata=FORMATS[suffix])


def require_format(option: str, path: Path) -> None:
    """Raise UsageError for a suffix that names no kind of picture."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{option} {path}: its suffix names no picture; needs {', '.join(FORMATS)}.")

"""A comparison from files to files: compare.json, compare.csv, compare.md, compare.png."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tile2vec_cli.config.objectives import MAF
from tile2vec_cli.config.pipeline import ASSISTED, COMPARED, CompareConfig
from tile2vec_cli.errors import Failure
from tile2vec_cli.evaluation import comparison, probing
from tile2vec_cli.evaluation.comparison import Bench, Comparison
from tile2vec_cli.evaluation.scores import NETWORK
from tile2vec_cli.figures import CLASSIFIERS, GREY, NAMES, figure_file
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.records import Folder, Maker
from tile2vec_cli.tiling.tiles import TileSet

FORMAT = "tile2vec-compare/1"
REPORT, TABLE, TEXT, PICTURE = "compare.json", "compare.csv", "compare.md", "compare.png"
_SHARED = ("classes", "tiles_labelled", "dropped_classes", "split", "block_m", "majority_class")
_COLUMNS = (
    *("features", "steps", "classifier", "n_labels", "accuracy", "std", "balanced_accuracy", "macro_f1"),
    *("repeats", "random_split"),
)
Score = Mapping[str, Any]

# Colours of Okabe and Ito (2008); numbers of labels differ by marker as well, from few to many.
_OBJECTIVE, _NETWORK, _BASELINE = "#0072B2", "#000000", "#D55E00"
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_APART = 0.5  # of a row, over which the numbers of labels are spread


@dataclass(frozen=True)
class Report:
    """What the comparison found, as JSON, and the files that hold it (none where every objective failed)."""

    keys: dict[str, Any]
    files: tuple[Path, ...]
    failed: tuple[Failure, ...]
    made: int  # objectives, and the rivals, of which something was made now
    kept: int
    up_to_date: bool
    labels_left_out: dict[str, int]  # what of the labels plays no part, by reason


def run(bench: Bench) -> Report:
    """Compare the objectives; write the tables and the picture of all that could be made.

    Objectives that were compared in this folder before stay in the table. Errors are those of
    `comparison.compare`; DataError where the folder's comparison was made with other settings.
    """
    folder, config = bench.folder, bench.config
    files = tuple(folder / name for name in (REPORT, TABLE, TEXT, PICTURE))
    own = {"minutes": config.minutes, "encoder": config.encoder, "margin": config.margin}
    settings = {**own, **config.probe.settings()}
    if bench.triplets is None:
        settings["triplets"] = None
    inputs: dict[str, records.Input] = {
        "tiles": bench.tiles,
        "labels": bench.labels,
        "triplets": bench.triplets,
    }
    tiles = TileSet.open(bench.tiles)
    made_from = records.made_from(folder, settings, inputs, {"tiles": tiles.fingerprint})
    written = Folder(files[0], FORMAT, made_from, files[1:])
    before = written.current(files, bench.overwrite, {"objectives": dict})
    if before is not None and config.objectives is not None:
        known = {*config.objectives, *before["objectives"]}
        config = replace(config, objectives=tuple(name for name in COMPARED if name in known))
    found = comparison.compare(replace(bench, config=config))
    keys = _keys(found, config)
    up_to_date = keys == before and not found.made
    if not keys["scores"]:
        files = ()
    elif not up_to_date:
        written.write(dict(zip(files[1:], _makers(keys), strict=True)), keys)
    kept = len(found.probes) + (found.rivals is not None) - len(found.made)
    told = next(iter(found.probes.values()), {}).get("left_out", {})
    return Report(keys, files, found.failed, len(found.made), kept, up_to_date, told)


def _keys(found: Comparison, config: CompareConfig) -> dict[str, Any]:
    """The report: scores as `probe` has them, the features named by what taught them, the best first."""
    scores: list[dict[str, Any]] = []
    for name, probe in found.probes.items():
        scores += [{**score, "features": name} for score in probe["scores"]]
    if found.rivals is not None:
        scores += [score for score in found.rivals["scores"] if score["features"] != probing.OWN]
    order = _ranking(scores)
    any_probe = next(iter(found.probes.values()), {})
    return {
        "minutes": config.minutes,
        "scores": sorted(scores, key=lambda score: order.index(score["features"])),
        "objectives": {
            name: {key: asdict(report)[key] for key in ("encoder", "steps", "device", "precision")}
            for name, report in found.trainings.items()
        },
        "left_out": found.left_out,
        "failed": [failure.name for failure in found.failed],
        "end_to_end": found.rivals["end_to_end"] if found.rivals else None,
        **{key: any_probe.get(key) for key in _SHARED},
        **{key: any_probe[key] for key in ("label_rasters",) if key in any_probe},
    }


def _ranking(scores: Sequence[Score]) -> list[str]:
    """Names of the features by their mean accuracy over classifiers and numbers of labels, best first."""
    names = list(dict.fromkeys(score["features"] for score in scores))
    mean = {n: np.mean([s["accuracy"] for s in scores if s["features"] == n]) for n in names}
    return sorted(names, key=lambda name: -mean[name])


# --- files -------------------------------------------------------------------------------------


def _makers(keys: Mapping[str, Any]) -> tuple[Maker, Maker, Maker]:
    """Of the two tables and the picture."""
    return (
        lambda path: _write_csv(path, keys),
        lambda path: path.write_text(markdown(keys), encoding="utf-8"),
        lambda path: scores(path, keys["scores"], keys["objectives"], keys["majority_class"]),
    )


def _write_csv(path: Path, keys: Mapping[str, Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, _COLUMNS, extrasaction="ignore", lineterminator="\n")
        rows.writeheader()
        rows.writerows({**score, "steps": _steps(keys, score["features"])} for score in keys["scores"])


def _steps(keys: Mapping[str, Any], features: str) -> int | None:
    """Of training; None for rows that are not objectives."""
    steps: int | None = keys["objectives"].get(features, {}).get("steps")
    return steps


def table(keys: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one for each kind of features and classifier, a column for each number of labels."""
    counts = sorted({score["n_labels"] for score in keys["scores"]})
    rows: dict[tuple[str, str], list[str]] = {}
    for score in keys["scores"]:
        cell = f"{score['accuracy']:.3f}" + f" ± {score['std']:.3f}" * (score["repeats"] > 1)
        rows.setdefault((score["features"], score["classifier"]), []).append(cell)
    header = ["learned by", "steps", "classifier", *(f"{count:,} labels" for count in counts)]
    found = []
    for (features, classifier), cells in rows.items():
        steps = _steps(keys, features)
        found.append([features, "-" if steps is None else f"{steps:,}", classifier, *cells])
    return header, found


def markdown(keys: Mapping[str, Any]) -> str:
    """The table, and what it shows in words."""
    header, rows = table(keys)
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    repeats = max(score["repeats"] for score in keys["scores"])
    said = f"Accuracy on held-out {keys['split']}, mean ± deviation of {repeats} draws"
    given = keys["end_to_end"]
    if given and given["repeats"] < repeats:
        said += f" (end-to-end: the first {given['repeats']})"
    objectives, most = keys["objectives"], f"for {keys['minutes']:g} min"
    stepped = [one["encoder"] for name, one in objectives.items() if name != MAF]
    learned = [f"Every objective trained the encoder `{stepped[0]}` {most} at most"] if stepped else []
    learned += [f"End-to-end learned {most} from the labels alone"] if given else []
    if ASSISTED in objectives:
        learned.append(f"{ASSISTED}, the default of `train`, has a part in closed form besides")
    if MAF in objectives:
        learned.append(f"{MAF} is the part in closed form alone, without a step")
    said = ". ".join([said, *learned]) + "."
    said += f" The commonest class makes {keys['majority_class']:.3f}."
    left_out = [f"- {name} is left out: {reason}" for name, reason in keys["left_out"].items()]
    return "\n\n".join(filter(None, [said, "\n".join(lines), "\n".join(left_out)])) + "\n"


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

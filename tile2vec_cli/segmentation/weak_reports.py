"""Weak segmentation from files to files: a model folder that also holds report.json and curve.png."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.errors import DataError, Tile2VecError
from tile2vec_cli.figures import figure_file, of_labels
from tile2vec_cli.neural import models
from tile2vec_cli.neural.device import Runtime, choose
from tile2vec_cli.outputs import records, workspaces
from tile2vec_cli.outputs.parts import (
    Progress,
    dump_json,
    new_folder,
    read_json,
    remove,
    silent,
    sweep,
    write_json,
)
from tile2vec_cli.outputs.provenance import content, place
from tile2vec_cli.outputs.records import Input, Report
from tile2vec_cli.outputs.stamps import Stamp, Verdict
from tile2vec_cli.segmentation import segmenters, weak_draws, weak_labels, weak_recipes
from tile2vec_cli.segmentation.weak_draws import Result, Task, Unit
from tile2vec_cli.segmentation.weak_labels import WeakLabels
from tile2vec_cli.segmentation.weak_recipes import Learned
from tile2vec_cli.tiling.tiles import TileSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMAT = "tile2vec-weak/1"
REPORT, CURVE = "report.json", "curve.png"
FILES = (*models.FILES, REPORT, CURVE)  # all that is ours in the folder of a segmenter
_BEGUN = "begun.json"

Row = Mapping[str, Any]  # of weak_draws.report()["curve"]
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


def run(
    tiles_path: Path,
    labels: str | LabelSource,
    out: Path,
    config: WeakConfig,
    *,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Report:
    """Train, judge, repeat as asked, and write the model folder `out` unless it is up to date.

    A run that is stopped keeps the trainings that are done, and goes on behind them. Progress is in
    training steps. Raises InputError, DataError, OutputError and UsageError.
    """
    out, source = out.absolute(), LabelSource.of(labels)
    tiles = TileSet.open(tiles_path)
    made_from = _made_from(tiles, source, out, config)
    stamp = Stamp.read(made_from)
    sweep(out.parent)
    found = _existing(out)
    if found is not None and stamp.stays(out, Stamp.read(found["made_from"]), overwrite):
        workspaces.discard(out)
        return Report(records.said(found), _files(out), True)
    task = _task(tiles, source, config)
    units = weak_draws.units(config)
    runtime = choose(config.device, config.precision)
    with workspaces.opened(out) as room:
        found = _existing(out)  # another run may just have ended
        if found is not None and stamp.verdict(Stamp.read(found["made_from"])) is Verdict.KEEP:
            return Report(records.said(found), _files(out), True)
        _begin(room, made_from)
        results, learned = _results(units, task, room, runtime, on_progress)
        keys = {**weak_draws.report(results, config), **_counts(task.labels)}
        with new_folder(out, FILES) as folder:
            _write(folder, keys, made_from, learned, task)
        remove(room)
    return Report(keys, _files(out), False)


# --- what is there, what it is made from -------------------------------------------------------
def _made_from(tiles: TileSet, source: LabelSource, out: Path, config: WeakConfig) -> dict[str, Any]:
    files = {"labels": source, "evaluate": config.evaluate}
    read: dict[str, Input] = {"tiles": tiles.path, **files}
    if config.init is not None:
        read["init"] = config.init
    settings = {**config.settings(), **{name: place(one, out) for name, one in read.items()}}
    settings |= source.settings()
    contents = {name: path and content(path) for name, path in files.items()}
    if config.init is not None:
        contents["init"] = models.start_fingerprint(Path(config.init), out)
    found = {"settings": settings, "content": {"tiles": tiles.fingerprint, **contents}}
    return dict(json.loads(json.dumps(found)))  # as it reads back: tuples are lists


def _existing(out: Path) -> dict[str, Any] | None:
    """The report of an older run; None where a model may be written."""
    models.require_room(out)
    if (out / REPORT).exists() and (out / models.DESCRIPTION).exists():
        return read_json(out / REPORT, FORMAT)
    if (out / models.DESCRIPTION).exists():
        kind = models.describe(out).kind
        raise DataError(f"{out}: holds a model of kind {kind!r}; it is not replaced. Choose another --out.")
    return None


def is_reported(folder: Path) -> bool:
    """Whether a folder holds the report of a study."""
    try:
        return bool(read_json(folder / REPORT, FORMAT))
    except Tile2VecError:
        return False


def _counts(labels: WeakLabels) -> dict[str, Any]:
    found = {
        "left_out": dict(labels.left_out),
        "label_rasters": labels.rasters,
        "evaluate_rasters": labels.clean_rasters,
    }
    return {name: counts for name, counts in found.items() if counts}


def _files(out: Path) -> tuple[Path, ...]:
    extra = [file for file in (out / REPORT, out / CURVE) if file.exists()]
    return (out, *extra)


def _task(tiles: TileSet, source: LabelSource, config: WeakConfig) -> Task:
    """Labels and truth; every draw is tried, so that what can't be trained is said at once."""
    labels = weak_labels.read(source, tiles, config)
    truth = labels.pixels
    if config.evaluate is not None:
        clean = weak_labels.of_rasters(LabelSource.of(config.evaluate), tiles, config.positive)
        labels, truth = replace(labels, clean_rasters=clean.rasters), clean.pixels
    task = Task(tiles, labels, truth, config)
    weak_recipes.start(tiles, config)
    for unit in weak_draws.units(config):
        drawn = weak_draws.sides(task, unit.supervision, unit.repeat)
        weak_draws.told(task, drawn, unit.supervision, unit.count, unit.repeat)
    return task


# --- the work ----------------------------------------------------------------------------------
def _begin(room: Path, made_from: dict[str, Any]) -> None:
    """A folder for what is done, empty unless it is of this very study."""
    if room.exists():
        begun = read_json(room / _BEGUN, FORMAT) if (room / _BEGUN).exists() else {}
        if begun.get("made_from") == made_from:
            return
        remove(room)
    with new_folder(room) as folder:
        write_json(folder / _BEGUN, {"format": FORMAT, "made_from": made_from})


def _results(
    units: list[Unit], task: Task, room: Path, runtime: Runtime, on_progress: Progress
) -> tuple[dict[Unit, Result], Learned]:
    """What came of each unit, and the last one's model, which is trained in any case."""
    results: dict[Unit, Result] = {}
    steps = [_steps(task, unit) for unit in units]
    for number, unit in enumerate(units):
        file = room / f"{unit.name}.json"
        if file.exists() and unit != units[-1]:
            results[unit] = read_json(file, FORMAT)["result"]
            continue

        before = sum(steps[:number])

        def progress(done: int, _total: int, before: int = before) -> None:
            on_progress(before + done, sum(steps))

        results[unit], learned = weak_draws.trained(task, unit, runtime, progress)
        if unit != units[-1]:
            write_json(file, {"format": FORMAT, "result": results[unit]})
    return results, learned


def _steps(task: Task, unit: Unit) -> int:
    labelled = unit.count or len(weak_draws.sides(task, unit.supervision, unit.repeat).train)
    return weak_recipes.schedule(task.config, unit.supervision, labelled).steps


def _write(
    folder: Path, keys: dict[str, Any], made_from: dict[str, Any], learned: Learned, task: Task
) -> None:
    tiles, config = task.tiles, task.config
    provenance = {
        **made_from["content"],
        "class": config.class_name,
        "resolution_m": tiles.side_m / tiles.size,
        "tile_settings": tiles.settings,
    }
    scores = {name: keys[name] for name in ("labels_used", "threshold", "test")}
    model = segmenters.described(learned.segmenter, tiles, made_from["settings"], provenance, scores)
    segmenters.write(folder, model, learned.segmenter, learned.metrics)
    text = dump_json({"format": FORMAT, **keys, "made_from": made_from})
    (folder / REPORT).write_text(text, encoding="utf-8")
    if "curve" in keys and keys["curve"][0]["test"] is not None:
        curve(folder / CURVE, keys["curve"])


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
    of_labels(axis, counts)


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

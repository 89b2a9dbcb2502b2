"""`tile2vec weak-segment`: segment one class from one pixel or one label per tile."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.console import Console, Row


def weak_segment(
    tiles: options.Tiles,
    labels: list[str] = option(
        metavar="PATH",
        help="Label raster (or a folder, pattern or @list.txt of them, or item.json#ASSET of STAC; "
        "repeatable), of which weak labels are drawn; or points (pixel); or a table or polygons (image).",
    ),
    out: Path = option(metavar="MODEL", help="Folder of the model and its report."),
    *,
    reading: partial[LabelSource],
    settings: partial[WeakConfig],
    evaluate: list[str] | None = option(
        None,
        metavar="RASTER",
        help="Clean labels to score against, as for --labels (default: rasters of --labels).",
    ),
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Train a U-Net to segment one class (cropland) from weak labels: one pixel or one label per tile.

    Training and test tiles come from different places: whole spatial blocks. Scores are over all known
    pixels of the test tiles. Pixels that are not valid in every band play no part. Apply the model
    with `map`.

    Example: tile2vec weak-segment tiles --labels cdl.tif --n-labels 100 --compare --out cropland
    """
    source = options.label_source(labels, reading)
    config = settings(evaluate=options.label_source(evaluate, reading) if evaluate else None)
    done = call("Train", "steps", labels=source, config=config, evaluate=None)
    console.left_out(source, done.keys.get("left_out", {}))
    options.say_label_rasters(console, done.keys.get("label_rasters", {}))
    options.say_label_rasters(console, done.keys.get("evaluate_rasters", {}), "--evaluate")
    header, rows = _table(done.keys)
    console.show(done, rows, header)


def _table(keys: dict[str, Any]) -> tuple[Row, list[Row]]:
    """A row for each number of labels, kind of labels, and judge: the network and its rivals."""
    header = ["labels", "tiles", "method", "accuracy", "F1", "precision", "recall", "IoU", "wins"]
    if "curve" not in keys and "summary" not in keys:
        tested = {"U-Net": keys["test"], **keys.get("baselines", {})}
        rows: list[Row] = [
            [keys["supervision"], keys["train_tiles"], name, *_cells(scores)]
            for name, scores in tested.items()
        ]
        return header[:-1], rows
    studies = keys.get("curve") or [
        {**keys["summary"], "supervision": keys["supervision"], "n_labels": keys["train_tiles"]}
    ]
    return header, [
        [study["supervision"], study["n_labels"], name, *_cells(scores), study["wins"].get(rival, "")]
        for study in studies
        for rival, name, scores in (
            ("", "U-Net", study["test"]),
            *((rival, rival, scores) for rival, scores in study["baselines"].items()),
        )
    ]


def _cells(scores: dict[str, Any] | None) -> list[str]:
    """Scores, or means and deviations of scores, to three decimals."""
    if scores is None:
        return ["-"] * 5
    values = [scores[name] for name in ("accuracy", "f1", "precision", "recall", "iou")]
    return [
        f"{value['mean']:.3f} ± {value['std']:.3f}" if isinstance(value, dict) else f"{value:.3f}"
        for value in values
    ]

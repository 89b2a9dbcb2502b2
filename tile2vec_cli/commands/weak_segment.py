"""`tile2vec weak-segment`: segment one class from a pixel or a label a tile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.weak import CROPLAND, WeakConfig
from tile2vec_cli.console import Console, Row
from tile2vec_cli.errors import UsageError

_DEFAULT = WeakConfig()


def weak_segment(
    tiles: options.Tiles,
    labels: Annotated[
        list[str],
        typer.Option(
            "--labels",
            metavar="PATH",
            help="Label raster (or a folder, pattern or @list.txt of them; repeatable), of which weak labels "
            "are drawn; or points (pixel); or a table or polygons (image).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="Folder of the model and its report.")],
    supervision: Annotated[
        str,
        typer.Option(
            metavar="pixel|image|full",
            help="pixel: one known pixel a tile; image: each tile's majority; full: every pixel. Of several, "
            "with commas, the first one's model is kept.",
        ),
    ] = "pixel",
    label_band: options.LabelBand = None,
    label_nodata: options.LabelNodata = None,
    field: options.Field = None,
    layer: options.Layer = None,
    crs: options.LabelCrs = None,
    positive: Annotated[
        str,
        typer.Option(
            metavar="CODES",
            help="Classes that make up the one to be segmented: codes, ranges, names (default: cropland of "
            "the Cropland Data Layer, whose 0 is no data).",
        ),
    ] = CROPLAND,
    n_labels: Annotated[
        str,
        typer.Option(metavar="N|N,…,all", help="Labelled tiles used; several make a curve."),
    ] = "all",
    recipe: Annotated[
        str,
        typer.Option(
            metavar="assisted|paper",
            help="paper: the published network and loss, nothing else; assisted: what does best.",
        ),
    ] = _DEFAULT.recipe,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Also judge pixel classifiers that learn from the very same labels."),
    ] = False,
    repeats: Annotated[int, typer.Option(help="Draws of split and labels; the first's model is kept.")] = 1,
    test_fraction: Annotated[
        float, typer.Option(help="Share of the tiles to test on, in whole spatial blocks.")
    ] = _DEFAULT.test_fraction,
    block: Annotated[
        float | None,
        typer.Option(metavar="METRES", help="Side of a spatial block (default: 3 × the tile's side)."),
    ] = None,
    evaluate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RASTER",
            help="Clean labels to score against, as for --labels (default: rasters of --labels).",
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="MODEL",
            help="Start from another weak-segment model of the same recipe and bands. A model of `train` "
            "is another network: it has nothing that a U-Net could start from.",
        ),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="auto|VALUE", help="Probability from which a pixel is of the class; auto: learned."
        ),
    ] = "auto",
    label_noise: Annotated[
        float, typer.Option(metavar="P", help="Share of the training labels to flip, to see what it costs.")
    ] = 0.0,
    epochs: Annotated[int | None, typer.Option(help="Passes over the tiles (default: the recipe's).")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Tiles a step (default: 32).")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate (default: the recipe's).")] = None,
    device: options.Device = _DEFAULT.device,
    precision: options.Precision = _DEFAULT.precision,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a U-Net to segment one class (cropland) from weak labels: one pixel a tile, or one label a tile.

    Training and test tiles come from different places: whole spatial blocks. Scores are over all known
    pixels of the test tiles. Pixels that are not valid in every band play no part. Apply the model
    with `map`.

    Example: tile2vec weak-segment tiles --labels cdl.tif --n-labels 100 --compare --out cropland
    """
    source = options.label_source(labels, label_band, label_nodata, layer, crs)
    config = WeakConfig(
        supervision=tuple(dict.fromkeys(item.strip() for item in supervision.split(","))),
        field=field,
        positive=None if positive == CROPLAND else positive,
        n_labels=_counts(n_labels),
        recipe=recipe,
        compare=compare,
        repeats=repeats,
        test_fraction=test_fraction,
        block_m=block,
        label_noise=label_noise,
        threshold=_threshold(threshold),
        evaluate=options.label_source(evaluate, label_band, label_nodata) if evaluate else None,
        init=init,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        device=device,
        precision=precision,
        seed=seed,
    )
    console = Console("weak-segment", quiet, json)

    from tile2vec_cli.api import mapping

    with console.progress("Train", "steps") as on_progress:
        done = mapping.weak_segment(tiles, source, out, config, overwrite=overwrite, on_progress=on_progress)
    console.left_out(source, done.keys.get("left_out", {}))
    options.say_label_rasters(console, done.keys.get("label_rasters", {}))
    options.say_label_rasters(console, done.keys.get("evaluate_rasters", {}), "--evaluate")
    header, rows = _table(done.keys)
    console.show(done, rows, header)


def _counts(text: str) -> tuple[int | None, ...]:
    """Parse "20,50,all"; None stands for all."""
    items = dict.fromkeys(item.strip() for item in text.split(","))
    if not all(item == "all" or item.isdecimal() for item in items):
        raise UsageError(f"--n-labels {text}: needs whole numbers with commas, or all, such as 20,100,all.")
    return tuple(None if item == "all" else int(item) for item in items)


def _threshold(text: str) -> float | None:
    try:
        return None if text == "auto" else float(text)
    except ValueError as error:
        raise UsageError(f"--threshold {text}: needs auto, or a number between 0 and 1.") from error


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

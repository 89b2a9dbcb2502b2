"""`tile2vec compare`: ways to learn without labels, side by side on one's own imagery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.pipeline import (
    CLASSIFIER_NAMES,
    COMPARED,
    CompareConfig,
    ProbeConfig,
)
from tile2vec_cli.config.rules import parse_ints, parse_names
from tile2vec_cli.config.training import ENCODER_NAMES
from tile2vec_cli.console import Console

_PROBE = ProbeConfig()


def compare(
    tiles: options.Tiles,
    labels: Annotated[
        list[str],
        typer.Option("--labels", metavar="PATH", help="Labels to judge by, as for `probe`. Repeatable."),
    ],
    minutes: Annotated[float, typer.Option(help="How long each objective, and each end-to-end fit, trains.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder for everything that is made.")],
    label_band: options.LabelBand = None,
    label_nodata: options.LabelNodata = None,
    field: options.Field = None,
    layer: options.Layer = None,
    crs: options.LabelCrs = None,
    min_purity: options.MinPurity = _PROBE.min_purity,
    objectives: Annotated[
        str | None,
        typer.Option(
            metavar="assisted,triplet,…",
            help=f"Some of {', '.join(COMPARED)} (default: all that the tiles allow).",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(metavar="|".join(ENCODER_NAMES), help="The network that all of them train."),
    ] = CompareConfig.encoder,
    margin: Annotated[float, typer.Option(help="Margin of the triplet loss.")] = CompareConfig.margin,
    triplets: Annotated[
        Path | None,
        typer.Option(
            "--triplets",
            metavar="TRIPLETS.parquet",
            help="Triplets to learn from (default: drawn for FOLDER).",
        ),
    ] = None,
    classifier: Annotated[
        list[str] | None,
        typer.Option(
            "--classifier", metavar="|".join(CLASSIFIER_NAMES), help="Repeatable (default: logistic)."
        ),
    ] = None,
    n_labels: options.LabelCounts = options.LABEL_COUNTS,
    repeats: options.Repeats = _PROBE.repeats,
    block: options.ProbeBlock = _PROBE.block_m,
    end_to_end_repeats: options.NetworkRepeats = _PROBE.end_to_end_repeats,
    seed: options.Seed = 0,
    strict: options.Strict = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare ways to learn without labels: the same tiles, encoder and minutes, judged on the same splits.

    Trains each objective of `train` without its place part, and as `assisted` the default of `train` with
    it; `maf` is the place part alone, which has no steps. Embeds and probes them, and sets beside them the
    mean and deviation of bands, principal components, random convolutional features, the untrained encoder,
    and the encoder trained end to end on the labels alone in the same time.

    FOLDER gets compare.csv, compare.md, compare.json, compare.png, and the models, embeddings and probes
    behind them, each made only where it is missing: stopped, the same command goes on with the objective
    at hand, and more --objectives join those that are there.

    Example: tile2vec compare tiles --labels landcover.tif --minutes 10 --out comparison
    """
    console = Console("compare", quiet, json)
    names = None if objectives is None else parse_names("--objectives", objectives, COMPARED)
    config = CompareConfig(
        minutes=minutes,
        objectives=None if names is None else tuple(dict.fromkeys(names)),
        encoder=encoder,
        margin=margin,
        probe=ProbeConfig(
            field=field,
            min_purity=min_purity,
            classifiers=tuple(dict.fromkeys(classifier or CompareConfig.probe.classifiers)),
            n_labels=tuple(sorted(set(parse_ints("--n-labels", n_labels)))),
            repeats=repeats,
            block_m=block,
            end_to_end_repeats=end_to_end_repeats,
            seed=seed,
        ),
    )

    from tile2vec_cli.api import judging
    from tile2vec_cli.evaluation import comparison_reports
    from tile2vec_cli.evaluation.comparison import Bench

    source = options.label_source(labels, label_band, label_nodata, layer, crs)
    bench = Bench(tiles, source, out, config, console.progress, triplets, overwrite, strict)
    done = judging.compared(bench)
    options.say_label_rasters(console, done.keys.get("label_rasters", {}))
    for name, reason in done.keys["left_out"].items():
        console.say(f"{name} left out: {reason}")
    console.left_out(source, done.keys.get("labels_left_out", {}))
    header, rows = comparison_reports.table(done.keys)
    console.show(done, rows, header)

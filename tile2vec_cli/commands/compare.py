"""`tile2vec compare`: ways to learn without labels, side by side on one's own imagery."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.pipeline import CompareConfig
from tile2vec_cli.console import Console


def compare(
    tiles: options.Tiles,
    labels: list[str] = option(metavar="PATH", help="Labels to test on, as for `probe`. Repeatable."),
    out: Path = option(metavar="FOLDER", help="Folder for everything that is made."),
    *,
    reading: partial[LabelSource],
    config: CompareConfig,
    triplets: Path | None = option(
        None, metavar="TRIPLETS.parquet", help="Triplets to learn from (default: drawn for FOLDER)."
    ),
    strict: options.Strict = False,
    overwrite: options.Overwrite = False,
    console: Console,
) -> None:
    """Compare ways to learn without labels: the same tiles, encoder and minutes, scored on the same splits.

    Trains each objective of `train` without its place part, and as `assisted` the default of `train` with
    it; `maf` is the place part alone, which has no steps. Embeds and probes them, and sets beside them the
    mean and deviation of bands, principal components, random convolutional features, the untrained encoder,
    and the encoder trained end to end on the labels alone in the same time.

    FOLDER gets compare.csv, compare.md, compare.json, compare.png, and the models, embeddings and probes
    behind them, each made only where it is missing: stopped, the same command goes on with the objective
    at hand, and more --objectives join those that are there.

    Example: tile2vec compare tiles --labels landcover.tif --minutes 10 --out comparison
    """
    from tile2vec_cli.api import judging
    from tile2vec_cli.evaluation import comparison_reports
    from tile2vec_cli.evaluation.comparison import Bench

    source = options.label_source(labels, reading)
    bench = Bench(tiles, source, out, config, console.progress, triplets, overwrite, strict)
    done = judging.compared(bench)
    options.say_label_rasters(console, done.keys.get("label_rasters", {}))
    for name, reason in done.keys["left_out"].items():
        console.say(f"{name} left out: {reason}")
    console.left_out(source, done.keys.get("labels_left_out", {}))
    header, rows = comparison_reports.table(done.keys)
    console.show(done, rows, header)

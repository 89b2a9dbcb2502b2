"""`tile2vec inspect`: what is in the vectors."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import InspectConfig
from tile2vec_cli.console import Console


def inspect(
    embeddings: options.Embeddings,
    out: Path = option(metavar="DIR", help="Folder for inspect.html, report.json and pictures."),
    *,
    tiles: Path | None = option(
        None, metavar="TILES", help="The tile set that was embedded: factors from pixels."
    ),
    labels: list[str] | None = option(
        None,
        metavar="PATH",
        help="Labels as for `probe`, predicted from vectors and pixels. Repeatable.",
    ),
    reading: partial[LabelSource],
    config: InspectConfig,
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Inspect embeddings: easier tasks, separate factors, readable components, no collapse.

    Easier tasks: do labels follow from them better than from band statistics and random features?
    Disentangled: does one dimension predict each of band means, NDVI, contrast, gradient, date, place?
    Interpretable: which tiles lie at the ends of the principal components? And have the vectors
    collapsed?

    Example: tile2vec inspect embeddings.parquet --tiles tiles --out inspect
    """
    source = options.optional_labels(labels, reading)

    done = call("inspect", "rows", labels=source)
    probe = done.keys["probe"] or {}
    options.say_label_rasters(console, probe.get("label_rasters", {}))
    console.left_out(source, probe.get("left_out", {}))
    files = ", ".join(map(str, done.files))
    console.show(done, [*done.keys["verdicts"].items(), ("output", files)])

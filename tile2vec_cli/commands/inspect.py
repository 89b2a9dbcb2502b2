"""`tile2vec inspect`: what is in the vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.rules import parse_ints
from tile2vec_cli.config.views import InspectConfig
from tile2vec_cli.console import Console

_DEFAULT = InspectConfig()


def inspect(
    embeddings: options.Embeddings,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder for inspect.html, report.json and pictures."),
    ],
    tiles: Annotated[
        Path | None,
        typer.Option("--tiles", metavar="TILES", help="The tile set that was embedded: factors from pixels."),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            metavar="PATH",
            help="Labels as for `probe`: are they told better than from pixels? Repeatable.",
        ),
    ] = None,
    label_band: options.LabelBand = None,
    label_nodata: options.LabelNodata = None,
    field: options.Field = None,
    layer: options.Layer = None,
    crs: options.LabelCrs = None,
    min_purity: options.MinPurity = _DEFAULT.min_purity,
    red: Annotated[
        int | None, typer.Option(metavar="BAND", help="Red among the tiles' bands, for NDVI (of four: 1).")
    ] = None,
    nir: Annotated[
        int | None, typer.Option(metavar="BAND", help="Near-infrared among them (of four: 4).")
    ] = None,
    components: Annotated[
        int, typer.Option(help="Principal components whose extreme tiles are shown.")
    ] = _DEFAULT.components,
    sample: Annotated[
        int, typer.Option(help="Tiles that factors and labels are judged on, at most.")
    ] = _DEFAULT.sample,
    block: Annotated[
        float | None,
        typer.Option(
            metavar="METRES", help="Side of a block that is left out (default: 20 × the tile's side)."
        ),
    ] = None,
    rgb: options.Rgb = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask whether embeddings are a good representation, in three senses.

    Easier tasks: do labels follow from them better than from band statistics and random features?
    Disentangled: are band means, NDVI, contrast, gradient, date and place told by single dimensions?
    Interpretable: which tiles lie at the ends of the principal components? And whether the vectors
    collapsed.

    Example: tile2vec inspect embeddings.parquet --tiles tiles --out inspect
    """
    config = InspectConfig(
        field=field,
        min_purity=min_purity,
        red=red,
        nir=nir,
        components=components,
        sample=sample,
        block_m=block,
        rgb=None if rgb is None else parse_ints("--rgb", rgb),
        seed=seed,
    )
    console = Console("inspect", quiet, json)
    source = options.optional_labels(labels, label_band, label_nodata, layer, crs)

    from tile2vec_cli.api import looking

    with console.progress("inspect", "rows") as on_progress:
        done = looking.inspect(
            embeddings,
            out,
            config,
            tiles=tiles,
            labels=source,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    probe = done.keys["probe"] or {}
    options.say_label_rasters(console, probe.get("label_rasters", {}))
    console.left_out(source, probe.get("left_out", {}))
    files = ", ".join(map(str, done.files))
    console.show(done, [*done.keys["verdicts"].items(), ("output", files)])

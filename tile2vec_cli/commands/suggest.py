"""`tile2vec suggest`: which tiles to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.pipeline import CLASSIFIER_NAMES
from tile2vec_cli.config.rules import parse_ints
from tile2vec_cli.config.views import SuggestConfig
from tile2vec_cli.console import Console


def suggest(
    embeddings: options.Embeddings,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="PATH",
            help="File of the tiles: .parquet, .geojson or .csv; fill in its column `label`.",
        ),
    ],
    count: Annotated[int, typer.Option(help="How many tiles to suggest.")] = SuggestConfig.count,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            metavar="PATH",
            help="Labels so far, as for `probe`: raster, polygons, points or a table. Repeatable.",
        ),
    ] = None,
    label_band: options.LabelBand = None,
    label_nodata: options.LabelNodata = None,
    field: options.Field = None,
    layer: options.Layer = None,
    crs: options.LabelCrs = None,
    min_purity: options.MinPurity = SuggestConfig.min_purity,
    classifier: Annotated[
        str, typer.Option(metavar="|".join(CLASSIFIER_NAMES), help="Whose doubts count.")
    ] = SuggestConfig.classifier,
    part: options.Part = None,
    tiles: options.PictureTiles = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="PICTURE",
            help="Contact sheet to label from, of the first 100: .png, .svg or .pdf.",
        ),
    ] = None,
    rgb: options.Rgb = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Suggest which tiles to label next.

    With --labels: those that a classifier of these labels is least sure of, apart from one another on
    the ground and in the vector space. `uncertainty` is 1 minus the margin between the two likeliest
    classes. Without: those that stand for the most others, `stands_for` being the size of a cluster.
    No place is suggested twice, whatever its dates, and none that has a label already.

    Fill in the column `label` and give the file back: --labels next.csv --field label. Rows that are
    left empty are left out there. Beside each output a file OUTPUT.json says what it was made from.

    Example: tile2vec suggest embeddings.parquet --count 50 --out next.csv --tiles tiles --picture next.png
    """
    options.require_both(tiles, picture)
    config = SuggestConfig(
        count=count,
        field=field,
        min_purity=min_purity,
        classifier=classifier,
        part=part,
        rgb=None if rgb is None else parse_ints("--rgb", rgb),
        seed=seed,
    )
    source = options.optional_labels(labels, label_band, label_nodata, layer, crs)
    console = Console("suggest", quiet, json)

    from tile2vec_cli.views import suggest_reports
    from tile2vec_cli.views.near_reports import Outputs

    with console.progress("suggest", "rows") as on_progress:
        outputs = Outputs(out, tiles, picture, config.rgb, overwrite)
        report = suggest_reports.run(embeddings, source, config, outputs, on_progress)
    keys, found = report.keys, report.keys["suggested"]
    options.say_label_rasters(console, keys.get("label_rasters", {}))
    if source is not None:
        console.left_out(source, keys["left_out"])
        if keys["classes"] < 2:
            console.say(
                f"{source}: its {keys['labelled']:,} labelled tiles are of {keys['classes']} "
                f"{'class' if keys['classes'] == 1 else 'classes'}, and a classifier needs two: tiles are "
                "chosen as without labels."
            )
    if len(found) < count:
        console.say(f"{len(found):,} tiles are all whose place has no label.")
    wanted = ("rank", "tile_id", "number", "uncertainty", "stands_for")
    names = [name for name in wanted if any(row.get(name) is not None for row in found)]
    console.report(
        keys,
        inputs=[embeddings, *(labels or ()), *([tiles] if tiles else [])],
        outputs=report.files,
        rows=[
            [*(row.get(name) for name in names), f"{row['longitude']:.6f}", f"{row['latitude']:.6f}"]
            for row in found
        ],
        header=[*names, "longitude", "latitude"],
        up_to_date=report.up_to_date,
    )

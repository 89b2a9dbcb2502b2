"""`tile2vec classify`: from a few labels to a class of every tile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.pipeline import CLASSIFIER_NAMES
from tile2vec_cli.config.views import ClassifyConfig
from tile2vec_cli.console import Console
from tile2vec_cli.errors import UsageError

_NAMED = 20  # classes left out of the held-out accuracy that are named


def classify(
    embeddings: options.Embeddings,
    out: Annotated[
        list[Path],
        typer.Option(
            "--out",
            metavar="PATH",
            help="Table of all tiles: .parquet, .geojson or .csv; map of a pixel a tile: .tif; without a "
            "suffix, a folder with a .parquet for each file of EMBEDDINGS. Repeatable.",
        ),
    ],
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            metavar="PATH",
            help="Labels of some tiles, as `probe` reads them: raster, polygons, points or table. Rasters: "
            "repeatable, the first counts.",
        ),
    ] = None,
    positive: Annotated[
        list[str] | None,
        typer.Option(
            "--positive",
            metavar=options.EXAMPLE,
            help="Instead of --labels, example of what is looked for: a tile, the tile at "
            "longitude,latitude, or a file with one a line. Repeatable.",
        ),
    ] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option(
            "--negative", metavar=options.EXAMPLE, help="Example of what is something else. Repeatable."
        ),
    ] = None,
    label_band: options.LabelBand = None,
    label_nodata: options.LabelNodata = None,
    field: options.Field = None,
    layer: options.Layer = None,
    crs: options.LabelCrs = None,
    min_purity: options.MinPurity = ClassifyConfig.min_purity,
    classifier: Annotated[
        str, typer.Option(metavar="|".join(CLASSIFIER_NAMES), help="What learns from the labels.")
    ] = ClassifyConfig.classifier,
    part: options.Part = None,
    block: options.ProbeBlock = ClassifyConfig.block_m,
    probability: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="Maps: the probability of this class, in place of the classes."),
    ] = None,
    dissolve: Annotated[
        bool,
        typer.Option("--dissolve", help="Tables: neighbouring tiles of one class as one polygon."),
    ] = ClassifyConfig.dissolve,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="PICTURE", help="The map with its legend: .png, .svg or .pdf."),
    ] = None,
    tiles: Annotated[
        Path | None,
        typer.Option("--tiles", metavar="TILES", help="The tile set that was embedded: maps in its CRSs."),
    ] = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Give every tile a class and its probability, learned from the labels of a few.

    The accuracy is that on held-out spatial blocks, as `probe` measures it, and the probabilities are
    scaled to what is right there. Maps have a file for each CRS, such as PATH-EPSG_26910.tif, and
    beside it PATH.tif.aux.xml with the names of the classes. A folder gets the tables of new files only
    when run again: by the classifier that made the others. Beside each output a file OUTPUT.json says
    what it was made from.

    Example: tile2vec classify embeddings.parquet --labels points.geojson --out map.tif --out map.parquet
    """
    config = ClassifyConfig(
        positive=options.examples("--positive", positive or []),
        negative=options.examples("--negative", negative or []),
        field=field,
        min_purity=min_purity,
        classifier=classifier,
        part=part,
        block_m=block,
        probability=probability,
        dissolve=dissolve,
        seed=seed,
    )
    if bool(labels) == bool(positive or negative):
        raise UsageError("--labels, or --positive and --negative: the one or the other is needed.")
    source = options.optional_labels(labels, label_band, label_nodata, layer, crs)
    console = Console("classify", quiet, json)
    outputs = tuple(dict.fromkeys(out))

    from tile2vec_cli.views import class_parts, class_reports

    with console.progress("classify", "rows") as on_progress:
        if any(not one.suffix for one in outputs):
            folder = class_parts.require_alone(outputs, picture, config)
            report, failed = class_parts.run(
                embeddings, source, config, folder, overwrite=overwrite, on_progress=on_progress
            )
        else:
            class_reports.require_outputs(outputs, config)
            report, failed = (
                class_reports.run(
                    embeddings,
                    source,
                    config,
                    out=outputs,
                    tiles=tiles,
                    picture=picture,
                    overwrite=overwrite,
                    on_progress=on_progress,
                ),
                [],
            )
    keys = report.keys
    options.say_label_rasters(console, keys["label_rasters"])
    console.left_out("labels" if source is None else source, keys["left_out"])
    if keys.get("new_parts"):
        console.say(
            f"{keys['new_parts']:,} new files are classified as those before were; --overwrite learns from "
            "their labels, too."
        )
    if keys["held_out"] is None:
        console.say(f"No held-out accuracy, and probabilities as they come: {keys['held_out_why']}.")
    elif keys["held_out"]["classes_left_out"]:
        untested = list(keys["held_out"]["classes_left_out"].items())
        named = "; ".join(f"{name} {why}" for name, why in untested[:_NAMED]) + "; …" * (
            len(untested) > _NAMED
        )
        console.say(f"Not in the held-out accuracy: {named}.")
    console.report(
        keys,
        inputs=[embeddings, *(labels or ()), *([tiles] if tiles else [])],
        outputs=report.files,
        rows=_rows(keys),
        header=("class", "labels", "tiles", "share"),
        up_to_date=report.up_to_date,
    )
    console.finish(failed)


def _rows(keys: dict[str, Any]) -> list[list[object]]:
    """A row a class, the commonest first, and the accuracy below."""
    counts = sorted(keys["counts"].items(), key=lambda item: -item[1])
    total = max(sum(keys["counts"].values()), 1)
    rows: list[list[object]] = [
        [name, f"{keys['labels'][name]:,}", f"{count:,}", f"{100 * count / total:.1f} %"]
        for name, count in counts
    ]
    for column in (1, 2, 3):
        width = max(len(str(row[column])) for row in rows)
        for row in rows:
            row[column] = str(row[column]).rjust(width)
    held_out = keys["held_out"]
    score = "none" if held_out is None else f"{held_out['accuracy']:.3f} ± {held_out['std']:.3f}"
    return [*rows, ["held-out accuracy", "", "", score]]

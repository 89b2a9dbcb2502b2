"""`tile2vec classify`: from a few labels to a class of every tile."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import ClassifyConfig
from tile2vec_cli.console import Console

_NAMED = 20  # classes left out of the held-out accuracy that are named


def classify(
    embeddings: options.Embeddings,
    out: list[Path] = option(
        metavar="PATH",
        help="Table of all tiles: .parquet, .geojson or .csv; map of a pixel a tile: .tif; without a "
        "suffix, a folder with a .parquet for each file of EMBEDDINGS. Repeatable.",
    ),
    labels: list[str] | None = option(
        None,
        metavar="PATH",
        help="Labels of some tiles, as `probe` reads them: raster, polygons, points or table. Rasters: "
        "repeatable, the first counts.",
    ),
    *,
    reading: partial[LabelSource],
    config: ClassifyConfig,
    picture: Path | None = option(
        None, metavar="PICTURE", help="The map with its legend: .png, .svg or .pdf."
    ),
    tiles: Path | None = option(
        None, metavar="TILES", help="The tile set that was embedded: maps in its CRSs."
    ),
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Give every tile a class and its probability, learned from the labels of a few.

    The accuracy is that on held-out spatial blocks, as `probe` measures it, and the probabilities are
    scaled to what is right there. Maps have a file for each CRS, such as PATH-EPSG_26910.tif, and
    beside it PATH.tif.aux.xml with the names of the classes. A folder gets the tables of new files only
    when run again: by the classifier that made the others. Beside each output a file OUTPUT.json says
    what it was made from.

    Example: tile2vec classify embeddings.parquet --labels points.geojson --out map.tif --out map.parquet
    """
    source = options.optional_labels(labels, reading)

    done = call("classify", "rows", labels=source)
    keys = done.keys
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
    console.show(done, _rows(keys), ("class", "labels", "tiles", "share"))


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

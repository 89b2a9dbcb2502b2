"""`tile2vec suggest`: which tiles to label next."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import SuggestConfig
from tile2vec_cli.console import Console


def suggest(
    embeddings: options.Embeddings,
    out: Path = option(
        metavar="PATH", help="File of the tiles: .parquet, .geojson or .csv; fill in its column `label`."
    ),
    labels: list[str] | None = option(
        None,
        metavar="PATH",
        help="Labels so far, as for `probe`: raster, polygons, points or a table. Repeatable.",
    ),
    *,
    reading: partial[LabelSource],
    config: SuggestConfig,
    tiles: options.PictureTiles = None,
    picture: Path | None = option(
        None, metavar="PICTURE", help="Contact sheet to label from, of the first 100: .png, .svg or .pdf."
    ),
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
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
    source = options.optional_labels(labels, reading)

    done = call("suggest", "rows", labels=source)
    keys, found = done.keys, done.keys["suggested"]
    options.say_label_rasters(console, keys.get("label_rasters", {}))
    if source is not None:
        console.left_out(source, keys["left_out"])
        if keys["classes"] < 2:
            console.say(
                f"{source}: its {keys['labelled']:,} labelled tiles are of {keys['classes']} "
                f"{'class' if keys['classes'] == 1 else 'classes'}, and a classifier needs two: tiles are "
                "chosen as without labels."
            )
    if len(found) < config.count:
        console.say(f"{len(found):,} tiles are all whose place has no label.")
    wanted = ("rank", "tile_id", "number", "uncertainty", "stands_for")
    names = [name for name in wanted if any(row.get(name) is not None for row in found)]
    rows = [
        [*(row.get(name) for name in names), f"{row['longitude']:.6f}", f"{row['latitude']:.6f}"]
        for row in found
    ]
    console.show(done, rows, [*names, "longitude", "latitude"])

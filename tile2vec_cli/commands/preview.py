"""`tile2vec preview`: embeddings as colours on a map."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.views import PreviewConfig
from tile2vec_cli.console import Console


def preview(
    embeddings: options.Embeddings,
    out: Path = option(
        metavar="PATH", help="The map: .tif (one COG per CRS), or a picture: .png, .svg or .pdf."
    ),
    *,
    tiles: Path | None = option(
        None,
        metavar="TILES",
        help="The tile set that was embedded: maps in its scenes' CRSs; needed for --sheet.",
    ),
    fit_on: Path | None = option(
        None,
        metavar="EMBEDDINGS",
        help="Use these embeddings' components, stretch and clusters, so that colours can be compared.",
    ),
    sheet: Path | None = option(
        None, metavar="PICTURE", help="Contact sheet of kinds of tiles, one row per cluster."
    ),
    config: PreviewConfig,
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Show embeddings as a map: their first three principal components as red, green and blue.

    A tile is a pixel, stretched between the 2nd and 98th percentile of each component. Where several
    tiles would have one pixel, the newest is shown; without dates, the last in the file. Maps are in the
    CRS of the scenes where --tiles are given, else in the UTM zone around each scene, or in longitude
    and latitude where the footprints are boxes there. Where there are several CRSs each has a file, such
    as PATH-EPSG_26910.tif. Rows of the sheet are k-means clusters; frames have the preview's colour.
    Beside each output a file OUTPUT.json says what it was made from.

    Example: tile2vec preview embeddings.parquet --out preview.tif --tiles tiles --sheet kinds.png
    """
    done = call("preview", "rows")
    if done.keys["beneath"]:
        console.say(f"{done.keys['beneath']:,} tiles lie beneath newer ones or share their pixel.")
    rows = [
        [one["crs"], f"{one['pixel'][0]:.6g}", one["width"], one["height"], one["filled"]]
        for one in done.keys["maps"]
    ]
    console.show(done, rows, ["crs", "pixel", "width", "height", "filled"])

"""`tile2vec similar`: the tiles that look like given ones."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.views import SimilarConfig
from tile2vec_cli.console import Console


def similar(
    embeddings: options.Embeddings,
    *,
    config: SimilarConfig,
    out: options.TableOut = None,
    tiles: Path | None = option(
        None,
        metavar="TILES",
        help="The tile set that was embedded: for --picture, and --raster in its scenes' CRSs.",
    ),
    picture: options.Picture = None,
    raster: Path | None = option(
        None,
        metavar="PATH",
        help="Map of the distance of every tile: .tif, a pixel a tile, one COG per CRS of the scenes.",
    ),
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Find the tiles whose vectors are nearest to those of example tiles.

    The search is exact. The distance is the Euclidean one to the nearest example; the examples
    themselves are left out. Rows of other people's files without a tile_id are named by their number,
    from 0. Beside each output a file OUTPUT.json says what it was made from.

    --raster maps the distance: 0 at the examples, NaN where there is no tile or one nearer to a
    counter-example. Of several dates of one place the newest is shown. Maps are in the CRSs of the
    scenes where --tiles are given, else as `preview` has them.

    Example: tile2vec similar embeddings.parquet --to=-97.81,39.77 --tiles tiles --picture near.png
    """
    from tile2vec_cli.views import near_reports

    done = call("similar", "rows")
    if done.keys["ruled_out"]:
        console.say(f"{done.keys['ruled_out']:,} tiles are nearer to a counter-example and left out.")
    found = done.keys["similar"]
    if len(found) < config.top:
        console.say(f"{len(found):,} tiles are all there are.")
    console.show(done, [near_reports.cells(row) for row in found], near_reports.HEADER)

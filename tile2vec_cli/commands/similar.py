"""`tile2vec similar`: the tiles that look like given ones."""

from __future__ import annotations

from tile2vec_cli.commands import options
from tile2vec_cli.config.views import SimilarConfig
from tile2vec_cli.console import Console


def similar(
    embeddings: options.Embeddings,
    *,
    config: SimilarConfig,
    out: options.TableOut = None,
    tiles: options.PictureTiles = None,
    picture: options.Picture = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the tiles whose vectors are nearest to those of example tiles.

    The search is exact. The distance is the Euclidean one to the nearest example; the examples
    themselves are left out. Rows of other people's files without a tile_id are named by their number,
    from 0. Beside each output a file OUTPUT.json says what it was made from.

    Example: tile2vec similar embeddings.parquet --to=-97.81,39.77 --tiles tiles --picture near.png
    """
    options.require_both(tiles, picture)
    console = Console("similar", quiet, json)

    from tile2vec_cli.views import near_tables, similar_reports
    from tile2vec_cli.views.near_reports import Outputs

    with console.progress("similar", "rows") as on_progress:
        outputs = Outputs(out, tiles, picture, config.rgb, overwrite)
        report = similar_reports.run(embeddings, config, outputs, on_progress)
    if report.keys["ruled_out"]:
        console.say(f"{report.keys['ruled_out']:,} tiles are nearer to a counter-example and left out.")
    found = report.keys["similar"]
    if len(found) < config.top:
        console.say(f"{len(found):,} tiles are all there are.")
    console.report(
        report.keys,
        inputs=[embeddings, *([tiles] if tiles else [])],
        outputs=report.files,
        rows=[near_tables.cells(row) for row in found],
        header=near_tables.HEADER,
        up_to_date=report.up_to_date,
    )

"""`tile2vec similar`: the tiles that look like given ones."""

from __future__ import annotations

from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.rules import parse_ints
from tile2vec_cli.config.views import SimilarConfig
from tile2vec_cli.console import Console

_EXAMPLE = "TILE_ID|X,Y|@ids.txt"


def similar(
    embeddings: options.Embeddings,
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            metavar=_EXAMPLE,
            help="Example: a tile, the tile at longitude,latitude, or a file with one a line. Repeatable.",
        ),
    ],
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--not",
            metavar=_EXAMPLE,
            help="Counter-example: tiles nearer to it than to the examples are left out. Repeatable.",
        ),
    ] = None,
    part: options.Part = None,
    top: Annotated[int, typer.Option(help="How many tiles to find.")] = SimilarConfig.top,
    out: options.TableOut = None,
    tiles: options.PictureTiles = None,
    picture: options.Picture = None,
    rgb: options.Rgb = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the tiles whose vectors are nearest to those of example tiles.

    The search is exact. The distance is the Euclidean one to the nearest example; the examples
    themselves are left out. Rows of other people's files that have no tile_id go by their number,
    from 0. Beside each output a file OUTPUT.json says what it was made from.

    Example: tile2vec similar embeddings.parquet --to=-97.81,39.77 --tiles tiles --picture near.png
    """
    config = SimilarConfig(
        to=tuple(to),
        without=tuple(without or ()),
        part=part,
        top=top,
        rgb=None if rgb is None else parse_ints("--rgb", rgb),
    )
    console = Console("similar", quiet, json)

    from tile2vec_cli.api import looking
    from tile2vec_cli.views import near_tables

    with console.progress("similar", "rows") as on_progress:
        done = looking.similar(
            embeddings,
            config,
            out=out,
            tiles=tiles,
            picture=picture,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if done.keys["ruled_out"]:
        console.say(f"{done.keys['ruled_out']:,} tiles are nearer to a counter-example and left out.")
    found = done.keys["similar"]
    if len(found) < top:
        console.say(f"{len(found):,} tiles are all there are.")
    console.show(done, [near_tables.cells(row) for row in found], near_tables.HEADER)

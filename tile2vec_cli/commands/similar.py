"""`tile2vec similar`: the tiles that look like given ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.rules import parse_ints, parse_place
from tile2vec_cli.config.views import SimilarConfig
from tile2vec_cli.console import Console
from tile2vec_cli.errors import DataError, InputError, UsageError

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
    tiles: Annotated[
        Path | None,
        typer.Option(
            "--tiles",
            metavar="TILES",
            help="The tile set that was embedded: for --picture, and --raster in its scenes' CRSs.",
        ),
    ] = None,
    picture: options.Picture = None,
    raster: Annotated[
        Path | None,
        typer.Option(
            "--raster",
            metavar="PATH",
            help="Map of the distance of every tile: .tif, a pixel a tile, one COG per CRS of the scenes.",
        ),
    ] = None,
    rgb: options.Rgb = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the tiles whose vectors are nearest to those of example tiles.

    The search is exact. The distance is the Euclidean one to the nearest example; the examples
    themselves are left out. Rows of other people's files that have no tile_id go by their number,
    from 0. Beside each output a file OUTPUT.json says what it was made from.

    --raster maps the distance: 0 at the examples, NaN where there is no tile or one nearer to a
    counter-example. Of several dates of one place the newest is shown. Maps are in the CRSs of the
    scenes where --tiles are given, else as `preview` has them.

    Example: tile2vec similar embeddings.parquet --to=-97.81,39.77 --tiles tiles --picture near.png
    """
    if raster is None or picture is not None:
        options.require_both(tiles, picture)
    config = SimilarConfig(
        to=_examples("--to", to),
        without=_examples("--not", without or []),
        part=part,
        top=top,
        rgb=None if rgb is None else parse_ints("--rgb", rgb),
    )
    console = Console("similar", quiet, json)

    from tile2vec_cli.views import near_tables, similar_reports
    from tile2vec_cli.views.near_reports import Outputs

    with console.progress("similar", "rows") as on_progress:
        outputs = Outputs(out, tiles, picture, config.rgb, overwrite, raster)
        report = similar_reports.run(embeddings, config, outputs, on_progress)
    if report.keys["ruled_out"]:
        console.say(f"{report.keys['ruled_out']:,} tiles are nearer to a counter-example and left out.")
    found = report.keys["similar"]
    if len(found) < top:
        console.say(f"{len(found):,} tiles are all there are.")
    console.report(
        report.keys,
        inputs=[embeddings, *([tiles] if tiles else [])],
        outputs=report.files,
        rows=[near_tables.cells(row) for row in found],
        header=near_tables.HEADER,
        up_to_date=report.up_to_date,
    )


def _examples(option: str, texts: Sequence[str]) -> tuple[str | tuple[float, float], ...]:
    """tile_ids and places, those of @files among them, each once."""
    found: list[str | tuple[float, float]] = []
    for text in texts:
        if text.startswith("@"):
            lines = [line.strip() for line in _read(text[1:]).splitlines() if line.strip()]
            if not lines:
                raise DataError(f"{text[1:]}: is empty; {option} needs one tile_id or X,Y a line.")
            found += map(parse_place, lines)
        elif text.strip():
            found.append(parse_place(text.strip()))
        else:
            raise UsageError(f"{option}: names nothing; needs a tile_id, X,Y or @ids.txt.")
    return tuple(dict.fromkeys(found))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; a list of tile_ids is needed. Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 text; a list of tile_ids, one a line, is needed.") from error

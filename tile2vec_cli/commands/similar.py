"""`tile2vec similar`: the tiles that look like given ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config import SimilarConfig, parse_ints
from tile2vec_cli.console import Console
from tile2vec_cli.errors import DataError, InputError, UsageError

_EXAMPLE = "TILE_ID|X,Y|@ids.txt"


def similar(
    embeddings: Annotated[
        Path,
        typer.Argument(
            metavar="EMBEDDINGS",
            help="File or folder of `embed`, or any GeoParquet with a column `embedding` of lists.",
        ),
    ],
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
    top: Annotated[int, typer.Option(help="How many tiles to find.")] = SimilarConfig.top,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="File of the result: .parquet, .geojson or .csv."),
    ] = None,
    tiles: Annotated[
        Path | None,
        typer.Option("--tiles", metavar="TILES", help="The tile set that was embedded, for --picture."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="PNG", help="Contact sheet of the examples and what was found."),
    ] = None,
    rgb: Annotated[
        str | None,
        typer.Option(metavar="1,2,3", help="Bands of the tile set to show (default: the first three)."),
    ] = None,
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
    if (tiles is None) != (picture is None):
        raise UsageError("--picture and --tiles: the one needs the other. Give both or neither.")
    config = SimilarConfig(
        to=_examples("--to", to),
        without=_examples("--not", without or []),
        top=top,
        rgb=None if rgb is None else parse_ints("--rgb", rgb),
    )
    console = Console("similar", quiet, json)

    from tile2vec_cli import similar_reports

    with console.progress("similar", "rows") as on_progress:
        report = similar_reports.run(
            embeddings,
            config,
            out=out,
            tiles=tiles,
            picture=picture,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if report.keys["ruled_out"]:
        console.say(f"{report.keys['ruled_out']:,} tiles are nearer to a counter-example and left out.")
    found = report.keys["similar"]
    if len(found) < top:
        console.say(f"{len(found):,} tiles are all there are.")
    console.report(
        report.keys,
        inputs=[embeddings, *([tiles] if tiles else [])],
        outputs=report.files,
        # As text: a table's numbers have four digits, which is a hundred metres here.
        rows=[
            [
                row["rank"],
                str(row["tile_id"]),
                row["distance"],
                f"{row['longitude']:.6f}",
                f"{row['latitude']:.6f}",
            ]
            for row in found
        ],
        header=["rank", "tile_id", "distance", "longitude", "latitude"],
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
            found += map(_example, lines)
        elif text.strip():
            found.append(_example(text.strip()))
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


def _example(text: str) -> str | tuple[float, float]:
    """A place where the text is two numbers, else a tile_id."""
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError:
        return text
    return x, y

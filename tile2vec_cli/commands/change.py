"""`tile2vec change`: where the ground is not what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.rules import parse_ints
from tile2vec_cli.config.views import ChangeConfig
from tile2vec_cli.console import Console

_GLOB = "GLOB"


def change(
    before: Annotated[
        Path,
        typer.Argument(metavar="BEFORE", help="Embeddings of the one date: a file or folder of `embed`."),
    ],
    after: Annotated[
        Path, typer.Argument(metavar="AFTER", help="Embeddings of the second date, by the same model.")
    ],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            metavar="PATH",
            help="File of all places: .parquet, .geojson or .csv, or .tif for a map of one pixel a tile. "
            "Repeatable.",
        ),
    ] = None,
    before_scenes: Annotated[
        list[str] | None,
        typer.Option(metavar=_GLOB, help="Scenes of BEFORE to compare, such as '*2014*'. Repeatable."),
    ] = None,
    after_scenes: Annotated[
        list[str] | None, typer.Option(metavar=_GLOB, help="Scenes of AFTER to compare. Repeatable.")
    ] = None,
    part: options.Part = None,
    top: Annotated[
        int, typer.Option(help="How many of the most changed to name and to show.")
    ] = ChangeConfig.top,
    within: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="How far apart the centres of a pair may lie (default: half a tile's side).",
        ),
    ] = None,
    centre: Annotated[
        bool,
        typer.Option(
            "--centre/--no-centre", help="Take away what the two dates differ in everywhere, such as light."
        ),
    ] = ChangeConfig.centre,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="PICTURE",
            help="Contact sheet of the most changed, before and after: .png, .svg or .pdf.",
        ),
    ] = None,
    tiles_before: Annotated[
        Path | None,
        typer.Option("--tiles-before", metavar="TILES", help="Tile set of BEFORE, for --picture."),
    ] = None,
    tiles_after: Annotated[
        Path | None,
        typer.Option(
            "--tiles-after", metavar="TILES", help="That of AFTER (default: the same); maps are in its CRSs."
        ),
    ] = None,
    rgb: options.Rgb = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Rank places by how far their vectors moved between two dates.

    Tiles are paired by place; cut both dates with --snap, so that they coincide. The distance is
    the Euclidean one after the mean difference between the dates has been taken away; `relative`
    gives it in units of the median. Files that hold several dates are given with the scenes to take:
    --before-scenes '*2014*' --after-scenes '*2017*'.

    Example: tile2vec change 2014.parquet 2017.parquet --out change.tif --out change.parquet
    """
    config = ChangeConfig(
        before_scenes=tuple(before_scenes or ()),
        after_scenes=tuple(after_scenes or ()),
        part=part,
        within_m=within,
        centre=centre,
        top=top,
        rgb=None if rgb is None else parse_ints("--rgb", rgb),
    )
    console = Console("change", quiet, json)

    from tile2vec_cli.api import looking

    with console.progress("change", "rows") as on_progress:
        done = looking.change(
            before,
            after,
            config,
            out=out or (),
            tiles_before=tiles_before,
            tiles_after=tiles_after,
            picture=picture,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    keys = done.keys
    console.say(_remark(keys))
    for name, path in (("before", before), ("after", after)):
        if keys[f"spare_{name}"]:
            console.say(
                f"{keys[f'spare_{name}']:,} tiles of {path} are left out: others of it show the same places. "
                f"--{name}-scenes chooses a date."
            )
    if centre and not keys["centred"]:
        console.say("Too few places to tell light from change: nothing was taken away from the distances.")
    names = ("rank", "tile_id_before", "tile_id_after", "distance", "relative", "apart_m")
    console.show(done, [[row[name] for name in names] for row in keys["changed"]], names)


def _remark(keys: dict[str, Any]) -> str:
    lonely = keys["unmatched_before"], keys["unmatched_after"]
    apart = keys["apart_m"]
    return (
        f"{keys['pairs']:,} places compared, {apart['median']:.3g} m apart (at most {apart['max']:.3g} m); "
        f"{lonely[0]:,} tiles before and {lonely[1]:,} after have no partner."
    )

"""`tile2vec change`: where the ground is not what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.views import ChangeConfig
from tile2vec_cli.console import Console


def change(
    before: Path = option(flag="BEFORE", help="Embeddings of the first date: a file or folder of `embed`."),
    after: Path = option(flag="AFTER", help="Embeddings of the second date, by the same model."),
    *,
    out: list[Path] | None = option(
        None,
        metavar="PATH",
        help="File of all places: .parquet, .geojson or .csv, or .tif for a map of one pixel per tile. "
        "Repeatable.",
    ),
    config: ChangeConfig,
    picture: Path | None = option(
        None,
        metavar="PICTURE",
        help="Contact sheet of the most changed, before and after: .png, .svg or .pdf.",
    ),
    tiles_before: Path | None = option(None, metavar="TILES", help="Tile set of BEFORE, for --picture."),
    tiles_after: Path | None = option(
        None, metavar="TILES", help="That of AFTER (default: the same); maps are in its CRSs."
    ),
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Rank places by how far their vectors moved between two dates.

    Tiles are paired by place; cut both dates with --snap, so that they coincide. The distance is
    the Euclidean one after the mean difference between the dates has been subtracted; `relative`
    gives it in units of the median. Where a file holds several dates, choose the scenes:
    --before-scenes '*2014*' --after-scenes '*2017*'.

    Example: tile2vec change 2014.parquet 2017.parquet --out change.tif --out change.parquet
    """
    done = call("change", "rows")
    keys = done.keys
    console.say(_remark(keys))
    for name, path in (("before", before), ("after", after)):
        if keys[f"spare_{name}"]:
            console.say(
                f"{keys[f'spare_{name}']:,} tiles of {path} are left out: others of it show the same places. "
                f"--{name}-scenes chooses a date."
            )
    if config.centre and not keys["centred"]:
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

"""`tile2vec tile`: scenes into a tile set."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.console import Console


def tile(
    scenes: options.Scenes,
    out: Path = option(help="The tile set: a folder."),
    *,
    config: TileConfig,
    aoi: Path | None = option(None, help="Vector file: only tiles whose centre lies in its polygons."),
    layer: options.Layer = None,
    recursive: options.Recursive = False,
    name_by: options.NameBy = "file",
    shard: options.ShardText = None,
    workers: options.Workers = None,
    dask: options.Dask = None,
    strict: options.Strict = False,
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Cut scenes into tiles: memory-mappable pixels and a GeoParquet index.

    Run it again with more scenes, and only those are cut.

    Example: tile2vec tile scenes/ --out tiles --size 50 --min-valid 1.0
    """
    done = call("tile", "tiles")
    console.left_out(aoi, {} if aoi is None else done.left_out)
    console.show(done)

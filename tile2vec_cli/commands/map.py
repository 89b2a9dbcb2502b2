"""`tile2vec map`: whole scenes into maps of the class."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.console import Console


def map_scenes(
    scenes: options.Scenes,
    model: Path = option(metavar="MODEL", help="A model, made by `weak-segment`."),
    out: Path = option(metavar="PATH", help="Folder: one GeoTIFF per scene; or a .tif, for one scene."),
    *,
    config: MapConfig,
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
    """Map scenes of any size with a model of weak-segment: Cloud-Optimized GeoTIFFs without seams.

    Band 1 holds 1 for the class, 0 for the rest, 255 for no data. Run it again, and only scenes that
    are new or have changed are mapped.

    Example: tile2vec map scenes/ --model cropland --out maps
    """
    done = call("Map", "pixels")
    console.show(done)

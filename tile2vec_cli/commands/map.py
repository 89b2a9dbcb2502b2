"""`tile2vec map`: whole scenes into maps of the class."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
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
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Map scenes of any size with a model of weak-segment: Cloud-Optimized GeoTIFFs without seams.

    Band 1 holds 1 for the class, 0 for the rest, 255 for no data. Run it again, and only scenes that
    are new or have changed are mapped.

    Example: tile2vec map scenes/ --model cropland --out maps
    """
    console = Console("map", quiet, json)

    from tile2vec_cli.api import mapping

    with console.progress("Map", "pixels") as on_progress:
        done = mapping.map_scenes(
            scenes,
            model,
            out,
            config,
            recursive=recursive,
            name_by=name_by,
            shard=shard,
            workers=workers,
            dask=dask,
            strict=strict,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    console.show(done)

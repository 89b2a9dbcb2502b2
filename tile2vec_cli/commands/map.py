"""`tile2vec map`: whole scenes into maps of the class."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.console import Console
from tile2vec_cli.outputs.parts import Shard


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
    own, crew = Shard.parse(shard), options.crew(workers, dask)
    console = Console("map", quiet, json)

    from tile2vec_cli.segmentation import mapping

    chosen = options.choose(scenes, recursive, config.stack, name_by)
    for remark in chosen.remarks:
        console.say(remark)
    with console.progress("Map", "pixels") as on_progress:
        report = mapping.run(
            chosen.scenes,
            model,
            out,
            config,
            names=chosen.names,
            shard=own,
            workers=crew,
            strict=strict,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    console.report(
        {
            "scenes": report.scenes,
            "made": report.made,
            "pixels": report.pixels,
            "maps": report.maps,
            **({"left_out": chosen.left_out} if chosen.left_out else {}),
            "failed": [failure.name for failure in report.failed],
        },
        inputs=[*scenes, model],
        outputs=[out],
        up_to_date=not report.made and not report.failed,
    )
    console.finish(report.failed, report.made, len(report.maps) - report.made)

"""`tile2vec tile`: scenes into a tile set."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.console import Console
from tile2vec_cli.errors import UsageError
from tile2vec_cli.outputs.parts import Shard


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
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Cut scenes into tiles: memory-mappable pixels and a GeoParquet index.

    Run it again with more scenes, and only those are cut.

    Example: tile2vec tile scenes/ --out tiles --size 50 --min-valid 1.0
    """
    if layer is not None and aoi is None:
        raise UsageError("--layer: names a layer of --aoi. Give both or neither.")
    own, crew = Shard.parse(shard), options.crew(workers, dask)
    console = Console("tile", quiet, json)

    from tile2vec_cli.tiling import cutting

    chosen = options.choose(scenes, recursive, config.stack, config.assets, name_by)
    for remark in chosen.remarks:
        console.say(remark)
    with console.progress("tile", "tiles") as on_progress:
        report = cutting.cut(
            chosen.scenes,
            out,
            config,
            names=chosen.names,
            facts=chosen.facts,
            aoi=aoi,
            layer=layer,
            shard=own,
            workers=crew,
            strict=strict,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    console.left_out(aoi, report.left_out)
    left_out = {**report.left_out, **chosen.left_out}
    if config.alpha == "auto" and report.made:
        for use, count in report.alpha.items():
            holds = "only 0 and 255: taken as a mask" if use == "mask" else "other values too: taken as data"
            console.say(
                f"Scenes with a band tagged alpha that holds {holds}: {count}. --alpha decides otherwise."
            )
    console.report(
        {
            "tiles": report.tiles,
            "parts": report.parts,
            "made": report.made,
            "skipped": report.skipped,
            **({"left_out": left_out} if left_out else {}),
            "failed": [failure.name for failure in report.failed],
        },
        inputs=scenes,
        outputs=[out],
        up_to_date=not report.made and not report.failed,
    )
    console.finish(report.failed, report.made, report.parts - report.made)

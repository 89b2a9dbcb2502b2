"""`tile2vec tile`: scenes into a tile set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.config.rules import parse_assets, parse_ints, parse_stack
from tile2vec_cli.console import Console
from tile2vec_cli.errors import UsageError
from tile2vec_cli.outputs.parts import Shard


def tile(
    scenes: options.Scenes,
    out: Annotated[Path, typer.Option("--out", help="The tile set: a folder.")],
    size: Annotated[int, typer.Option(help="Side of a tile in pixels.")] = TileConfig.size,
    stride: Annotated[
        int | None, typer.Option(help="Pixels from window to window (default: the size).")
    ] = None,
    bands: Annotated[
        str | None, typer.Option(metavar="1,2,3,4", help="Bands to cut, in this order (default: all).")
    ] = None,
    alpha: Annotated[
        str,
        typer.Option(
            metavar="auto|mask|data",
            help="What a band tagged alpha is; auto: a mask where it holds only 0 and 255.",
        ),
    ] = TileConfig.alpha,
    min_valid: Annotated[
        float, typer.Option(help="Share of a tile's pixels that must be valid in every band.")
    ] = TileConfig.min_valid,
    nodata: Annotated[
        float | None, typer.Option(help="Value that stands for no data, beside what scenes declare.")
    ] = None,
    scaled: Annotated[
        bool,
        typer.Option(
            "--scaled", help="Apply the scenes' scale and offset: float32 pixels, NaN where invalid."
        ),
    ] = False,
    any_names: options.AnyNames = False,
    aoi: Annotated[
        Path | None, typer.Option(help="Vector file: only tiles whose centre lies in its polygons.")
    ] = None,
    layer: options.Layer = None,
    snap: Annotated[
        bool, typer.Option("--snap", help="Windows start at multiples of the tile's side on the map.")
    ] = False,
    virtual: Annotated[
        bool,
        typer.Option("--virtual", help="An index only: pixels are read from the scenes, which have to stay."),
    ] = False,
    recursive: options.Recursive = False,
    stack: options.Stack = None,
    assets: options.Assets = None,
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
    config = TileConfig(
        size=size,
        stride=stride,
        bands=None if bands is None else parse_ints("--bands", bands),
        alpha=alpha,
        min_valid=min_valid,
        nodata=nodata,
        snap=snap,
        virtual=virtual,
        scaled=scaled,
        any_names=any_names,
        stack=parse_stack(stack),
        assets=parse_assets(assets),
    )
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
    if alpha == "auto" and report.made:
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

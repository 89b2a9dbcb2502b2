"""`tile2vec tile`: scenes into a tile set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.config.rules import parse_ints, parse_stack
from tile2vec_cli.console import Console


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
    )
    console = Console("tile", quiet, json)

    from tile2vec_cli.api import tiling

    with console.progress("tile", "tiles") as on_progress:
        done = tiling.tile(
            scenes,
            out,
            config,
            aoi=aoi,
            layer=layer,
            recursive=recursive,
            name_by=name_by,
            shard=shard,
            workers=workers,
            dask=dask,
            strict=strict,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    console.left_out(aoi, {} if aoi is None else done.left_out)
    console.show(done)

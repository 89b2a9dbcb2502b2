"""`tile2vec map`: whole scenes into maps of the class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.rules import parse_ints, parse_stack
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.console import Console

_DEFAULT = MapConfig()


def map_scenes(
    scenes: options.Scenes,
    model: Annotated[Path, typer.Option("--model", metavar="MODEL", help="A model, made by `weak-segment`.")],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="PATH", help="Folder: a GeoTIFF a scene; or a .tif, for one scene."),
    ],
    probability: Annotated[
        bool, typer.Option("--probability", help="Also write PATH.probability.tif: float32, NaN no data.")
    ] = False,
    any_resolution: Annotated[
        bool, typer.Option("--any-resolution", help="Map scenes of another resolution than the model's, too.")
    ] = False,
    bands: Annotated[
        str | None,
        typer.Option(
            metavar="1,2,3,4", help="The scenes' bands, in the model's order (default: as it was trained)."
        ),
    ] = None,
    any_names: options.AnyNames = False,
    window: Annotated[
        int, typer.Option(help="Side in pixels of what the network sees at a time.")
    ] = _DEFAULT.window,
    recursive: options.Recursive = False,
    stack: options.Stack = None,
    name_by: options.NameBy = "file",
    device: options.Device = _DEFAULT.device,
    precision: options.Precision = _DEFAULT.precision,
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
    config = MapConfig(
        probability=probability,
        any_resolution=any_resolution,
        bands=None if bands is None else parse_ints("--bands", bands),
        any_names=any_names,
        window=window,
        stack=parse_stack(stack),
        device=device,
        precision=precision,
    )
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

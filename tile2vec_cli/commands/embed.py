"""`tile2vec embed`: a vector for every tile."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.pipeline import EmbedConfig
from tile2vec_cli.console import Console
from tile2vec_cli.outputs.parts import Shard


def embed(
    tiles: options.Tiles,
    model: Path = option(metavar="MODEL", help="A model, made by `train`."),
    out: Path = option(
        metavar="EMBEDDINGS", help="One file if it ends in .parquet, else a folder: one file per part."
    ),
    *,
    config: EmbedConfig,
    shard: options.ShardText = None,
    workers: options.Workers = None,
    dask: options.Dask = None,
    strict: options.Strict = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Embed every tile with a trained model: vectors and footprints as GeoParquet.

    A folder gets a file for each part of the tile set, and only those that are missing or whose part
    has changed: run it again after `tile` has cut new scenes. int8 vectors are to be multiplied by
    the scale in the file's metadata.

    Example: tile2vec embed tiles --model model --out embeddings.parquet --dtype float16
    """
    console = Console("embed", quiet, json)
    own = Shard.parse(shard)
    crew = options.crew(workers, dask)

    from tile2vec_cli.embedding import inference

    with console.progress("Embed", "tiles") as on_progress:
        report = inference.embed(
            tiles,
            model,
            out,
            config,
            shard=own,
            workers=crew,
            strict=strict,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    if report.others:
        console.say(f"{out}: {report.others} files belong to parts that {tiles} does not hold; they stay.")
    keys = {**asdict(report), "failed": [failure.name for failure in report.failed]}
    up_to_date = not report.made and not report.failed
    console.report(keys, inputs=[tiles, model], outputs=[out], up_to_date=up_to_date)
    console.finish(report.failed, report.made, report.parts - report.made)

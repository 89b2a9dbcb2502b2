"""`tile2vec embed`: a vector for every tile."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.pipeline import EmbedConfig
from tile2vec_cli.console import Console


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
    console: Console,
    call: Call,
) -> None:
    """Embed every tile with a trained model: vectors and footprints as GeoParquet.

    A folder gets a file for each part of the tile set, and only those that are missing or whose part
    has changed: run it again after `tile` has cut new scenes. int8 vectors are to be multiplied by
    the scale in the file's metadata.

    Example: tile2vec embed tiles --model model --out embeddings.parquet --dtype float16
    """
    done = call("Embed", "tiles")
    others, removed = (done.keys[key] for key in ("others", "removed"))
    if others:
        console.say(f"{out}: {others} files are of no part of {tiles}; they stay as they are.")
    if removed:
        console.say(f"{out}: removed {removed} files of parts that scenes are no longer cut into.")
    console.show(done)

"""Triplets into a model, tiles through a model into vectors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tile2vec_cli.api.models import Model
from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.api.vectors import of_tiles
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.pipeline import EmbedConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import UsageError
from tile2vec_cli.job import launch
from tile2vec_cli.job.resources import worker_count
from tile2vec_cli.learning import training
from tile2vec_cli.outputs.parts import Progress, silent, sweep
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.workers.clusters import crew
from tile2vec_cli.workers.work import Shard


def train(
    triplets: Path,
    tiles: Path,
    out: Path,
    config: TrainConfig,
    *,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[Model]:
    """Train an encoder on triplets, so that near tiles get near vectors: the model folder `out`.

    Stopped, the same call goes on where it was. Progress is in triplets.
    """
    process = launch.find()
    if not process.rank:
        sweep(out.parent)
    report = training.train(
        triplets, tiles, out, config, overwrite=overwrite, launch=process, on_progress=on_progress
    )
    keys = {name: value for name, value in asdict(report).items() if value != {}}
    up_to_date = keys.pop("up_to_date")
    given = () if config.labels is None else LabelSource.of(config.labels).given
    inputs = [triplets, tiles, *given, *([config.init] if config.init else [])]
    return Outcome("train", keys, inputs, [out], up_to_date, open=lambda found: Model.open(out, found))


def embed(
    tiles: Path,
    model: Path,
    config: EmbedConfig,
    *,
    out: Path | None = None,
    shard: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    strict: bool = False,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[Embeddings]:
    """Embed every tile with a model: into the file or folder `out` or, without it, into memory.

    In memory row i is tile i; files are sorted by place, and tile_id names their rows.
    """
    if out is None:
        if config.dtype != EmbedConfig.dtype or shard is not None or dask is not None:
            raise UsageError("--dtype, --shard and --dask: are of what is written. Give --out as well.")
        tile_set, count = TileSet.open(tiles), worker_count(workers)
        vectors = inference.vectors(tile_set, model, config, count, on_progress)
        keys = {"tiles": len(vectors), "dim": vectors.shape[1]}
        return Outcome(
            "embed",
            keys,
            [tiles, model],
            [],
            open=lambda found: of_tiles(tile_set, vectors, inference.made_by(model, config), found),
        )
    own, hands = Shard.parse(shard), crew(workers, dask)
    report = inference.embed(
        tiles,
        model,
        out,
        config,
        shard=own,
        workers=hands,
        strict=strict,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    return Outcome.of_units(
        "embed",
        asdict(report),
        [tiles, model],
        out,
        units=report.parts,
        made=report.made,
        failed=report.failed,
        open=lambda found: Embeddings.open(out, found),
    )

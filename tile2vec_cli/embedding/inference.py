"""Tiles to embeddings with a trained encoder: what is there already, and the parts that are missing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tile2vec_cli.config.pipeline import EmbedConfig
from tile2vec_cli.embedding import embedding_files
from tile2vec_cli.embedding import embedding_outputs as outputs
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embedding_outputs import Files, largest
from tile2vec_cli.embedding.forward import Forward
from tile2vec_cli.errors import Failure, OutputError, Tile2VecError, UsageError
from tile2vec_cli.geo import geoparquet
from tile2vec_cli.neural import device, encoders, models
from tile2vec_cli.neural.batches import ahead
from tile2vec_cli.outputs import parts
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.spools import Spool, release
from tile2vec_cli.tiling import likeness
from tile2vec_cli.tiling.tile_files import DATETIME, Part, is_dated
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.workers import work
from tile2vec_cli.workers.work import Advance, Elsewhere, Shard

_WRITERS = 4  # most of a small file's time is spent waiting for the disk


@dataclass(frozen=True)
class EmbedReport:
    """What a run came to. Counts are of this shard's parts, made now or before."""

    tiles: int
    tiles_per_second: float | None  # of the parts made now, their writing included
    dim: int
    parts: int
    made: int
    others: int  # files in the folder that are of no part of the tile set; they are left alone
    removed: int  # files of parts that their scene is no longer cut into
    failed: list[Failure] = field(default_factory=list)


def embed(
    tiles_path: Path,
    model_path: Path,
    out: Path,
    config: EmbedConfig,
    *,
    shard: Shard | None = None,
    workers: int | Elsewhere | None = None,
    strict: bool = False,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> EmbedReport:
    """Embed every tile: into one file where `out` ends in .parquet, else into one file per part.

    What is there already, made of the same tiles with the same model and settings, stays; a folder whose
    model has changed since, in its place, is made anew. `workers` are the network's threads, or workers
    elsewhere, each with a network of its own; progress is in tiles. Raises DataError where the model
    does not fit the tiles, or where `out` was made otherwise (unless `overwrite`).
    """
    one_file = out.suffix == ".parquet"
    tiles = TileSet.open(tiles_path, strict=strict or one_file)
    model = models.describe(model_path)
    models.require_fit(model_path, model, tiles)
    otherwise = likeness.note_scaling(tiles.scaling, model.scaling, str(tiles.path))
    likeness.remark_scaling(otherwise, model.scaling, "the model's")
    header = made_by(model_path, config)
    present = [part for part in tiles.parts if part.count]
    others = outputs.Others(0, 0)
    if one_file:
        if (shard or Shard()).count > 1 or isinstance(workers, Elsewhere):
            option = "--dask" if isinstance(workers, Elsewhere) else "--shard"
            raise UsageError(
                f"{option}: {out} is one file; its parts need a folder. Leave .parquet out of --out."
            )
        own, todo = present, [] if outputs.is_current(out, present, header, overwrite) else present
    else:
        outputs.open_folder(out, header, model_path, overwrite)
        own = (shard or Shard()).take(present)
        todo = [part for part in own if not outputs.is_made(out, part, header, overwrite)]
        others = outputs.sweep(out, tiles)
    seconds = 0.0
    failed: list[Failure] = []
    if todo:
        files = Files.of(tiles, header)
        if isinstance(workers, Elsewhere):
            started = time.monotonic()
            failed = _elsewhere(workers, model_path, config, files, out, todo, strict, on_progress)
        else:
            forward = load(model_path, config, workers)
            started = time.monotonic()
            if one_file:
                _into_file(forward, files, out, todo, on_progress)
            else:
                failed = _into_folder(forward, files, out, todo, strict, on_progress)
        seconds = time.monotonic() - started
    bad = {failure.name for failure in failed}
    made = [part for part in todo if part.name not in bad]
    return EmbedReport(
        tiles=sum(part.count for part in own if part.name not in bad),
        tiles_per_second=round(sum(part.count for part in made) / seconds, 1) if made else None,
        dim=model.dim,
        parts=len(own) - len(bad),
        made=len(made),
        others=others.kept,
        removed=others.removed,
        failed=[*tiles.failed, *failed],
    )


def vectors(
    tiles: TileSet,
    model_path: Path,
    config: EmbedConfig,
    workers: int | None = None,
    on_progress: Progress = silent,
) -> Vectors:
    """(N, D) vectors of all tiles, in their order and in memory; errors as of `embed`."""
    models.require_fit(model_path, models.describe(model_path), tiles)
    forward = load(model_path, config, workers)
    present = [part for part in tiles.parts if part.count]
    return np.concatenate([found for _, found in _all_good(forward.vectors(present, on_progress))])


def load(path: Path, config: EmbedConfig, workers: int | None = None) -> Forward:
    """The encoder of a model folder, ready to embed. Raises InputError and DataError."""
    runtime = device.choose(config.device, config.precision)
    if workers is not None:
        torch.set_num_threads(workers)
    encoder, model = models.load_encoder(path, torch.device("cpu"))
    batch_size = config.batch_size or encoders.tiles_a_pass(model.architecture["encoder"], runtime.name)
    return Forward(encoders.fused(encoder).to(runtime.device), runtime, batch_size)


def made_by(model_path: Path, config: EmbedConfig) -> dict[str, Any]:
    """What a footer says of the model and the settings."""
    architecture = models.describe(model_path).architecture
    sizes = {embedding_files.PART_SIZES: encoders.part_sizes(architecture)} if "place" in architecture else {}
    return {
        "model": models.fingerprint(model_path),
        "architecture": architecture,
        "settings": config.settings(),
        **sizes,
    }


# --- the work ---------------------------------------------------------------------------------


def _into_folder(
    forward: Forward, files: Files, out: Path, todo: list[Part], strict: bool, on_progress: Progress
) -> list[Failure]:
    """One file per part, written while the next parts are embedded. Returns the parts that failed."""
    failed: list[Failure] = []
    writing: list[tuple[Part, Future[None]]] = []

    def fail(part: Part, error: Tile2VecError) -> None:
        # Output that cannot be written stays so for every part: go no further.
        if strict or isinstance(error, OutputError):
            raise error
        failed.append(Failure.of(part.name, error))

    def settle(most: int) -> None:
        while len(writing) > most:
            part, future = writing.pop(0)
            try:
                future.result()
            except Tile2VecError as error:
                fail(part, error)

    with ThreadPoolExecutor(_WRITERS) as pool:
        try:
            for part, found in forward.vectors(todo, on_progress):
                if isinstance(found, Tile2VecError):
                    fail(part, found)
                else:
                    writing.append((part, pool.submit(files.write, out, part, found)))
                    settle(_WRITERS)
            settle(0)
        finally:  # files at hand are finished, others are not begun
            pool.shutdown(wait=True, cancel_futures=True)
    return failed


def _elsewhere(
    workers: Elsewhere,
    model_path: Path,
    config: EmbedConfig,
    files: Files,
    out: Path,
    todo: list[Part],
    strict: bool,
    on_progress: Progress,
) -> list[Failure]:
    """One file per part, each made by one of the workers. Returns the parts that failed."""
    done = work.each(
        [replace(part, path=part.path.absolute()) for part in todo],
        partial(
            _embed_part, model_path=model_path.absolute(), config=config, files=files, out=out.absolute()
        ),
        name=lambda part: part.name,
        workers=workers,
        strict=strict,
        folder=out,
        total=sum(part.count for part in todo),
        on_progress=on_progress,
    )
    return [result for _, result in done if isinstance(result, Failure)]


def _embed_part(
    part: Part, advance: Advance, *, model_path: Path, config: EmbedConfig, files: Files, out: Path
) -> None:
    """Make one part's file. The model is kept for the parts to come."""
    forward, counted = _kept_forward(model_path, files.header["model"], config), 0

    def on_tiles(done: int, _total: int) -> None:
        nonlocal counted
        advance(done - counted)
        counted = done

    for _, found in forward.vectors([part], on_tiles):
        if isinstance(found, Tile2VecError):
            raise found
        files.write(out, part, found)


@lru_cache(maxsize=1)
def _kept_forward(path: Path, fingerprint: str, config: EmbedConfig) -> Forward:
    models.require_same(path, fingerprint)
    return load(path, config, None)


def _into_file(forward: Forward, files: Files, out: Path, todo: list[Part], on_progress: Progress) -> None:
    """One file, part by part; rows are made and written here while a thread embeds the next parts."""
    parts.sweep(parts.make_folder(out.parent))
    with ExitStack() as stack:
        temporary = stack.enter_context(parts.new_file(out))
        made = _all_good(forward.vectors(todo, on_progress))
        scale = None
        if files.dtype == "int8":  # needs the largest number of all first
            spool = stack.enter_context(Spool(out.parent))
            scale = files.scale(_fill(spool, made))
            made = _spooled(spool, todo)
        dated = any(is_dated(part.index([DATETIME.name])) for part in todo)
        tables = (files.rows(part, vectors, scale, dated) for part, vectors in ahead(made))
        first = next(tables)
        with geoparquet.writer(temporary, first.schema, files.footer(todo, scale)) as append:
            append(first)
            for table in tables:
                append(table)


def _all_good(found: Iterator[tuple[Part, Vectors | Tile2VecError]]) -> Iterator[tuple[Part, Vectors]]:
    for part, vectors in found:
        if isinstance(vectors, Tile2VecError):
            raise vectors
        yield part, vectors


def _fill(spool: Spool, made: Iterator[tuple[Part, Vectors]]) -> float:
    """Write all vectors to the spool; return the largest absolute number."""
    most = 0.0
    for _, vectors in made:
        spool.write(np.ascontiguousarray(vectors))
        most = max(most, largest(vectors))
    return most


def _spooled(spool: Spool, todo: list[Part]) -> Iterator[tuple[Part, Vectors]]:
    buffer, start = spool.mapped(), 0
    every = np.frombuffer(buffer, np.float32).reshape(sum(part.count for part in todo), -1)
    for part in todo:
        yield part, every[start : start + part.count]
        release(buffer)
        start += part.count

"""Scenes into tiles, tiles into triplets."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.config.pipeline import TileConfig, TripletConfig
from tile2vec_cli.config.rules import one_of
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.errors import OutputError, Remark, UsageError
from tile2vec_cli.geo import scene_lists
from tile2vec_cli.geo.scene_lists import Choice
from tile2vec_cli.job.resources import worker_count
from tile2vec_cli.outputs.parts import Progress, new_file, silent, sweep
from tile2vec_cli.tiling import cutting, triplets
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.tiling.triplets import Triplets
from tile2vec_cli.workers.clusters import crew
from tile2vec_cli.workers.work import Shard


def choose(scenes: Sequence[str], config: TileConfig | MapConfig, recursive: bool, name_by: str) -> Choice:
    """The scenes that are meant; what a person should know of them before the work begins is warned of."""
    one_of("--name-by", name_by, ("file", "path"))
    how = {"recursive": recursive, "by_path": name_by == "path"}
    chosen = scene_lists.choose(scenes, stack=config.stack, assets=config.assets, **how)
    for remark in chosen.remarks:
        warnings.warn(remark, Remark, stacklevel=2)
    return chosen


def tile(
    scenes: Sequence[str],
    out: Path,
    config: TileConfig,
    *,
    aoi: Path | None = None,
    layer: str | None = None,
    recursive: bool = False,
    name_by: str = "file",
    shard: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    strict: bool = False,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[TileSet]:
    """Cut scenes into tiles: the tile set at `out`, to which only new or changed scenes are added."""
    if layer is not None and aoi is None:
        raise UsageError("--layer: names a layer of --aoi. Give both or neither.")
    own, hands = Shard.parse(shard), crew(workers, dask)
    chosen = choose(scenes, config, recursive, name_by)
    report = cutting.cut(
        chosen.scenes,
        out,
        config,
        names=chosen.names,
        facts=chosen.facts,
        aoi=aoi,
        layer=layer,
        shard=own,
        workers=hands,
        strict=strict,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    if config.alpha == "auto" and report.made:
        for use, count in report.alpha.items():
            holds = "only 0 and 255: taken as a mask" if use == "mask" else "other values too: taken as data"
            remark = (
                f"Scenes with a band tagged alpha that holds {holds}: {count}. --alpha decides otherwise."
            )
            warnings.warn(remark, Remark, stacklevel=2)
    left_out = {**report.left_out, **chosen.left_out}
    keys = {
        "tiles": report.tiles,
        "parts": report.parts,
        "made": report.made,
        "skipped": report.skipped,
        **({"left_out": left_out} if left_out else {}),
    }
    return Outcome.of_units(
        "tile",
        keys,
        scenes,
        out,
        units=report.parts,
        made=report.made,
        failed=report.failed,
        left_out=report.left_out,
        open=lambda found: replace(TileSet.open(out), report=found),
    )


def sample_triplets(
    tiles: Path,
    config: TripletConfig,
    *,
    out: Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[Triplets]:
    """Draw triplets of tiles, into the file `out` or, without it, into memory."""
    processors = worker_count(workers)
    if out is not None and out.is_dir():
        raise OutputError(f"{out}: is a folder; a file is written here. Give --out a file name.")
    if out is not None:
        sweep(out.parent)
    tile_set = TileSet.open(tiles)
    up_to_date = out is not None and triplets.is_current(out, tile_set, config, overwrite=overwrite)
    if out is not None and up_to_date:
        drawn = triplets.read(out)
    else:
        drawn = triplets.draw(tile_set, config, on_progress, processors)
        if out is not None:
            with new_file(out) as temporary:
                triplets.save(temporary, drawn)
    keys: dict[str, Any] = {
        "triplets": len(drawn),
        "anchors_without_neighbor": drawn.anchors_without_neighbor,
        "anchors_without_distant": drawn.anchors_without_distant,
        "neighbor_m": _spread(drawn.neighbor_m),
        "distant_m": _spread(drawn.distant_m),
    }
    outputs = [] if out is None else [out]
    return Outcome(
        "sample-triplets",
        keys,
        [tiles],
        outputs,
        up_to_date,
        open=lambda found: replace(drawn, path=out, report=found),
    )


def _spread(metres: np.ndarray) -> dict[str, float]:
    return {"min": float(metres.min()), "median": float(np.median(metres)), "max": float(metres.max())}

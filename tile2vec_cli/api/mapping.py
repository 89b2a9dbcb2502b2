"""Weak labels into a segmenter, scenes through it into maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tile2vec_cli.api.models import Model
from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.api.tiling import choose
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.weak import MapConfig, WeakConfig
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.segmentation import mapping
from tile2vec_cli.workers.clusters import crew
from tile2vec_cli.workers.work import Shard


def weak_segment(
    tiles: Path,
    labels: LabelSource,
    out: Path,
    config: WeakConfig,
    *,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[Model]:
    """Train a U-Net to segment one class (cropland) from weak labels: one pixel or one label a tile."""
    from tile2vec_cli.segmentation import weak_reports  # and scikit-learn, which no map needs

    report = weak_reports.run(tiles, labels, out, config, overwrite=overwrite, on_progress=on_progress)
    clean = None if config.evaluate is None else LabelSource.of(config.evaluate)
    inputs = (tiles, labels, clean, config.init)
    return Outcome.of("weak-segment", report, *inputs, open=lambda found: Model.open(out, found))


def map_scenes(
    scenes: Sequence[str],
    model: Path,
    out: Path,
    config: MapConfig,
    *,
    recursive: bool = False,
    name_by: str = "file",
    shard: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    strict: bool = False,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Map scenes of any size with a model of `weak_segment`: Cloud-Optimized GeoTIFFs without seams."""
    own, hands = Shard.parse(shard), crew(workers, dask)
    chosen = choose(scenes, config, recursive, name_by)
    report = mapping.run(
        chosen.scenes,
        model,
        out,
        config,
        names=chosen.names,
        facts=chosen.facts,
        shard=own,
        workers=hands,
        strict=strict,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    keys = {
        "scenes": report.scenes,
        "made": report.made,
        "pixels": report.pixels,
        "maps": report.maps,
        **({"left_out": chosen.left_out} if chosen.left_out else {}),
    }
    units, made, failed = len(report.maps), report.made, report.failed
    return Outcome.of_units("map", keys, [*scenes, model], out, units=units, made=made, failed=failed)

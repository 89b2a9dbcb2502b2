"""Whole scenes through a segmenter: a Cloud-Optimized GeoTIFF of classes a scene, and of probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.errors import DataError, Failure
from tile2vec_cli.geo import fills, scene_facts, signed_urls
from tile2vec_cli.geo.raster_headers import Raster
from tile2vec_cli.geo.scene_facts import Facts
from tile2vec_cli.geo.scene_names import scene_name
from tile2vec_cli.geo.scenes import Scene, open_scene
from tile2vec_cli.job.resources import threads, usable_cpus
from tile2vec_cli.neural import models
from tile2vec_cli.neural.batches import ahead
from tile2vec_cli.neural.device import Runtime, choose
from tile2vec_cli.neural.models import Description
from tile2vec_cli.outputs import cogs
from tile2vec_cli.outputs.cogs import Layer
from tile2vec_cli.outputs.parts import Progress, make_folder, silent, sweep
from tile2vec_cli.segmentation import map_plans, segmenters
from tile2vec_cli.segmentation.map_plans import Mapper, Plan
from tile2vec_cli.segmentation.unet import Segmenter
from tile2vec_cli.segmentation.windows import Layout, Span
from tile2vec_cli.tiling import likeness
from tile2vec_cli.workers import work
from tile2vec_cli.workers.work import Advance, Elsewhere, Shard

NODATA = 255
_COLOURS = {0: (222, 222, 214, 255), 1: (0, 114, 178, 255), NODATA: (0, 0, 0, 0)}
_TOLERANCE = 0.1  # by which a scene's resolution may differ from the model's

Pixels = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class MapReport:
    """What a run came to. Counts are of the scenes named in it, mapped now or before."""

    scenes: int
    made: int  # mapped now
    pixels: int  # mapped now
    maps: list[str]
    failed: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class _Machine:
    """A segmenter on a device, and what model.json says of it."""

    segmenter: Segmenter
    model: Description
    resolution_m: float  # of the scenes it was trained on
    tiles: TileConfig  # how these were read
    runtime: Runtime
    config: MapConfig


def run(
    scenes: Sequence[str],
    model_path: Path,
    out: Path,
    config: MapConfig,
    *,
    names: Mapping[str, str] | None = None,
    facts: Mapping[str, Facts] | None = None,
    shard: Shard | None = None,
    workers: int | Elsewhere = 1,
    strict: bool = False,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> MapReport:
    """Map each scene (absolute paths) that has no map yet, or has changed since, as its model may have.

    `names` are the scenes', by path (default: their files'); `facts` what a catalog says of them, by path.
    `out` is a folder, or a file ending in .tif where there is one scene. Progress is in pixels.
    Raises InputError and DataError for a model that can't be used, UsageError for several scenes and
    one file; what goes wrong with a scene is reported.
    """
    machine = _machine(model_path, config if isinstance(workers, int) else replace(config, device="cpu"))
    model = models.fingerprint(model_path)
    own = (shard or Shard()).take(scenes)
    name = str(machine.model.provenance.get("class", "class"))
    mapper = Mapper(model, model_path, name, config.settings())
    names = names or {scene: scene_name(scene) for scene in scenes}
    given: dict[str, Any] = {"probability": config.probability, "facts": facts or {}}
    plans = map_plans.plans(names, own, out, mapper, **given)
    folder = make_folder(out.parent if map_plans.is_file(out) else out)
    for place in {folder, *(plan.path.parent for plan in plans)}:
        sweep(place)
    each = partial(work.each, name=lambda plan: plan.scene, strict=strict, folder=folder)
    here = max(1, min(workers if isinstance(workers, int) else usable_cpus(), len(plans)))
    results: dict[str, int | Failure] = {}  # by scene: the pixels mapped, or what went wrong
    for plan, made in each(plans, lambda plan, _: plan.is_made(overwrite), workers=here):
        if made is not False:
            results[plan.scene] = made if isinstance(made, Failure) else 0
    todo = [plan for plan in plans if plan.scene not in results]
    rasters = map_plans.rasters(todo)
    _remark(rasters, machine)
    total = sum(raster.height * raster.width for raster in rasters)
    each = partial(each, total=total, on_progress=on_progress)
    if isinstance(workers, int):
        torch.set_num_threads(max(1, threads() // here))
        done = each(todo, partial(_map, machine=machine, overwrite=overwrite), workers=here)
    else:
        load = partial(_kept_machine, model_path.absolute(), model, config)
        do = partial(_map_there, load=load, overwrite=overwrite)
        done = each([plan.absolute() for plan in todo], do, workers=workers)
    results |= {plan.scene: result for plan, result in done}
    pixels = [result for result in results.values() if not isinstance(result, Failure)]
    return MapReport(
        scenes=len(plans),
        made=sum(count > 0 for count in pixels),
        pixels=sum(pixels),
        maps=[str(plan.path) for plan in plans if not isinstance(results[plan.scene], Failure)],
        failed=[found for plan in plans if isinstance(found := results[plan.scene], Failure)],
    )


# --- making it -----------------------------------------------------------------------------------


def _map_there(plan: Plan, advance: Advance, *, load: Callable[[], _Machine], overwrite: bool) -> int:
    """As `_map`, by a worker elsewhere."""
    for address in plan.signed:
        signed_urls.admit(address)
    return _map(plan, advance, machine=load(), overwrite=overwrite)


@lru_cache(maxsize=1)
def _kept_machine(path: Path, fingerprint: str, config: MapConfig) -> _Machine:
    """For a worker elsewhere, which keeps it for the scenes to come."""
    models.require_same(path, fingerprint)
    return _machine(path, config)


def _machine(path: Path, config: MapConfig) -> _Machine:
    runtime = choose(config.device, config.precision)
    segmenter, model = segmenters.load(path, runtime.device)
    resolution_m, tiles = segmenters.origin(path, model)
    if config.bands is not None:
        tiles = replace(tiles, bands=config.bands)
    return _Machine(segmenter, model, resolution_m, tiles, runtime, config)


def _map(plan: Plan, advance: Advance, *, machine: _Machine, overwrite: bool) -> int:
    """Map one scene, unless another run has done so meanwhile; returns the pixels mapped."""
    if plan.is_made(overwrite):
        return 0
    tags = plan.tags_for_ever()
    with ExitStack() as stack:
        scene = stack.enter_context(open_scene(plan.scene, **machine.tiles.reading(), facts=plan.facts))
        _require_fit(scene, machine)
        classes = stack.enter_context(
            cogs.new_cog(plan.path, scene.raster, Layer("uint8", NODATA, "mode", tags, _COLOURS))
        )
        # Left first: where the map of classes is, its probabilities are whole.
        shares = plan.probability and stack.enter_context(
            cogs.new_cog(plan.probability, scene.raster, Layer("float32", math.nan, "average", tags))
        )
        for row, col, probability, valid in predicted(scene, machine):
            found = (probability >= float(machine.segmenter.threshold)).astype(np.uint8)
            classes(row, col, np.where(valid, found, NODATA))
            if shares:
                shares(row, col, np.where(valid, probability, np.nan))
            advance(probability.size)
    return scene.raster.height * scene.raster.width


def predicted(scene: Scene, machine: _Machine) -> Iterator[tuple[int, int, NDArray[np.float32], Mask]]:
    """Row, column, probabilities (H, W) and validity of the cores of the windows over a scene."""
    segmenter, raster = machine.segmenter, scene.raster
    layout = Layout.over(
        raster.height,
        raster.width,
        raster.transform,
        side=machine.config.window,
        margin=segmenter.reach,
        stride=segmenter.stride,
    )
    windows = ((rows, cols, *_read(scene, rows, cols)) for rows, cols in layout)
    for rows, cols, pixels, valid in ahead(windows):
        core = (
            slice(rows.core_start - rows.start, rows.core_stop - rows.start),
            slice(cols.core_start - cols.start, cols.core_stop - cols.start),
        )
        if valid[core].any():
            found = segmenters.probability(segmenter, pixels[None], valid[None], machine.runtime)[0][core]
        else:
            found = np.zeros(valid[core].shape, np.float32)
        yield rows.core_start, cols.core_start, found, valid[core]


def _read(scene: Scene, rows: Span, cols: Span) -> tuple[Pixels, Mask]:
    """Pixels (C, H, W) and validity of a window; what lies beyond the scene is not valid."""
    height, width = rows.stop - rows.start, cols.stop - cols.start
    top, left = max(rows.start, 0), max(cols.start, 0)
    bottom, right = min(rows.stop, scene.raster.height), min(cols.stop, scene.raster.width)
    pixels = np.zeros((len(scene.bands), height, width), scene.dtype)
    valid = np.zeros((height, width), bool)
    inside = (slice(top - rows.start, bottom - rows.start), slice(left - cols.start, right - cols.start))
    found, mask = scene.read(top, bottom, left, right)
    pixels[:, *inside] = found
    valid[inside] = True if mask is None else mask
    return pixels, valid


def _require_fit(scene: Scene, machine: _Machine) -> None:
    model, config = machine.model, machine.config
    if not config.any_names and not scene_facts.bands_agree(scene.names, model.band_names):
        numbers = scene_facts.band_numbers(scene.raster.descriptions, model.band_names)
        choice = f"Map it with --bands {_list(numbers, ',')}" if numbers else "Choose --bands"
        raise DataError(
            f"{scene.path}: its bands are {scene_facts.band_list(scene.names)}; the model is for "
            f"{scene_facts.band_list(model.band_names)}. {choice}, or insist with --any-names that they mean "
            "the same."
        )
    # Bands of a file that were chosen by their names stand wherever they do in it.
    named = config.assets is not None and len(scene.bands) == len(model.bands)
    chosen = named or (config.bands is not None and len(config.bands) == len(model.bands))
    if scene.bands != model.bands and not chosen:
        raise DataError(
            f"{scene.path}: its bands are {_list(scene.bands)}; the model is for bands {_list(model.bands)}. "
            "Map scenes of the kind it was trained on, or choose --bands."
        )
    if str(scene.dtype) != model.dtype:
        raise DataError(
            f"{scene.path}: its pixels are {scene.dtype}; the model is for {model.dtype}. "
            "Map scenes of the kind it was trained on."
        )
    own, wanted = scene.raster.resolution_m, machine.resolution_m
    if abs(own / wanted - 1) > _TOLERANCE and not config.any_resolution:
        raise DataError(
            f"{scene.path}: its pixels measure {own:.4g} m; the model is for {wanted:.4g} m. "
            "Resample it, or insist with --any-resolution."
        )


def _remark(rasters: Sequence[Raster], machine: _Machine) -> None:
    """Say what the numbers in these scenes may mean other than they seem to."""
    model, foreign, otherwise = machine.model, [], []
    bands = machine.tiles.bands or model.bands
    for raster in rasters:
        value = fills.first_foreign(raster.declared, np.dtype(raster.dtype))
        foreign += [] if value is None else [f"{value:g} in {raster.path}"]
        if not model.scaled and max(bands) <= raster.count:
            scaling = tuple(raster.scaling[band - 1] for band in bands)
            otherwise += likeness.note_scaling(scaling, model.scaling, raster.path)
    fills.remark(foreign)
    likeness.remark_scaling(otherwise, model.scaling, "the model's")


def _list(bands: Sequence[int], between: str = ", ") -> str:
    return between.join(map(str, bands))

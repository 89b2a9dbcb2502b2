"""Whole scenes through a segmenter: a Cloud-Optimized GeoTIFF of classes a scene, and of probabilities."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tile2vec_cli import cogs, models, segmentation, work
from tile2vec_cli.batches import ahead
from tile2vec_cli.cogs import Layer
from tile2vec_cli.config import MapConfig, TileConfig
from tile2vec_cli.device import Runtime, choose, threads
from tile2vec_cli.errors import DataError, Failure, UsageError
from tile2vec_cli.models import Model
from tile2vec_cli.parts import (
    Progress,
    Shard,
    dump_json,
    fingerprint,
    make_folder,
    silent,
    sweep,
)
from tile2vec_cli.rasters import describe, identity
from tile2vec_cli.scene_lists import scene_name
from tile2vec_cli.scenes import Scene, open_scene
from tile2vec_cli.unet import Segmenter
from tile2vec_cli.windows import Layout, Span

FORMAT = "tile2vec-map/1"
NODATA = 255
_COLOURS = {0: (222, 222, 214, 255), 1: (0, 114, 178, 255), NODATA: (0, 0, 0, 0)}
_TOLERANCE = 0.1  # by which a scene's resolution may differ from the model's
_TAG = "TILE2VEC_"

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
class _Plan:
    """One scene and where its map goes."""

    scene: str
    path: Path
    probability: Path | None
    tags: dict[str, str]


@dataclass(frozen=True)
class _Machine:
    """A segmenter on a device, and what model.json says of it."""

    segmenter: Segmenter
    model: Model
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
    shard: Shard | None = None,
    workers: int = 1,
    strict: bool = False,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> MapReport:
    """Map each scene (absolute paths) that has no map yet, or has changed since.

    `out` is a folder, or a file ending in .tif where there is one scene. Progress is in pixels.
    Raises InputError and DataError for a model that can't be used, UsageError for several scenes and
    one file; what goes wrong with a scene is reported.
    """
    runtime = choose(config.device, config.precision)
    segmenter, model = segmentation.load(model_path, runtime.device)
    resolution_m, tiles = segmentation.origin(model_path, model)
    machine = _Machine(segmenter, model, resolution_m, tiles, runtime, config)
    own = (shard or Shard()).take(scenes)
    plans = _plans(scenes, own, out, config, models.fingerprint(model_path), model)
    sweep(make_folder(out.parent if _is_file(out) else out))
    workers = max(1, min(workers, len(plans)))
    torch.set_num_threads(max(1, threads() // workers))
    lock, done, total = threading.Lock(), 0, _pixels(plans)

    def on_pixels(count: int) -> None:
        nonlocal done
        with lock:
            done += count
        on_progress(done, total)

    made, pixels, maps, failed = 0, 0, [], []
    todo = work.each(
        plans,
        lambda plan: _map(plan, machine, overwrite, on_pixels),
        name=lambda plan: plan.scene,
        workers=workers,
        strict=strict,
    )
    for plan, result in todo:
        if isinstance(result, Failure):
            failed.append(result)
            continue
        made += result > 0
        pixels += result
        maps.append(str(plan.path))
    return MapReport(len(plans), made, pixels, maps, failed)


# --- what is to be made ------------------------------------------------------------------------


def _plans(
    scenes: Sequence[str], own: Sequence[str], out: Path, config: MapConfig, model: str, described: Model
) -> list[_Plan]:
    one_file = _is_file(out)
    if one_file and len(scenes) > 1:
        raise UsageError(f"--out {out}: is one file for {len(scenes)} scenes; needs a folder. Name one.")
    counts = Counter(scene_name(scene) for scene in scenes)
    plans = []
    for scene in own:
        name = scene_name(scene)
        if counts[name] > 1:
            raise UsageError(f"{scene}: several scenes are called {name}; each map needs a name of its own.")
        path = out if one_file else out / f"{name}.tif"
        probability = path.with_name(f"{path.stem}.probability{path.suffix}") if config.probability else None
        tags = {
            f"{_TAG}FORMAT": FORMAT,
            f"{_TAG}MODEL": model,
            f"{_TAG}CLASS_0": "other",
            f"{_TAG}CLASS_1": str(described.provenance.get("class", "class")),
        }
        plans.append(_Plan(scene, path, probability, tags))
    return plans


def _is_file(out: Path) -> bool:
    return out.suffix.lower() in {".tif", ".tiff"}


def _pixels(plans: Sequence[_Plan]) -> int:
    total = 0
    for plan in plans:
        try:
            raster = describe(plan.scene)
        except Exception:  # it is said when its turn comes
            continue
        total += raster.height * raster.width
    return total


def _is_up_to_date(path: Path, tags: dict[str, str], overwrite: bool) -> bool:
    """Whether this very map is there. Raises DataError where something else is."""
    if not path.exists():
        return False
    found = cogs.tags(path) if path.is_file() else {}
    if found.get(f"{_TAG}FORMAT") != FORMAT:
        raise DataError(f"{path}: exists and is no map of ours; it is not replaced. Choose another --out.")
    if found.get(f"{_TAG}MODEL") != tags[f"{_TAG}MODEL"] and not overwrite:
        raise DataError(
            f"{path}: made with model {found.get(f'{_TAG}MODEL')}; this run has {tags[f'{_TAG}MODEL']}. "
            "Choose another output, or --overwrite to replace it."
        )
    return all(found.get(name) == value for name, value in tags.items())


# --- making it -----------------------------------------------------------------------------------


def _map(plan: _Plan, machine: _Machine, overwrite: bool, on_pixels: Any) -> int:
    """Map one scene unless it is up to date; returns the pixels mapped."""
    tags = {**plan.tags, f"{_TAG}SCENE": fingerprint(dump_json(identity(plan.scene)))}
    paths = [path for path in (plan.path, plan.probability) if path is not None]
    current = [_is_up_to_date(path, tags, overwrite) for path in paths]
    if all(current):
        return 0
    tiles = machine.tiles
    with ExitStack() as stack:
        scene = stack.enter_context(
            open_scene(
                plan.scene,
                bands=tiles.bands,
                alpha=tiles.alpha,
                nodata=tiles.nodata,
            )
        )
        _require_fit(scene, machine)
        classes = stack.enter_context(cogs.new_cog(plan.path, scene.raster, _classes(tags)))
        # Left first: where the map of classes is, its probabilities are whole.
        shares = plan.probability and stack.enter_context(
            cogs.new_cog(plan.probability, scene.raster, _probabilities(tags))
        )
        for row, col, probability, valid in predicted(scene, machine):
            found = (probability >= float(machine.segmenter.threshold)).astype(np.uint8)
            classes(row, col, np.where(valid, found, NODATA))
            if shares:
                shares(row, col, np.where(valid, probability, np.nan))
            on_pixels(probability.size)
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
            found = segmentation.probability(segmenter, pixels[None], valid[None], machine.runtime)[0][core]
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
    model = machine.model
    if scene.bands != model.bands:
        raise DataError(
            f"{scene.path}: its bands are {_list(scene.bands)}; the model is for bands {_list(model.bands)}. "
            "Map scenes of the kind it was trained on."
        )
    if str(scene.dtype) != model.dtype:
        raise DataError(
            f"{scene.path}: its pixels are {scene.dtype}; the model is for {model.dtype}. "
            "Map scenes of the kind it was trained on."
        )
    own, wanted = scene.raster.resolution_m, machine.resolution_m
    if abs(own / wanted - 1) > _TOLERANCE and not machine.config.any_resolution:
        raise DataError(
            f"{scene.path}: its pixels measure {own:.4g} m; the model is for {wanted:.4g} m. "
            "Resample it, or insist with --any-resolution."
        )


def _list(bands: Sequence[int]) -> str:
    return ", ".join(map(str, bands))


def _classes(tags: dict[str, str]) -> Layer:
    return Layer("uint8", NODATA, "mode", tags, _COLOURS)


def _probabilities(tags: dict[str, str]) -> Layer:
    return Layer("float32", float("nan"), "average", tags)

"""Scenes into a tile set: make the parts that are missing."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import shapely

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, Failure, FormatError, Tile2VecError
from tile2vec_cli.geo import vectors
from tile2vec_cli.geo.scene_facts import Facts
from tile2vec_cli.geo.scene_names import part_name, scene_name
from tile2vec_cli.geo.scenes import open_scene
from tile2vec_cli.outputs import parts
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.stamps import Stamp, Verdict
from tile2vec_cli.tiling import likeness, planning, tile_parts
from tile2vec_cli.tiling.planning import Planned
from tile2vec_cli.tiling.tile_files import (
    FORMAT,
    MANIFEST,
    belongs,
    read_manifest,
    settings_fingerprint,
)
from tile2vec_cli.workers import work
from tile2vec_cli.workers.work import Elsewhere, Shard

Info = dict[str, Any]

_WAITING = 4  # more workers for small scenes: most of a small part's time is spent waiting for the disk


@dataclass(frozen=True)
class TileReport:
    """What a run came to. Counts are of the scenes named in it, made now or before."""

    tiles: int
    parts: int
    skipped: dict[str, int]  # tiles left out, by reason
    made: int  # parts made now
    alpha: dict[str, int]  # scenes whose band tagged alpha was taken as "mask" or "data"
    left_out: dict[str, int]  # features of the area that are no part of it, by reason
    failed: list[Failure] = field(default_factory=list)


def cut(
    scenes: Sequence[str],
    out: Path,
    config: TileConfig,
    *,
    names: Mapping[str, str] | None = None,
    facts: Mapping[str, Facts] | None = None,
    aoi: Path | None = None,
    layer: str | None = None,
    shard: Shard | None = None,
    workers: int | Elsewhere = 1,
    strict: bool = False,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> TileReport:
    """Cut each scene (absolute paths) into tiles below `out`; parts that are there already stay.

    `names` are the scenes', by path (default: their files'); `facts` what a catalog says of them, by path.
    Raises DataError when the tile set was made with
    other settings (unless `overwrite`) and when no scene yields a tile; OutputError when `out` cannot be
    written. Other scenes' failures are reported.
    """
    area, left_out = (None, {}) if aoi is None else vectors.area(aoi, layer)
    settings = {**config.settings(), "aoi": None if area is None else _area_fingerprint(area)}
    folder = parts.make_folder(out / "parts")
    parts.sweep(out)
    parts.sweep(folder)
    facts = facts or {}
    manifest = _manifest(out, settings, scenes, config, overwrite, facts)
    own = (shard or Shard()).take(scenes)
    names = names or {path: scene_name(path) for path in scenes}
    before = _by_scene(folder)
    settled = {"config": config, "settings": manifest["settings_fingerprint"], "aoi": area}
    each = partial(
        work.each,
        do=partial(tile_parts.cut, folder=folder.absolute(), **settled),
        name=lambda plan: plan.source,
        strict=strict,
        folder=folder,
    )
    infos: list[Info] = []
    failed: list[Failure] = []  # that cannot be cut, and that could not be
    uncut: list[Failure] = []
    made = 0
    course = _Course(len(own), on_progress)
    ahead = isinstance(workers, int) and area is None  # what lies outside the area is not read
    for some in planning.planned(own, folder, config, manifest, strict, names, facts, ahead=ahead):
        infos += some.kept
        failed += some.failed
        total = course.total(some)
        hands = workers + _WAITING if isinstance(workers, int) and some.is_read else workers
        for plan, result in each(some.missing, workers=hands, total=total, on_progress=course.advance):
            if isinstance(result, Failure):
                uncut.append(result)
            else:
                infos.append(result)
                made += result["fingerprint"] != plan.before
                for name in before[part_name(plan.scene)] - set(plan.names):
                    parts.remove(folder / name)
    failed += uncut
    skipped: Counter[str] = Counter()
    for info in infos:
        skipped.update(info["skipped"])
    report = TileReport(
        tiles=sum(info["tiles"] for info in infos),
        parts=len(infos),
        skipped=dict(sorted(skipped.items())),
        made=made,
        alpha=dict(sorted(Counter({i["scene"]: i["alpha"] for i in infos if i["alpha"]}.values()).items())),
        left_out=left_out,
        failed=failed,
    )
    if not report.tiles and not failed and own:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in report.skipped.items())
        raise DataError(f"{out}: no tile is left ({reasons}); at least one is needed. Choose other settings.")
    return report


class _Course:
    """Windows that have been cut, of those that there are: scenes not looked at yet are taken to be alike."""

    def __init__(self, scenes: int, on_progress: Progress) -> None:
        self._scenes, self._on_progress = scenes, on_progress
        self._looked_at = self._before = self._windows = 0

    def total(self, some: Planned) -> int:
        """All windows, as far as they are known now that these scenes have been looked at."""
        self._before = self._windows
        self._looked_at += some.scenes
        self._windows += sum(plan.windows for plan in some.missing)
        return self._windows * self._scenes // max(self._looked_at, 1)

    def advance(self, done: int, total: int) -> None:
        """As told by the work on the scenes that were looked at last."""
        self._on_progress(self._before + done, total)


def _area_fingerprint(area: Any) -> str:
    return hashlib.sha256(shapely.to_wkb(area, byte_order=1)).hexdigest()[:16]


def _manifest(
    out: Path,
    settings: Info,
    scenes: Sequence[str],
    config: TileConfig,
    overwrite: bool,
    facts: Mapping[str, Facts],
) -> Info:
    """The tile set's manifest: the one that is there, or a new one with the first readable scene's bands."""
    path = out / MANIFEST
    found = _found_manifest(out, overwrite) if path.exists() else None
    if found is not None:
        was, now = (Stamp({"scaled": False, **one}) for one in (found["settings"], settings))
        if now.verdict(was) is Verdict.KEEP:
            return found
        now.stays(out, was, overwrite or not _holds_tiles(out / "parts"))
    manifest = {
        "format": FORMAT,
        "settings": settings,
        "settings_fingerprint": settings_fingerprint(settings),
        **_pixels_of_first(scenes, config, facts),
    }
    parts.write_json(path, manifest)
    for info in planning.infos(out / "parts"):
        if not belongs(info, manifest):
            parts.remove(info["path"])
    return manifest


def _found_manifest(out: Path, overwrite: bool) -> Info | None:
    """None where it is damaged and may be overwritten: which parts are of these settings, they tell."""
    try:
        return read_manifest(out)
    except DataError as error:
        if overwrite and not isinstance(error, FormatError):
            return None
        raise


def _pixels_of_first(scenes: Sequence[str], config: TileConfig, facts: Mapping[str, Facts]) -> Info:
    """Bands, dtype and so on of the first scene that opens: the same one, whichever shard asks."""
    first: Tile2VecError | None = None
    for path in scenes:
        try:
            with open_scene(path, **config.reading(), facts=facts.get(path)) as scene:
                planning.plans(scene, scene_name(path), config)
                return likeness.described(scene, config)
        except Tile2VecError as error:
            first = first or error
    if first is None:
        raise DataError("no scene to cut; at least one is needed.")
    raise first


def _holds_tiles(folder: Path) -> bool:
    return any(info["tiles"] for info in planning.infos(folder))


def _by_scene(folder: Path) -> dict[str, set[str]]:
    """Names of the parts that are there, by their scene's: as older versions of it were cut into blocks."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in folder.iterdir():
        found[planning.whole_name(path.name)].add(path.name)
    return found

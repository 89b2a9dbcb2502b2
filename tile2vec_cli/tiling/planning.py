"""Which parts of a tile set are missing: every scene is looked at, those of servers many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, Failure, Tile2VecError
from tile2vec_cli.geo import signed_urls, stacks
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.rasters import exists, identity
from tile2vec_cli.geo.scene_facts import Facts
from tile2vec_cli.geo.scenes import Scene, open_scene
from tile2vec_cli.tiling import known_scenes, tile_parts
from tile2vec_cli.tiling.known_scenes import Known, Standing
from tile2vec_cli.tiling.likeness import Likeness
from tile2vec_cli.tiling.tile_files import belongs, part_of, read_part
from tile2vec_cli.tiling.tile_parts import Plan
from tile2vec_cli.workers import work
from tile2vec_cli.workers.work import Advance

Info = dict[str, Any]

_AT_A_TIME = 16  # where a server is waited for; to open local files takes more processor time so


def infos(folder: Path) -> Iterator[Info]:
    """part.json of every part in the folder, with its path. Damaged parts are as good as absent."""
    for path in sorted(folder.glob("[!.]*")):
        try:
            yield {**read_part(path), "path": path}
        except Tile2VecError:
            continue


@dataclass(frozen=True)
class _Seen:
    """What was found of a scene."""

    standing: Standing
    kept: list[Info]  # parts that are there and up to date
    scene: Scene | None = None  # closed again; None where nothing is missing, or it cannot be opened
    identity: Info | None = None
    error: Tile2VecError | None = None  # of a scene that cannot be opened


def planned(
    scenes: Sequence[str],
    folder: Path,
    config: TileConfig,
    manifest: Info,
    strict: bool,
    names: Mapping[str, str],
    facts: Mapping[str, Facts],
) -> tuple[list[Info], list[Plan], list[Failure]]:
    """Parts that are there and up to date, parts to be made or looked at, and scenes that cannot be cut."""
    there = Known.of(info for info in infos(folder) if belongs(info, manifest))
    rivals = known_scenes.rivals(names, there)
    called = {path: there.name(path) or names[path] for path in scenes}
    found: list[Info] = []
    plans: list[Plan] = []
    failed: list[Failure] = []
    alike = Likeness(manifest, config)

    def look(path: str, _advance: Advance) -> _Seen:
        return _seen(path, there.parts(called[path]), config, manifest, rivals.get(path), facts.get(path))

    workers = _AT_A_TIME if any(is_remote(file) for path in scenes for file in stacks.files(path)) else 1
    # Not strict: which of two bad scenes is named must not depend on which was looked at first.
    for path, seen in work.each(scenes, look, name=str, workers=workers, strict=False, folder=folder):
        try:
            if isinstance(seen, Failure):
                raise seen.error()
            kept = seen.kept
            if config.virtual and not there.is_there(called[path]):
                kept = [tile_parts.moved(info, path) for info in kept]
            found += kept
            if seen.error is not None:
                raise seen.error
            if seen.scene is not None:
                alike.require(seen.scene)
                own = tile_parts.plans(seen.scene, called[path], config, facts.get(path), seen.identity)
                plans += _missing(own, seen, path, manifest)
        except Tile2VecError as error:
            if strict:
                raise
            failed.append(Failure.of(path, error))
    alike.remark()
    return found, plans, failed


def _seen(
    path: str, there: list[Info], config: TileConfig, manifest: Info, rival: str | None, facts: Facts | None
) -> _Seen:
    """`there` are the parts of the scene, `rival` another one of its name."""
    if facts is not None:
        facts.require()
    exists(path)
    if config.virtual and signed_urls.known(stacks.files(path)):
        raise DataError(
            f"{path}: is signed for a time, and --virtual reads pixels later, by an address without "
            "signature. Leave --virtual out, or download the file."
        )
    if rival is not None:
        raise tile_parts.same_name(path, rival)
    standing = known_scenes.standing(path, there, facts)
    kept = [info for info in standing.kept if _is_intact(info, manifest)]
    if kept and len(kept) == kept[0]["blocks"]:
        return _Seen(standing, kept)
    try:
        with open_scene(path, **config.reading(), facts=facts) as scene:
            return _Seen(standing, kept, scene, identity(path))
    except Tile2VecError as error:
        return _Seen(standing, kept, error=error)


def _missing(plans: list[Plan], seen: _Seen, path: str, manifest: Info) -> list[Plan]:
    """Those of a scene's plans whose parts are not there, or perhaps of other pixels."""
    made = {info["path"].name for info in seen.kept}
    missing = [plan for plan in plans if plan.name not in made]
    standing = seen.standing
    intact = {i["path"].name: i["fingerprint"] for i in standing.alike if _is_intact(i, manifest)}
    if standing.rival is not None and not {plan.name for plan in missing} <= intact.keys():
        raise tile_parts.same_name(path, standing.rival)
    return [replace(p, before=intact.get(p.name), rival=standing.rival) for p in missing]


def _is_intact(info: Info, manifest: Info) -> bool:
    written = {key: value for key, value in info.items() if key != "path"}
    return part_of(info["path"], written, manifest).is_intact()

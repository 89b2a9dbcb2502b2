"""What parts scenes become, and which are missing: scenes of servers are looked at many at a time.

A scene becomes one part, or several blocks of whole tile rows where its pixels would outgrow about 1 GiB.
The pixels of small scenes are read while these are open to be looked at: to open a file takes as long as to
cut it. Of many small scenes, some are therefore looked at and cut, and then the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, Failure, Tile2VecError
from tile2vec_cli.geo import signed_urls, stacks
from tile2vec_cli.geo.grid import Grid, snapped_start
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.raster_files import exists, identity
from tile2vec_cli.geo.raster_headers import Raster
from tile2vec_cli.geo.scene_facts import Facts
from tile2vec_cli.geo.scene_names import part_name
from tile2vec_cli.geo.scenes import Scene, open_scene
from tile2vec_cli.tiling import known_scenes, strips
from tile2vec_cli.tiling.known_scenes import Known, Standing
from tile2vec_cli.tiling.likeness import Likeness
from tile2vec_cli.tiling.tile_files import belongs, part_of, read_part
from tile2vec_cli.workers import work
from tile2vec_cli.workers.work import Advance

Info = dict[str, Any]

PART_BYTES = 1 << 30
_ROW_BYTES = 1 << 30  # of tiles side by side, which are in memory together
_AT_A_TIME = 16  # where a server is waited for; to open local files takes more processor time so
_HELD_BYTES = 64 << 20  # of small scenes that have been read and are to be cut


@dataclass(frozen=True)
class Plan:
    """One part to be made: these rows of tiles of this scene."""

    name: str
    scene: str
    source: str
    identity: dict[str, Any]
    grid: Grid = field(repr=False)
    raster: Raster = field(repr=False)  # what was read when it was planned needs no second reading
    alpha: str | None  # what a band tagged alpha was found to be
    first: int  # row of tiles
    last: int  # one past
    names: tuple[str, ...]  # of all the parts that the scene becomes
    before: str | None = None  # fingerprint of the part that is there, if the scene may still be the same
    rival: str | None = None  # the other file from which that one was cut, if it is another
    facts: Facts | None = field(default=None, repr=False)
    signed: tuple[str, ...] = field(default=(), repr=False)  # addresses, for a worker elsewhere
    held: Scene | None = field(default=None, repr=False, compare=False)  # with its pixels; None: not read yet

    @property
    def windows(self) -> int:
        return (self.last - self.first) * len(self.grid.cols)


def plans(
    scene: Scene,
    name: str,
    config: TileConfig,
    facts: Facts | None = None,
    found: dict[str, Any] | None = None,
) -> list[Plan]:
    """The parts that a scene becomes. A scene smaller than a tile becomes one part without tiles.

    `found` is the identity of its file, where that has been asked for.
    """
    raster = scene.raster
    grid = _grid(raster, config)
    rows, cols = len(grid.rows), len(grid.cols)
    row_bytes = max(cols, 1) * len(scene.bands) * config.size**2 * scene.dtype.itemsize
    if row_bytes > _ROW_BYTES:
        raise DataError(
            f"{raster.path}: a row of its tiles takes {row_bytes >> 20:,} MiB; "
            f"up to {_ROW_BYTES >> 20:,} MiB are cut at a time. "
            "Choose a smaller --size, fewer --bands, or cut the scene."
        )
    count = max(1, -(-rows * row_bytes // PART_BYTES))
    count = min(count, max(rows, 1))
    edges = [rows * k // count for k in range(count + 1)] if cols else [0, 0]
    starts = [int(grid.rows[first]) if count > 1 else 0 for first in edges[:-1]]
    own = part_name(name)
    names = (own,) if count == 1 else tuple(f"{own}+{start:07d}" for start in starts)
    found = found or identity(raster.path)
    known: dict[str, Any] = {"facts": facts, "signed": signed_urls.known(stacks.files(raster.path))}
    return [
        Plan(part, name, raster.path, found, grid, raster, scene.alpha, first, last, names, **known)
        for part, first, last in zip(names, edges[:-1], edges[1:], strict=True)
    ]


def whole_name(part: str) -> str:
    """What the part of this name would be called if its scene were not cut into blocks."""
    own, _, start = part.rpartition("+")
    return own if start.isdigit() else part


def _grid(raster: Raster, config: TileConfig) -> Grid:
    if not raster.is_georeferenced:
        raise DataError(
            f"{raster.path}: has no CRS or no position on the Earth; tiles need both. "
            "Assign them with `rio edit-info --crs … --transform …`, or warp it by its control points."
        )
    row0 = col0 = 0
    if config.snap:
        if raster.transform[1] or raster.transform[3]:
            raise DataError(f"{raster.path}: is rotated; --snap needs rows that run east. Warp it first.")
        row0, col0 = snapped_start(raster.transform, config.size)
    return Grid(raster.height, raster.width, config.size, config.step, row0, col0)


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


@dataclass
class Planned:
    """Some of the scenes, looked at."""

    kept: list[Info] = field(default_factory=list)  # parts that are there and up to date
    missing: list[Plan] = field(default_factory=list)  # to be made or looked at
    failed: list[Failure] = field(default_factory=list)  # scenes that cannot be cut
    scenes: int = 0
    held_bytes: int = 0

    @property
    def is_read(self) -> bool:
        """Whether nothing is left to be read of what is missing."""
        return all(plan.held is not None for plan in self.missing)


def planned(
    scenes: Sequence[str],
    folder: Path,
    config: TileConfig,
    manifest: Info,
    strict: bool,
    names: Mapping[str, str],
    facts: Mapping[str, Facts],
    *,
    ahead: bool = False,
) -> Iterator[Planned]:
    """All scenes at once; with `ahead`, some at a time, small ones read as they are looked at."""
    there = Known.of(info for info in infos(folder) if belongs(info, manifest))
    rivals = known_scenes.rivals(names, there)
    called = {path: there.name(path) or names[path] for path in scenes}
    now = Planned()
    alike = Likeness(manifest, config)
    workers = _AT_A_TIME if any(is_remote(file) for path in scenes for file in stacks.files(path)) else 1
    read = ahead and workers == 1

    def look(path: str, _advance: Advance) -> _Seen:
        own = there.parts(called[path])
        return _seen(path, own, config, manifest, rivals.get(path), facts.get(path), read=read)

    # Not strict: which of two bad scenes is named must not depend on which was looked at first.
    for path, seen in work.each(scenes, look, name=str, workers=workers, strict=False, folder=folder):
        now.scenes += 1
        try:
            if isinstance(seen, Failure):
                raise seen.error()
            kept = seen.kept
            if config.virtual and not there.is_there(called[path]):
                kept = [known_scenes.moved(info, path) for info in kept]
            now.kept += kept
            if seen.error is not None:
                raise seen.error
            if seen.scene is not None:
                alike.require(seen.scene)
                own = plans(seen.scene, called[path], config, facts.get(path), seen.identity)
                if len(own) == 1 and seen.scene.is_held:
                    own = [replace(own[0], held=seen.scene)]
                    now.held_bytes += seen.scene.nbytes
                now.missing += _missing(own, seen, path, manifest)
        except Tile2VecError as error:
            if strict:
                raise
            now.failed.append(Failure.of(path, error))
        if now.held_bytes >= _HELD_BYTES:
            yield now
            now = Planned()
    yield now
    alike.remark()


def _seen(
    path: str,
    there: list[Info],
    config: TileConfig,
    manifest: Info,
    rival: str | None,
    facts: Facts | None,
    *,
    read: bool,
) -> _Seen:
    """`there` are the parts of the scene, `rival` another one of its name; read: its pixels, if few."""
    if facts is not None:
        facts.require()
    exists(path)
    if config.virtual and signed_urls.known(stacks.files(path)):
        raise DataError(
            f"{path}: is signed for a time, and --virtual reads pixels later, by an address without "
            "signature. Leave --virtual out, or download the file."
        )
    if rival is not None:
        raise known_scenes.same_name(path, rival)
    standing = known_scenes.standing(path, there, facts)
    kept = [info for info in standing.kept if _is_intact(info, manifest)]
    if kept and len(kept) == kept[0]["blocks"]:
        return _Seen(standing, kept)
    try:
        with open_scene(path, **config.reading(), facts=facts) as scene:
            found = identity(path)  # before pixels are read: when they are cut it has to be the same
            if read and strips.is_quick(scene):
                _hold(scene, config)
            return _Seen(standing, kept, scene, found)
    except Tile2VecError as error:
        return _Seen(standing, kept, error=error)


def _hold(scene: Scene, config: TileConfig) -> None:
    """Read all that is to be cut. What goes wrong is said when that is tried again."""
    with suppress(Tile2VecError):
        grid = _grid(scene.raster, config)
        if len(grid.rows) and len(grid.cols) and len(strips.groups(scene, grid.rows, grid.size)) == 1:
            scene.hold(int(grid.rows[0]), int(grid.rows[-1]) + grid.size)


def _missing(own: list[Plan], seen: _Seen, path: str, manifest: Info) -> list[Plan]:
    """Those of a scene's plans whose parts are not there, or perhaps of other pixels."""
    made = {info["path"].name for info in seen.kept}
    missing = [plan for plan in own if plan.name not in made]
    standing = seen.standing
    intact = {i["path"].name: i["fingerprint"] for i in standing.alike if _is_intact(i, manifest)}
    if standing.rival is not None and not {plan.name for plan in missing} <= intact.keys():
        raise known_scenes.same_name(path, standing.rival)
    return [replace(p, before=intact.get(p.name), rival=standing.rival) for p in missing]


def _is_intact(info: Info, manifest: Info) -> bool:
    written = {key: value for key, value in info.items() if key != "path"}
    return part_of(info["path"], written, manifest).is_intact()

"""Which scenes a tile set holds already, by whatever path they are named now.

A scene is known by its file, not by the path to it: through a link, or where the project has been moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.raster_files import identity, is_there
from tile2vec_cli.geo.scene_facts import Facts
from tile2vec_cli.geo.scene_lists import file_key
from tile2vec_cli.outputs import parts
from tile2vec_cli.outputs.provenance import relative
from tile2vec_cli.tiling.tile_files import PART

Info = dict[str, Any]  # a part.json


@dataclass(frozen=True)
class Known:
    """The parts of a tile set, by scene."""

    scenes: Mapping[str, list[Info]] = field(repr=False)

    @classmethod
    def of(cls, infos: Iterable[Info]) -> Known:
        scenes: dict[str, list[Info]] = {}
        for info in infos:
            scenes.setdefault(info["scene"], []).append(info)
        return cls(scenes)

    def parts(self, name: str) -> list[Info]:
        return self.scenes.get(name, [])

    def is_there(self, name: str) -> bool:
        """Whether the scene's file still lies where it was read, as far as one can tell from here."""
        return all(is_there(str(info["source"])) for info in self.parts(name))

    def name(self, path: str) -> str | None:
        """What the scene is called whose file lies there; None where the tile set knows of no such file."""
        if path in self._by_source:
            return self._by_source[path]
        return self._by_file.get(file_key(path))

    @cached_property
    def _by_source(self) -> dict[str, str]:
        return {str(info["source"]): name for name, infos in self.scenes.items() for info in infos}

    @cached_property
    def _by_file(self) -> dict[Any, str]:
        """Looked up only for paths that are new: it asks for every file."""
        return {file_key(source): name for source, name in self._by_source.items()}


@dataclass(frozen=True)
class Standing:
    """What the parts of a scene are worth, now that its file has been looked at."""

    kept: list[Info]  # of this very file
    alike: list[Info]  # of a file of this size: whether they are of these pixels only reading tells
    rival: str | None = None  # the file from which they were cut, where it is another and still there


def standing(path: str, infos: list[Info], facts: Facts | None = None) -> Standing:
    """Raises InputError where the file can't be asked."""
    if not infos:
        return Standing([], [])
    found, readable = identity(path), not is_remote(path)  # reading from afar costs what cutting does
    if facts is not None:
        found["item"] = facts.as_json()
    same = [info for info in infos if all(info.get(key) == found[key] for key in found)]
    alike = [info for info in infos if readable and info.get("size") == found["size"]]
    sources = {str(info["source"]) for info in infos} - {path}
    rival = next((source for source in sources if _is_another(source, path)), None)
    kept = same if rival is None else [info for info in same if info["source"] == path]
    if rival is not None and facts is not None and all(facts.is_of(info.get("item")) for info in infos):
        return Standing([], alike)  # the item names other files now
    return Standing(kept, alike, rival)


def rivals(names: Mapping[str, str], known: Known) -> dict[str, str]:
    """Paths whose scenes must not be cut, since another of these paths has the same name: each with that one.

    The tile set's own scene of that name, if it is among them, is not to blame.
    """
    by_name: dict[str, list[str]] = {}
    for path, name in names.items():
        by_name.setdefault(name, []).append(path)
    found = {}
    for paths in by_name.values():
        if len(paths) > 1:
            new = [path for path in paths if known.name(path) is None]
            owner = next((path for path in paths if path not in new), None)
            found.update({path: owner or next(p for p in paths if p != path) for path in new})
    return found


def _is_another(source: str, path: str) -> bool:
    """Whether what lies at `source` is there, and another file than that of `path`."""
    return is_there(source) and file_key(source) != file_key(path)


def moved(info: dict[str, Any], source: str) -> dict[str, Any]:
    """Let a part without pixels know where its scene lies now."""
    path = info["path"]
    own = {key: value for key, value in info.items() if key != "path"}
    own |= {"source": source, "source_relative": relative(source, path.parent.parent)}
    parts.write_json(path / PART, own)
    return {**own, "path": path}


def same_name(path: str, other: str) -> DataError:
    return DataError(
        f"{path}: {other} has the same name in this tile set; names must differ. Name scenes by their "
        "folders with --name-by path, rename one of them or choose another --out."
    )

"""What scenes are called in a tile set, and the folders of their tiles."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from tile2vec_cli.geo import locations, stacks
from tile2vec_cli.geo.locations import is_remote

_NAME_BYTES = 180  # leaves room in 255 for a part's suffix and a temporary prefix


def scene_name(path: str) -> str:
    """The file's name without its suffix, safe as a folder's name and in a `tile_id`.

    What a file name must not hold, and "%" and "+" (which ours give a meaning), is percent-encoded;
    very long names are cut and end in a hash.
    """
    return _stemmed(_components(path)[-1])


def item_name(id: str, collection: str | None = None) -> str:
    """What the scene of a STAC item is called: by its id, or by its collection's and its own."""
    own = _cut_short(_safe(id), id)
    return own if collection is None else f"{_safe(collection)}/{own}"


def names_by_path(scenes: Mapping[str, str | None]) -> dict[str, str]:
    """Names of scenes with those of their folders, "state/m_3708020": of all below the folder that was named.

    One at the least, and as many more as keep names apart.
    """
    components = {path: _components(path) for path in scenes}
    depth = {path: _below(path, components[path], folder) for path, folder in scenes.items()}
    while True:
        names = {path: _nested(components[path], depth[path]) for path in scenes}
        counts = Counter(names.values())
        longer = [p for p, name in names.items() if counts[name] > 1 and depth[p] < len(components[p]) - 1]
        if not longer:
            return names
        for path in longer:
            depth[path] += 1


def part_name(scene: str) -> str:
    """What the folder of a scene's tiles is called."""
    return scene if "/" not in scene else _cut_short(scene.replace("/", "%2F"), scene)


def _components(path: str) -> list[str]:
    stack = stacks.parse(path)
    if stack is not None:
        path = stack.name
    if locations.is_inside(path):
        _, file, _ = locations.pieces(path)
        path = f"{file}/{locations.own_name(path)}"
    elif is_remote(path):
        path = re.split(r"[?#]", path)[0].replace("://", "/")
    return [component for component in path.split("/") if component]


def _below(path: str, components: Sequence[str], folder: str | None) -> int:
    if folder is None:
        return 1
    return max(1, len(components) - len(_components(folder)) - 1)


def _nested(components: Sequence[str], depth: int) -> str:
    folders = components[:-1]
    own = [_safe(name) for name in folders[max(0, len(folders) - depth) :]]
    return "/".join([*own, _stemmed(components[-1])])


def _stemmed(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem or not suffix.isalnum():
        stem = name
    return _cut_short(_safe(stem), stem)


def _safe(name: str) -> str:
    coded = "".join(_coded(character) for character in name)
    return "%2E" + coded[1:] if coded.startswith(".") else coded


def _cut_short(coded: str, name: str) -> str:
    if len(os.fsencode(coded)) <= _NAME_BYTES:
        return coded
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:10]
    return os.fsencode(coded)[:_NAME_BYTES].decode("utf-8", "ignore") + f"~{digest}"


def _coded(character: str) -> str:
    if character.isprintable() and character not in '/\\%+:*?"<>|':
        return character
    return "".join(f"%{byte:02X}" for byte in os.fsencode(character))

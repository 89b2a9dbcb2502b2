"""Scenes with one file per band: which files belong together, and how such a scene is spelled.

A stack is spelled as a shell would expand it, "/data/T14TNL_20210513_{B02_10m,B03_10m}.tif": one path,
which stands wherever a raster's path stands. Where files differ in more than one place, as they do
below Sentinel-2's folders R10m and R20m, there is a list for each, all of one length. A sign that has a
meaning here stands behind a backslash where a file's name holds it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tile2vec_cli.geo.locations import is_remote

_LIST = re.compile(r"(?<!\\)\{((?:\\.|[^\\{}\"])*?(?<!\\),(?:\\.|[^\\{}\"])*)\}", re.DOTALL)
_SEPARATORS = "_.-"
_RESOLUTION = r"(?:_(\d+)m)?(?![A-Za-z0-9])"
_ROOM = re.compile(r"(?<=/)R\d+m/$")  # of Sentinel-2's products, a folder a resolution
# How bands are called in the files of Sentinel-2, Landsat, HLS and MODIS, and in the clouds' stores.
_USUAL = r"(?:S[RT]_)?B\d{1,2}A?|coastal|blue|green|red|rededge\d*|nir\d*|swir\d*|pan"
_LIKELY = re.compile(rf"(?:^|(?<=[{_SEPARATORS}]))({_USUAL}){_RESOLUTION}$", re.IGNORECASE)


@dataclass(frozen=True)
class Stack:
    """Files that are the bands of one scene, in this order."""

    files: tuple[str, ...]
    bands: tuple[str, ...]  # what each is called
    name: str  # a path that ends in what the files' names have in common


@dataclass(frozen=True)
class Groups:
    """Files in stacks."""

    scenes: list[str]  # as they are spelled, in the order of their first files
    aside: list[str]  # files of none


@dataclass(frozen=True)
class Likely:
    """A folder whose files look like single bands of scenes."""

    folder: str
    bands: tuple[str, ...]  # as they stand in the names, of the scene that has most
    scenes: int
    sample: str  # one of the files


@dataclass(frozen=True)
class _File:
    """The path of a band's file, in pieces that follow each other."""

    folder: str
    room: str  # below the folder, or ""
    left: str
    band: str  # with the resolution, where the name holds it
    right: str
    query: str
    coarse: int  # that resolution in metres, or 0

    @property
    def scene(self) -> tuple[str, str, str]:
        return self.folder, self.left, self.right

    @property
    def pieces(self) -> tuple[str, ...]:
        return self.folder, self.room, self.left, self.band, self.right, self.query


def parse(path: str) -> Stack | None:
    """The stack that is spelled so; None where the path is that of one raster."""
    pieces = _LIST.split(path) if "{" in path else [path]
    if len(pieces) == 1 or os.path.exists(path):  # noqa: PTH110 - a file may be called so; a list may be long
        return None
    texts, columns = pieces[::2], [re.split(r"(?<!\\),", text) for text in pieces[1::2]]
    if len({len(column) for column in columns}) > 1:
        return None
    files = [_plain("".join(_braided(texts, row))) for row in zip(*columns, strict=True)]
    # The bands are called by the first list that is not one of folders.
    own = next((k for k, column in enumerate(columns) if "/" not in "".join(column)), 0)
    bands = [_plain(re.sub(r"_\d+m$", "", name)) for name in columns[own]]
    left = "".join(_braided(texts[: own + 1], [column[0] for column in columns[:own]]))
    return Stack(tuple(files), tuple(bands), _joined(_plain(left), _plain(texts[own + 1])))


def files(path: str) -> tuple[str, ...]:
    """The files that a path stands for: those of a stack, or itself."""
    stack = parse(path)
    return (path,) if stack is None else stack.files


def spelled(paths: Sequence[str]) -> str:
    """One path for the stack of these files, wherever they lie; that of one file is its own."""
    if len(paths) == 1:
        return paths[0]
    left = _shared(paths)
    ends = [path[left:][::-1] for path in paths]
    right = _shared(ends)
    middles = [end[right:][::-1] for end in ends]
    return _spelled(
        [
            (path[:left], middle, end[:right][::-1])
            for path, middle, end in zip(paths, middles, ends, strict=True)
        ]
    )


def _shared(texts: Sequence[str]) -> int:
    """Signs that all begin with, up to a separator."""
    alike = 0
    while alike < min(map(len, texts)) and len({text[alike] for text in texts}) == 1:
        alike += 1
    return len(re.sub(rf"[^/{_SEPARATORS}]*$", "", texts[0][:alike]))


def group(paths: Iterable[str], names: Sequence[str]) -> Groups:
    """Files of one folder whose names are alike but for these names, as stacks with bands in this order.

    A resolution behind a band's name ("_10m") is part of it; of several the finest is taken. Where a
    band is missing, the stack holds the path at which it should lie.
    """
    aside: list[str] = []
    found: dict[tuple[str, str, str], dict[str, list[_File]]] = {}
    patterns = {name: _pattern(re.escape(name)) for name in names}
    for path in paths:
        matches = ((name, _parted(path, pattern)) for name, pattern in patterns.items())
        # Of two names in one file's name the last one counts: what stands before it is the scene's.
        name, file = max(
            ((name, file) for name, file in matches if file),
            key=lambda match: (len(match[1].left), len(match[0])),
            default=("", None),
        )
        if file is None:
            aside.append(path)
        else:
            found.setdefault(file.scene, {}).setdefault(name, []).append(file)
    scenes = []
    for bands in found.values():
        best = {name: min(all_, key=lambda file: file.coarse) for name, all_ in bands.items()}
        aside += ["".join(f.pieces) for name, all_ in bands.items() for f in all_ if f is not best[name]]
        sample_name, sample = next(iter(best.items()))
        tail = sample.band[len(sample_name) :]
        files = [best.get(name) or replace(sample, band=name + tail) for name in names]
        scenes.append(_spelled([file.pieces for file in files]))
    return Groups(scenes, aside)


def likely(paths: Iterable[str]) -> list[Likely]:
    """Folders in which files look like single bands of one scene, by their names: two at the least."""
    found: dict[str, dict[tuple[str, str, str], dict[str, str]]] = {}
    for path in paths:
        file = _parted(path, _LIKELY)
        if file is not None:
            scenes = found.setdefault(file.folder, {})
            scenes.setdefault(file.scene, {}).setdefault(re.sub(r"_\d+m$", "", file.band), path)
    several = {
        folder: [bands for bands in scenes.values() if len(bands) > 1] for folder, scenes in found.items()
    }
    return [
        Likely(folder, tuple(sorted(most, key=_natural)), len(scenes), next(iter(most.values())))
        for folder, scenes in several.items()
        for most in [max(scenes, key=len, default={})]
        if most
    ]


def _pattern(name: str) -> re.Pattern[str]:
    before = r"(?<![A-Za-z])" if name[:1].isalpha() else r"(?<![A-Za-z0-9])"
    return re.compile(rf"{before}({name}){_RESOLUTION}")


def _parted(path: str, pattern: re.Pattern[str]) -> _File | None:
    bare = re.split(r"[?#]", path)[0] if is_remote(path) else path
    folder, slash, own = bare.rpartition("/")
    stem = own.rpartition(".")[0] or own
    found = list(pattern.finditer(stem))
    if not found:
        return None
    last, folder = found[-1], folder + slash
    outer = _ROOM.sub("", folder)
    left, right = own[: last.start()], own[last.end() :]
    return _File(
        outer, folder[len(outer) :], left, last[0], right, path[len(bare) :], coarse=int(last[2] or 0)
    )


def _spelled(rows: Sequence[tuple[str, ...]]) -> str:
    """One path for the files of these pieces: a list wherever they differ."""
    if len(rows) == 1:
        return "".join(rows[0])
    spelled = ""
    for column in zip(*rows, strict=True):
        texts = [re.sub(r"([\\{},])", r"\\\1", piece) for piece in column]
        spelled += texts[0] if len(set(texts)) == 1 else "{" + ",".join(texts) + "}"
    return spelled


def _joined(left: str, right: str) -> str:
    """A path without what stood between the two, and without the separator that stood there too."""
    folder, slash, head = left.rpartition("/")
    head = head.rstrip(_SEPARATORS)
    tail, dot, suffix = right.rpartition(".")
    if not head and not tail:
        return folder + right  # the scene is its folder, such as scene/B02.tif
    return folder + slash + (head + right if head else tail.lstrip(_SEPARATORS) + dot + suffix)


def _braided(texts: Sequence[str], between: Sequence[str]) -> Iterable[str]:
    for text, piece in zip(texts, (*between, ""), strict=True):
        yield text
        yield piece


def _natural(name: str) -> tuple[str | int, ...]:
    return tuple(int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", name))


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)

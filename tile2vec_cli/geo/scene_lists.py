"""Which rasters a command line means."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tile2vec_cli.errors import DataError, InputError, Tile2VecError, UsageError
from tile2vec_cli.geo import locations, signed_urls, stac_catalogs, stacks
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.rasters import SUFFIXES, describe
from tile2vec_cli.geo.scene_facts import Facts
from tile2vec_cli.geo.scene_names import item_name, names_by_path, scene_name
from tile2vec_cli.geo.stacks import Likely

_KINDS = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
_ASIDE, _AGAIN = "files of no band in --stack", "other paths of the same file"


def expand(arguments: Sequence[str], *, recursive: bool = False) -> list[str]:
    """Paths of the scenes in order of their arguments, folders sorted by name, each scene once.

    An argument is a raster, a folder, "@list.txt" (a scene a line, or of `find -print0`), "-" (the list
    on stdin), an archive (.zip or .tar, all its rasters) or a path of GDAL's. Local paths become
    absolute, so that they mean the same from everywhere.
    A raster that does not exist, as one that a folder links to, stays in the list: it fails by itself, later.
    Raises InputError for a folder without rasters and for a list that cannot be read.
    """
    return list(with_folders(arguments, recursive=recursive))


def with_folders(arguments: Sequence[str], *, recursive: bool = False) -> dict[str, str | None]:
    """As `expand`, each with the folder that was named, or None where it was named itself."""
    found: dict[str, str | None] = {}
    for argument in arguments:
        for path, folder in _expand_one(argument, recursive):
            found.setdefault(path, folder)
    if not found:
        raise UsageError("no scenes; name at least one raster, folder or @list.txt.")
    return found


def _expand_one(argument: str, recursive: bool) -> Iterator[tuple[str, str | None]]:
    if argument == "-":
        yield from _listed(sys.stdin.read())
    elif argument.startswith("@"):
        try:
            text = _decoded(Path(argument[1:]).read_bytes())
        except OSError as error:
            raise InputError(
                f"{argument[1:]}: {error.strerror}; a list is needed. Check the path."
            ) from error
        yield from _listed(text)
    elif not is_remote(argument) and Path(argument).is_dir():
        folder = Path(_absolute(argument))
        named = (f for f in folder.glob("**/*" if recursive else "*") if f.suffix.lower() in SUFFIXES)
        rasters = sorted(str(f) for f in named if f.is_file() or not f.exists())
        if not rasters:
            deeper = "" if recursive else " Rasters in folders below count with --recursive."
            raise InputError(f"{argument}: no rasters in this folder ({_KINDS}).{deeper}")
        yield from ((raster, str(folder)) for raster in rasters)
    elif (archive := _whole_archive(argument)) is not None:
        rasters = sorted(f for f in locations.members(archive) if f.lower().endswith(SUFFIXES))
        if not rasters:
            raise InputError(f"{argument}: no rasters in this archive ({_KINDS}). Name another file.")
        yield from ((raster, archive) for raster in rasters)
    else:
        yield _absolute(argument), None


def _decoded(text: bytes) -> str:
    """UTF-16 where a byte order mark says so, else the bytes of the paths themselves."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return text.decode("utf-16")
    return text.decode("utf-8", "surrogateescape")


def _listed(text: str) -> Iterator[tuple[str, None]]:
    """A scene a line, or between NULs, as of `find -print0`."""
    text = text.removeprefix("\ufeff")
    for line in text.split("\0") if "\0" in text else text.splitlines():
        if line.strip():
            yield _absolute(line.strip()), None


def _whole_archive(path: str) -> str | None:
    """The archive, where a path names one that is there and nothing in it."""
    _, file, behind = locations.pieces(path)
    if behind.strip("!/") or is_remote(path) or locations.reader(file) is None or not Path(file).is_file():
        return None
    return _absolute(file)


def _absolute(path: str) -> str:
    if is_remote(path):
        return signed_urls.admit(path)
    # Not resolve(): a link's own name is the scene's name.
    return locations.absolute(path, str(Path.cwd()))


@dataclass(frozen=True)
class Choice:
    """Paths of scenes, each of another file (or stack of files), and what they are called."""

    scenes: list[str]
    names: dict[str, str]  # by path
    left_out: dict[str, int]  # files, by reason
    remarks: list[str]  # what a person should know before the work begins
    facts: dict[str, Facts] = field(default_factory=dict)  # by path: what STAC says of its items


def choose(
    arguments: Sequence[str],
    *,
    recursive: bool = False,
    stack: Sequence[str] | None = None,
    assets: Sequence[str] | None = None,
    by_path: bool = False,
) -> Choice:
    """The scenes of these arguments, with `stack` those of which files hold single bands of these names.

    `assets` are the bands of STAC items, each of which is a scene (default: an item's only raster).
    Raises InputError and UsageError as `expand`, DataError where no file's name holds any band's.
    """
    found: Mapping[str, str | None] = with_folders(arguments, recursive=recursive)
    left_out: dict[str, int] = {}
    remarks: list[str] = []
    documents = [path for path in found if stac_catalogs.is_document(path)]
    if stack is not None and (documents or assets is not None):
        raise UsageError("--stack: is of files named for their bands; items of STAC have --assets. Give one.")
    if assets is not None and not documents:
        raise UsageError("--assets: is of STAC items, of which SCENES names none. Leave it out.")
    facts: dict[str, Facts] = {}
    if documents:
        pairs = list(_with_items(found, assets, facts, remarks))
        found = dict(pairs)
        left_out[_AGAIN] = len(pairs) - len(found)
    likely = stacks.likely(path for path in found if path not in facts)
    if stack is None:
        remarks += [_remark(folder) for folder in likely if _is_single(folder.sample)]
    else:
        groups = stacks.group(found, stack)
        if not groups.scenes:
            advice = f" Did you mean --stack {','.join(likely[0].bands)}?" if likely else ""
            raise DataError(
                f"--stack {','.join(stack)}: no name of {len(found):,} files holds one of these; bands are "
                f"needed as files are called by them.{advice or ' Look at the names.'}"
            )
        left_out[_ASIDE] = len(groups.aside)
        given = {scene: [file for file in stacks.files(scene) if file in found] for scene in groups.scenes}
        found = {scene: found[files[0]] for scene, files in given.items()}
    first: dict[tuple[tuple[int, int, str] | str, ...], str] = {}
    for path in found:
        first.setdefault(file_key(path), path)
    scenes = {path: found[path] for path in first.values()}
    left_out[_AGAIN] = left_out.get(_AGAIN, 0) + len(found) - len(scenes)
    left_out = {reason: count for reason, count in left_out.items() if count}
    remarks += [f"Left aside, {reason}: {count:,}." for reason, count in left_out.items()]
    plain = {path: folder for path, folder in scenes.items() if path not in facts}
    names = names_by_path(plain) if by_path else {path: scene_name(path) for path in plain}
    facts = {path: facts[path] for path in scenes if path in facts}
    names |= {path: item_name(own.id, own.collection if by_path else None) for path, own in facts.items()}
    return Choice(list(scenes), names, left_out, remarks, facts)


def _with_items(
    found: Mapping[str, str | None], assets: Sequence[str] | None, facts: dict[str, Facts], remarks: list[str]
) -> Iterator[tuple[str, str | None]]:
    """Paths and their folders with STAC documents' scenes in their place, of which `facts` are kept."""
    for path, folder in found.items():
        if not stac_catalogs.is_document(path):
            yield path, folder
            continue
        scenes = stac_catalogs.scenes(path, assets)
        remarks += scenes.remarks
        for scene in scenes.found:
            facts.setdefault(scene.path, scene.facts)
            yield scene.path, None


def file_key(path: str) -> tuple[tuple[int, int, str] | str, ...]:
    """What is the same for all paths that lead to the same file, or to the same files of a stack."""
    return tuple(_key(file) for file in stacks.files(path))


def _key(path: str) -> tuple[int, int, str] | str:
    if is_remote(path):
        return signed_urls.unsigned(path)  # as older tile sets have it
    before, file, behind = locations.pieces(path)
    try:
        found = Path(file).stat()
    except OSError:
        return path
    return found.st_dev, found.st_ino, before + behind


def _is_single(path: str) -> bool:
    try:
        return describe(path).count == 1
    except Tile2VecError:
        return False  # it is said when its turn comes


def _remark(found: Likely) -> str:
    what = "one scene" if found.scenes == 1 else f"{found.scenes:,} scenes"
    return (
        f"{found.folder}: files look like single bands of {what}, and each is taken as a separate scene. "
        f"Stack them with --stack {','.join(found.bands)} (all of these or some)."
    )

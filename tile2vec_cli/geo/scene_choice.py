"""The scenes that a command line means: found, stacked, each once, and named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tile2vec_cli.errors import DataError, Tile2VecError, UsageError
from tile2vec_cli.geo import containers, signatures, stac_catalogs, stacks
from tile2vec_cli.geo.rasters import describe
from tile2vec_cli.geo.remote import is_remote
from tile2vec_cli.geo.scene_facts import Facts
from tile2vec_cli.geo.scene_lists import item_name, names_by_path, scene_name, with_folders
from tile2vec_cli.geo.stacks import Likely

_ASIDE, _AGAIN = "files of no band in --stack", "other paths of the same file"


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
    found: Mapping[str, str | None],
    assets: Sequence[str] | None,
    facts: dict[str, Facts],
    remarks: list[str],
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
        return signatures.unsigned(path)  # as older tile sets have it
    before, file, behind = containers.parts(path)
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

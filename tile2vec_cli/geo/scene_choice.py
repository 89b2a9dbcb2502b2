"""The scenes that a command line means: found, stacked, each once, and named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tile2vec_cli.errors import DataError, Tile2VecError
from tile2vec_cli.geo import containers, stacks
from tile2vec_cli.geo.rasters import describe
from tile2vec_cli.geo.remote import is_remote
from tile2vec_cli.geo.scene_lists import names_by_path, scene_name, with_folders
from tile2vec_cli.geo.stacks import Likely

_ASIDE, _AGAIN = "files of no band in --stack", "other paths of the same file"


@dataclass(frozen=True)
class Choice:
    """Paths of scenes, each of another file (or stack of files), and what they are called."""

    scenes: list[str]
    names: dict[str, str]  # by path
    left_out: dict[str, int]  # files, by reason
    remarks: list[str]  # what a person should know before the work begins


def choose(
    arguments: Sequence[str],
    *,
    recursive: bool = False,
    stack: Sequence[str] | None = None,
    by_path: bool = False,
) -> Choice:
    """The scenes of these arguments, with `stack` those of which files hold single bands of these names.

    Raises InputError and UsageError as `expand`, DataError where no file's name holds any band's.
    """
    found: Mapping[str, str | None] = with_folders(arguments, recursive=recursive)
    left_out: dict[str, int] = {}
    likely = stacks.likely(found)
    remarks = []
    if stack is None:
        remarks = [_remark(folder) for folder in likely if _is_single(folder.sample)]
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
    left_out[_AGAIN] = len(found) - len(scenes)
    left_out = {reason: count for reason, count in left_out.items() if count}
    remarks += [f"Left aside, {reason}: {count:,}." for reason, count in left_out.items()]
    names = names_by_path(scenes) if by_path else {path: scene_name(path) for path in scenes}
    return Choice(list(scenes), names, left_out, remarks)


def file_key(path: str) -> tuple[tuple[int, int, str] | str, ...]:
    """What is the same for all paths that lead to the same file, or to the same files of a stack."""
    return tuple(_key(file) for file in stacks.files(path))


def _key(path: str) -> tuple[int, int, str] | str:
    if is_remote(path):
        return path
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

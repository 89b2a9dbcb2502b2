"""Output that is whole or absent, and the few rules by which many processes share one folder.

Every file or folder is made under a temporary name in its final folder, flushed to disk and
renamed. The temporary entry is locked (flock) for as long as its writer lives, so that the next
run can tell what a killed process left behind from what a running one is still writing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tile2vec_cli.errors import DataError, FormatError, InputError, OutputError

Progress = Callable[[int, int], None]
"""Called with (done, total) in units of work."""

_TEMPORARY = ".tmp-"
_FOLDER = "a folder is written here. Choose another."


def silent(_done: int, _total: int) -> None:
    """The progress callable of those who do not want to know."""


# --- whole or absent ------------------------------------------------------------------------


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; at the end it is flushed and renamed to `path`.

    Raises OutputError when the folder cannot be written or the disk is full.
    """
    with _temporary(path, folder=False) as temporary:
        yield temporary
        _put(temporary, path)


@contextmanager
def new_file_from(path: Path) -> Iterator[tuple[Path, Path]]:
    """As `new_file`, but yield a path in a temporary folder, and the folder, where more files may lie.

    For libraries that put files of their own beside the one they write.
    """
    with _temporary(path, folder=True) as room:
        temporary = room / path.name
        yield temporary, room
        _put(temporary, path)


@contextmanager
def new_folder(path: Path, own: Collection[str] | None = None) -> Iterator[Path]:
    """Yield a temporary folder; at the end its files are flushed and it is renamed to `path`.

    An older folder at `path` is replaced. own: files that may go with it, by their paths in it; others are
    somebody's, and come into the new one. None: all may go. When another process has put the same folder
    there meanwhile, that one stays: both were made from the same inputs and settings.
    """
    before = _inode(path)
    with _temporary(path, folder=True) as temporary:
        yield temporary
        if _inode(path) not in (None, before):
            return  # replacing it would take it from under the other process's readers
        for file in sorted(temporary.rglob("*")):
            _sync(file)
        if own is not None:
            _carry_over(path, temporary, own)
        _sync(temporary)
        old = path.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
        with suppress(FileNotFoundError):
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError as error:
            if not path.is_dir():
                raise OutputError(f"{path}: {error.strerror}; {_FOLDER}") from error
        _sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder in `folder`, of which nothing stays."""
    with _temporary(folder / "scratch", folder=True) as temporary:
        yield temporary


def sweep(folder: Path) -> None:
    """Remove temporary entries in `folder` whose writers are gone."""
    if not folder.is_dir():
        return
    for entry in folder.glob(f"{_TEMPORARY}*"):
        with suppress(OSError):
            handle = os.open(entry, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(entry)
            finally:
                os.close(handle)


def make_folder(path: Path) -> Path:
    """Make `path` a folder (with parents) or say in one line why that cannot be."""
    if path.is_dir():  # a run again writes nothing, not even where it may not
        return path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}; {_FOLDER}") from error
    return path


def remove(path: Path) -> None:
    """Remove a file or folder so that it is never seen half-removed: renamed first, then deleted."""
    if not os.path.lexists(path):
        return
    old = path.parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
    try:
        path.rename(old)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(
            f"{path}: {error.strerror}; it must be replaced. Change its permissions."
        ) from error
    _remove(old)


@contextmanager
def _temporary(path: Path, *, folder: bool) -> Iterator[Path]:
    make_folder(path.parent)
    try:
        temporary, lock = _create_locked(path, folder)
        try:
            yield temporary
        finally:
            _remove(temporary)
            os.close(lock)
    except OSError as error:
        raise OutputError(
            f"{path}: {error.strerror or error}; it is not written. Choose another output."
        ) from error


def _create_locked(path: Path, folder: bool) -> tuple[Path, int]:
    while True:
        # The suffix stays last: GDAL and others choose a format by it.
        temporary = path.parent / f"{_TEMPORARY}{uuid.uuid4().hex[:12]}{path.suffix}"
        if folder:
            temporary.mkdir()
            lock = os.open(temporary, os.O_RDONLY)
        else:
            lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):  # a file system without locks: sweep() then leaves it alone too
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A sweep between creation and lock has taken it for an orphan: make another.
        if temporary.exists():
            return temporary, lock
        os.close(lock)


def _carry_over(old: Path, new: Path, own: Collection[str]) -> None:
    """Link in `new` what `old` holds besides its own and what is made anew: whichever folder stays has it."""
    folders = set()
    for file in sorted(old.rglob("*")):
        name = file.relative_to(old)
        linked = new / name
        is_folder = file.is_dir() and not file.is_symlink()
        if is_folder or str(name) in own or os.path.lexists(linked):
            continue
        linked.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, linked, follow_symlinks=False)
        except OSError:  # a file system without hard links
            shutil.copy2(file, linked, follow_symlinks=False)
            if linked.is_file():
                _sync(linked)
        folders.add(linked.parent)
    for folder in folders:
        _sync(folder)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _put(temporary: Path, path: Path) -> None:
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- JSON ------------------------------------------------------------------------------------


def dump_json(value: Any) -> str:
    """Indented JSON that refuses NaN: a file that only Python can read is not JSON."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    with new_file(path) as temporary:
        temporary.write_text(dump_json(value), encoding="utf-8")


def read_json(path: Path, format: str, keys: Mapping[str, type] | None = None) -> dict[str, Any]:
    """Read a JSON object whose `"format"` is `format` ("name/major") and that holds values of these types."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; a {format} file is needed. Check the path.") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; it must be read. Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON; a {format} file is needed. Make it again.") from error
    require_format(path, value.get("format") if isinstance(value, dict) else None, format)
    for key, kind in (keys or {}).items():
        if not isinstance(value.get(key), kind):
            raise DataError(
                f"{path}: its {key!r} is {value.get(key)!r}; a {format} file is needed. Make it again."
            )
    return dict(value)


def require_format(path: Path, found: object, format: str) -> None:
    """Raise FormatError where a file's format is another, or of another version."""
    if found != format:
        raise FormatError(
            f"{path}: its format is {found!r}; this version reads {format!r}. "
            "Use the version of tile2vec that wrote it, or make it again."
        )


def is_version_of(found: object, format: str) -> bool:
    """Whether a format is this one in any version: one of ours, then, and no other program's."""
    return isinstance(found, str) and found.rpartition("/")[0] == format.rpartition("/")[0]


# --- identity --------------------------------------------------------------------------------


def sha256_file(path: Path, skip: int = 0) -> str:
    """Of the file's bytes after the first `skip`."""
    with path.open("rb") as file:
        file.seek(skip)
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(*texts: str) -> str:
    """A short name for what the texts say together."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]

"""Where a run of many minutes keeps what it resumes from: a hidden folder beside its output."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tile2vec_cli.errors import OutputError
from tile2vec_cli.outputs.parts import make_folder, remove, sweep


class Busy(OutputError):
    """Another run is making the same output."""


@contextmanager
def opened(out: Path) -> Iterator[Path]:
    """Yield `place(out)`; one run holds the hidden folder around it at a time, another gets Busy."""
    room, handle = _locked(out)
    try:
        sweep(room)
        try:
            yield place(out)
        finally:
            with suppress(OSError):  # what it resumes from is there
                room.rmdir()
    finally:
        os.close(handle)


def place(out: Path) -> Path:
    """Where a run for `out` keeps what it resumes from."""
    return _room(out) / "last"


def _locked(out: Path) -> tuple[Path, int]:
    room = _room(out)
    while True:
        make_folder(room)
        try:
            handle = os.open(room, os.O_RDONLY)
        except FileNotFoundError:  # another run has ended just now
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise Busy(f"{out}: another run is training this model. Wait until it ends.") from error
        except OSError:  # a file system without locks
            return room, handle
        # A lock on a folder that another run has removed meanwhile keeps nobody out.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), room.stat()):
                return room, handle
        os.close(handle)


def discard(out: Path) -> None:
    """Remove what a run for `out` has left, unless one is still at it."""
    if not _room(out).exists():
        return
    with suppress(Busy), opened(out) as checkpoint:
        remove(checkpoint)


def _room(out: Path) -> Path:
    return out.parent / f".{out.name}.training"

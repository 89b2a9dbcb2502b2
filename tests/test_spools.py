"""What is written once and then read in place."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path

import numpy as np
import pytest

from tile2vec_cli.errors import OutputError
from tile2vec_cli.outputs import spools
from tile2vec_cli.outputs.spools import Spool, release

ROWS = np.random.default_rng(0).normal(size=(100, 7)).astype(np.float32)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk: the system refuses to write more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("held", [10, 1 << 20])
def test_what_is_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(spools, "_HELD", held)
    with Spool(tmp_path) as spool:
        spool.write(ROWS[:60])
        spool.write(ROWS[60:])
        buffer = spool.mapped()
        assert not list(tmp_path.iterdir())  # the file has no name
    assert isinstance(buffer, mmap) == (held < ROWS.nbytes)
    found = np.frombuffer(buffer, np.float32).reshape(-1, 7)
    assert (found == ROWS).all()
    release(buffer)
    assert (found == ROWS).all()


def test_a_full_disk_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "_HELD", 10)
    message = rf"{tmp_path}: File too large; vectors are unpacked there and need room\. Free some\.$"
    with files_of_at_most(1000), Spool(tmp_path) as spool, pytest.raises(OutputError, match=message):
        spool.write(ROWS)
        spool.mapped()
    with Spool(tmp_path / "none") as spool, pytest.raises(OutputError, match="none: No such file"):
        spool.write(ROWS)
    assert not list(tmp_path.iterdir())

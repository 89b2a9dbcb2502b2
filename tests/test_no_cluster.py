"""Clusters that are not there."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import embedded
import pytest

from tile2vec_cli.errors import DataError, InputError, UsageError
from tile2vec_cli.workers import clusters, work
from tile2vec_cli.workers.clusters import Cluster


def begin(where: str, folder: Path) -> None:
    """Send it work, of which nothing is ever done."""
    for _ in work.each(range(2), int, name=str, strict=False, workers=Cluster(where), folder=folder):
        raise AssertionError


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_no_scheduler_answers(
    silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clusters, "_CONNECT_S", 0.3)
    file = tmp_path / "scheduler.json"
    file.write_text(f'{{"address": "{silent}"}}')
    for where in (silent, "tcp://127.0.0.1:1", str(file)):
        with pytest.raises(InputError, match=f"--dask {where}: no Dask scheduler answers at tcp://"):
            begin(where, tmp_path)
    with pytest.raises(InputError, match="no such file"):
        begin(str(tmp_path / "none.json"), tmp_path)
    for text in ("", "[]", '{"address": 1}', '{"address": "here"}'):
        file.write_text(text)
        with pytest.raises(DataError, match="holds no scheduler's address"):
            begin(str(file), tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "where", ["http://a:1", "tcp://", "tcp://a", "tcp://a:b", "tcp://a:99999", "inproc://1/2/3"]
)
def test_what_is_no_address_is_wrong_usage(where: str) -> None:
    with pytest.raises(UsageError, match="is not a scheduler's address"):
        Cluster(where)


@pytest.mark.parametrize("command", [("tile",), ("embed", "--model", "m"), ("map", "--model", "m")])
def test_without_the_extra_a_line_says_what_to_install(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    options = (tmp_path, "--out", tmp_path / "out", "--dask", "local")
    done = embedded.call(capsys, monkeypatch, *command, *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
    assert "pip install 'tile2vec-cli[dask]'" in done.err
    assert not (tmp_path / "out").exists()

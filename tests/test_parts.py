from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tile2vec_cli.errors import DataError, InputError, OutputError, UsageError
from tile2vec_cli.outputs import parts
from tile2vec_cli.workers.work import Shard


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a.txt"
    with parts.new_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert entries(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_fails_leaves_nothing_and_loses_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(error), parts.new_file(path) as temporary:
        temporary.write_text("new")
        raise error
    with pytest.raises(error), parts.new_folder(tmp_path / "folder") as temporary:
        (temporary / "x").write_text("new")
        raise error
    assert path.read_text() == "old"
    assert entries(tmp_path) == ["a"]


def test_a_full_disk_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a: No space left on device"), parts.new_file(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert entries(tmp_path) == []


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"below: Not a directory; a folder .* here\. Choose another\."):
        parts.make_folder(tmp_path / "file" / "below")
    with pytest.raises(InputError, match=r"no such file; a x/1 file is needed\. Check the path\."):
        parts.read_json(tmp_path / "none.json", "x/1")


def test_a_folder_replaces_an_older_one(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with parts.new_folder(tmp_path / "folder") as temporary:
            (temporary / text).write_text(text)
    assert entries(tmp_path) == ["folder"]
    assert entries(tmp_path / "folder") == ["two"]


@pytest.mark.parametrize("links", [True, False])
def test_what_is_somebodys_own_comes_into_the_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(os, "link", refused)
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    for name in ("gone", "made", "notes", "below/gone", "below/notes"):
        (folder / name).write_text("old")
    (folder / "link").symlink_to("nowhere")
    with parts.new_folder(folder, ("gone", "below/gone")) as temporary:
        (temporary / "made").write_text("new")
    assert entries(tmp_path) == ["folder"]
    assert entries(folder) == ["below", "link", "made", "notes"]
    assert entries(folder / "below") == ["notes"]
    assert (folder / "below" / "notes").read_text() == (folder / "notes").read_text() == "old"
    assert (folder / "made").read_text() == "new"
    assert (folder / "link").readlink() == Path("nowhere")


def test_a_folder_that_another_process_has_made_meanwhile_stays(tmp_path: Path) -> None:
    """It may have readers by now."""
    with parts.new_folder(tmp_path / "folder") as late:
        (late / "late").touch()
        with parts.new_folder(tmp_path / "folder") as early:
            (early / "early").touch()
    assert entries(tmp_path) == ["folder"]
    assert entries(tmp_path / "folder") == ["early"]


def test_a_file_with_others_beside_it_while_it_is_made(tmp_path: Path) -> None:
    with parts.new_file_from(tmp_path / "a.tif") as (path, room):
        path.write_text("whole")
        (room / "a.tif.ovr.tmp").write_text("of a library")
        parts.sweep(tmp_path)  # by another run, at work beside this one
        assert path.exists() and (room / "a.tif.ovr.tmp").exists()
        assert not (tmp_path / "a.tif").exists()
    assert entries(tmp_path) == ["a.tif"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        parts.make_folder(tmp_path / "file" / "below")
    with pytest.raises(OutputError, match="file"), parts.new_file(tmp_path / "file" / "a"):
        pass


def test_sweep_takes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".tmp-dead").write_text("left behind")
    (tmp_path / ".tmp-dead-folder").mkdir()
    (tmp_path / "a").touch()
    with parts.new_file(tmp_path / "b") as alive:
        parts.sweep(tmp_path)
        assert alive.exists()
    assert entries(tmp_path) == ["a", "b"]
    parts.sweep(tmp_path / "nowhere")


def test_json_refuses_nan_and_other_formats(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    parts.write_json(path, {"format": "x/1", "value": 1.5})
    assert parts.read_json(path, "x/1")["value"] == 1.5
    with pytest.raises(DataError, match=r"'x/1'.*'x/2'"):
        parts.read_json(path, "x/2")
    with pytest.raises(ValueError, match="JSON"):
        parts.write_json(path, {"value": float("nan")})
    assert json.loads(path.read_text())["value"] == 1.5
    path.write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        parts.read_json(path, "x/1")
    with pytest.raises(InputError, match="no such file"):
        parts.read_json(tmp_path / "none.json", "x/1")


@given(st.integers(0, 50), st.integers(1, 9))
def test_shards_take_each_unit_once(units: int, count: int) -> None:
    taken = [Shard(index, count).take(range(units)) for index in range(1, count + 1)]
    assert sorted(unit for some in taken for unit in some) == list(range(units))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ID": "1", "MIN": "1", "COUNT": "4"}, Shard(1, 4)),
        ({"ID": "3", "MIN": "0", "COUNT": "4"}, Shard(4, 4)),
        ({"ID": "17", "MIN": "5", "STEP": "4", "COUNT": "4"}, Shard(4, 4)),
        ({"ID": "2", "COUNT": "2"}, Shard(2, 2)),
    ],
)
def test_slurm_arrays(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: Shard) -> None:
    for name in ("ID", "MIN", "STEP", "COUNT"):
        monkeypatch.delenv(f"SLURM_ARRAY_TASK_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert Shard.parse("slurm") == expected


@given(st.integers(0, 50), st.sampled_from([0, 1, 7]), st.integers(1, 5), st.integers(1, 9))
def test_slurm_arrays_take_each_unit_once(units: int, first: int, step: int, count: int) -> None:
    taken: list[int] = []
    array = {"MIN": first, "MAX": first + step * (count - 1), "STEP": step, "COUNT": count}
    for number in range(first, array["MAX"] + 1, step):
        variables = {f"SLURM_ARRAY_TASK_{k}": str(v) for k, v in {**array, "ID": number}.items()}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            taken += Shard.parse("slurm").take(range(units))
    assert sorted(taken) == list(range(units))


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3", "slurm"])
def test_shards_that_cannot_be(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)

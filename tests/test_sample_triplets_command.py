"""`tile2vec sample-triplets` as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from projects import write_scene


@pytest.fixture(scope="module")
def tiles(tile2vec: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 tiles of 100 m in each of two scenes, a degree apart."""
    folder = tmp_path_factory.mktemp("tiles")
    for name, west in (("a", 500_000), ("b", 600_000)):
        write_scene(folder / "scenes" / f"{name}.tif", west)
    done = tile2vec("tile", folder / "scenes", "--out", folder / "tiles", "--size", 10)
    assert done.code == 0, done.err
    return folder / "tiles"


def test_the_report_and_the_file(tile2vec: Callable, tiles: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "t.parquet"
    done = tile2vec("sample-triplets", tiles, "--out", out, "--count", 3000, "--neighborhood", 150, "--json")
    assert done.code == 0, done.err
    report = done.report
    assert report["format"] == "tile2vec-report/1"
    assert report["command"] == "sample-triplets"
    assert report["triplets"] == 3000
    assert report["anchors_without_neighbor"] == 0
    assert (
        99
        < report["neighbor_m"]["min"]
        <= report["neighbor_m"]["median"]
        <= report["neighbor_m"]["max"]
        <= 150
    )
    assert (
        150
        < report["distant_m"]["min"]
        < report["distant_m"]["median"]
        < report["distant_m"]["max"]
        < 110_000
    )
    assert report["inputs"] == [str(tiles)]
    assert report["outputs"] == [str(out)]
    table = pq.read_table(out)
    assert table.num_rows == 3000
    assert table["anchor"].to_numpy().max() < 72


def test_run_again(tile2vec: Callable, tiles: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.parquet"
    command = ("sample-triplets", tiles, "--out", out, "--count", 500)
    first = tile2vec(*command, "--json").report
    content, written = out.read_bytes(), out.stat().st_mtime_ns
    again = tile2vec(*command, "--json", "--workers", 1).report
    assert again["up_to_date"]
    assert out.stat().st_mtime_ns == written
    keys = ("triplets", "anchors_without_neighbor", "neighbor_m", "distant_m")
    assert {key: again[key] for key in keys} == {key: first[key] for key in keys}
    other = tile2vec("sample-triplets", tiles, "--out", out, "--count", 400)
    assert other.code == 65
    assert other.err.count("\n") == 1
    assert "count" in other.err
    assert "--overwrite" in other.err
    assert out.read_bytes() == content
    assert tile2vec("sample-triplets", tiles, "--out", out, "--count", 400, "--overwrite").code == 0
    assert pq.read_metadata(out).num_rows == 400


def test_a_tile_set_that_has_grown_is_another_input(tile2vec: Callable, tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes" / "b.tif", 500_000)
    out, tiles = tmp_path / "t.parquet", tmp_path / "tiles"
    cut = ("tile", tmp_path / "scenes", "--out", tiles, "--size", 10)
    command = ("sample-triplets", tiles, "--count", 500, "--out")
    assert tile2vec(*cut).code == tile2vec(*command, out).code == 0
    content = out.read_bytes()
    write_scene(tmp_path / "scenes" / "a.tif", 500_500)
    assert tile2vec(*cut).code == tile2vec(*command, out).code == 0
    assert tile2vec(*command, tmp_path / "direct.parquet").code == 0
    assert (tmp_path / "direct.parquet").read_bytes() == out.read_bytes() != content


def test_no_traces_are_left(tile2vec: Callable, tiles: Path, tmp_path: Path) -> None:
    leftover = tmp_path / ".tmp-0123456789ab.parquet"
    leftover.write_text("of a killed run")
    assert tile2vec("sample-triplets", tiles, "--out", tmp_path / "t.parquet", "--quiet").err == ""
    assert not leftover.exists()
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--count", "0"), 2, "--count 0"),
        (("--neighborhood", "nan"), 2, "--neighborhood nan"),
        (("--neighborhood", "-5"), 2, "--neighborhood -5"),
        (("--neighbors", "some"), 2, "any, same-scene, other-scene"),
        (("--distant-min", "100", "--distant-max", "100"), 2, "--distant-max"),
        (("--workers", "0"), 2, "--workers 0"),
        (("--neighborhood", "50"), 65, "the nearest two are 100.0"),
        (("--distant-min", "1e7"), 65, "no tile lies more than 1e+07 m"),
        (("--neighbors", "other-scene"), 65, "of another scene"),
    ],
)
def test_bad_settings(
    tile2vec: Callable, tiles: Path, tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    done = tile2vec("sample-triplets", tiles, "--out", tmp_path / "t.parquet", *options)
    assert done.code == code
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert words in done.err
    assert done.out == ""
    assert not list(tmp_path.glob("*.parquet"))


def test_bad_paths(tile2vec: Callable, tiles: Path, tmp_path: Path) -> None:
    missing = tile2vec("sample-triplets", tmp_path / "none", "--out", tmp_path / "t.parquet")
    assert (missing.code, missing.err.count("\n")) == (66, 1)
    assert "none" in missing.err
    folder = tile2vec("sample-triplets", tiles, "--out", tiles)
    assert (folder.code, folder.err.count("\n")) == (73, 1)
    (tmp_path / "file").write_text("")
    below = tile2vec("sample-triplets", tiles, "--out", tmp_path / "file" / "t.parquet")
    assert (below.code, below.err.count("\n")) == (73, 1)
    other = tile2vec("sample-triplets", tiles, "--out", tmp_path / "file")
    assert (other.code, other.err.count("\n")) == (65, 1)

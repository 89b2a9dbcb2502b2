"""Where errors become exit codes: wrong usage, and a stdout that is full."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, SceneWriter

from tile2vec_cli.tiling.tiles import TileSet


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tile", "--bogus"), "--bogus"),
        (("tile", "scenes"), "--out"),
        (("tile", "scenes", "--out", "tiles", "--size", "wide"), "--size"),
        (("probe", "vectors", "--labels"), "--labels"),
        (("tessellate",), "tessellate"),
    ],
)
def test_wrong_usage_is_one_line(
    tile2vec: Callable[..., Run], tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = tile2vec(*arguments, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ") and done.err.count("\n") == 1
    assert said in done.err and "--help" in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("tile", "{}.tif", "--out", "tiles"),
        ("tile", "scenes", "--out", "{}"),
        ("probe", "{}.parquet", "--labels", "labels.tif"),
        ("sample-triplets", "tiles", "--out", "{}.parquet"),
    ],
)
def test_a_name_may_be_too_long(
    tile2vec: Callable[..., Run], write_scene: SceneWriter, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "scenes").mkdir()
    write_scene("scenes/a.tif", np.ones((1, 8, 8), np.uint8))
    tile2vec("tile", "scenes", "--size", 4, "--out", "tiles", cwd=tmp_path)
    done = tile2vec(*[one.format("a" * 300) for one in arguments], cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert "too long for the name of a file" in done.err and done.err.count("\n") == 1


def test_without_arguments_there_is_help(tile2vec: Callable[..., Run]) -> None:
    done = tile2vec()
    assert "Usage: " in done.out + done.err and "weak-segment" in done.out + done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_stdout_is_said(
    tmp_path: Path, write_scene: SceneWriter, noise: Callable[..., np.ndarray]
) -> None:
    scene = write_scene("a.tif", noise(2, 60, 60))
    run = [sys.executable, "-m", "tile2vec_cli", "tile", scene, "--out", tmp_path / "tiles", "--quiet"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(run, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 73
    assert done.stderr.startswith("error: stdout: ") and done.stderr.count("\n") == 1
    assert len(TileSet.open(tmp_path / "tiles")) == 1

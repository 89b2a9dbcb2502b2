"""Commands of many units of work, stopped by signals: the exit code within ten seconds, the same bytes after.

`train` has tests of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import fields
import forks
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))

from harness import content, finished, strays

SIGNALS = [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)]
PROMISED_S = 10

Commands = dict[str, tuple[tuple[object, ...], str, str]]


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tile set with labels, and eight scenes of the same ground."""
    folder = tmp_path_factory.mktemp("signals")
    scene, _, _ = fields.make(folder, side=128)
    for number in range(8):
        shutil.copy2(scene, scene.with_name(f"s{number}.tif"))
    done = forks.run((*train(folder), "--out", folder / "model"))
    assert done.code == 0, done.stderr
    return folder


CPU = ("--device", "cpu", "--precision", "fp32", "--quiet")


def train(land: Path, *options: object) -> tuple[object, ...]:
    arguments = ("weak-segment", land / "tiles", "--labels", land / "labels.tif", "--positive", "1")
    return (*arguments, "--recipe", "paper", "--supervision", "image", "--epochs", "1", *CPU, *options)


@pytest.fixture(scope="module")
def commands(land: Path) -> Commands:
    """Arguments, the output's name, and what shows that a first unit of work is done."""
    study = train(land, "--n-labels", "20", "--repeats", "5")
    maps = ("map", land / "scenes", "--model", land / "model", *CPU)
    (land / "many").mkdir()
    for number in range(60):
        shutil.copy(land / "scenes" / "land.tif", land / "many" / f"m{number:02}.tif")
    cut = ("tile", land / "many", "--size", fields.SIDE, "--min-valid", "0.25", "--workers", "1", "--quiet")
    drawn, encoder = land / "triplets.parquet", land / "encoder"
    learn = (
        "train",
        drawn,
        "--tiles",
        land / "tiles",
        "--encoder",
        "small",
        "--dim",
        "8",
        "--steps",
        "1",
        *CPU,
    )
    for argv, out in (
        (cut, land / "many-tiles"),
        (("sample-triplets", land / "tiles", "--count", "100", "--quiet"), drawn),
        (learn, encoder),
    ):
        done = forks.run((*argv, "--out", out))
        assert done.code == 0, done.stderr
    embed = ("embed", land / "many-tiles", "--model", encoder, *CPU)
    return {
        "tile": (cut, "cut", "cut/parts/*"),
        "embed": (embed, "vectors", "vectors/*.parquet"),
        "weak-segment": (study, "study", ".study.training/last/image-*.json"),
        "map": ((*maps, "--workers", "1"), "maps", "maps/*.tif"),
        "map with workers": ((*maps, "--workers", "3"), "maps", "maps/*.tif"),
    }


@pytest.fixture(scope="module")
def undisturbed(land: Path, commands: Commands) -> dict[str, dict[str, bytes]]:
    found = {}
    for argv, name, _ in commands.values():
        if name not in found:
            done = forks.run((*argv, "--out", land / "whole" / name))
            assert done.code == 0, done.stderr
            found[name] = content(land / "whole" / name)
    return found


@pytest.mark.parametrize("name", ["tile", "embed", "weak-segment", "map", "map with workers"])
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_stops_it_soon_and_loses_nothing(
    land: Path,
    commands: Commands,
    undisturbed: dict[str, dict[str, bytes]],
    name: str,
    number: signal.Signals,
    code: int,
) -> None:
    argv, out, state = commands[name]
    folder = land / "out"  # beside `whole`: reports hold paths as seen from the output
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    fork = forks.Fork((*argv, "--out", folder / out))
    deadline = time.monotonic() + 120
    while not finished(folder, state) and time.monotonic() < deadline:
        time.sleep(0.005)
    fork.send(number)
    stopped = fork.result(PROMISED_S)
    assert stopped.code == code, stopped
    assert stopped.stderr.startswith("error: stopped on a signal") and stopped.stderr.count("\n") == 1
    saved = finished(folder, state)
    assert saved
    again = forks.run((*argv, "--out", folder / out))
    assert again.code == 0, again.stderr
    assert content(folder / out) == undisturbed[out]
    assert not strays(folder)
    if name != "weak-segment":  # whose state goes when the model is there
        assert finished(folder, state).items() >= saved.items()


def test_a_signal_while_gdal_waits_for_a_file(tmp_path: Path) -> None:
    """GDAL tells of the file that it could not read, and Python swallows what is raised meanwhile."""
    pipe = tmp_path / "pipe.tif"
    os.mkfifo(pipe)
    fork = forks.Fork(("tile", pipe, "--out", tmp_path / "tiles", "--quiet"))
    writer, deadline = None, time.monotonic() + 120
    while writer is None and time.monotonic() < deadline:
        try:
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            time.sleep(0.005)
    assert writer is not None
    fork.send(signal.SIGTERM)
    os.close(writer)
    stopped = fork.result(PROMISED_S)
    assert stopped.code == 75, stopped
    assert stopped.stderr.startswith("error: stopped on a signal") and stopped.stderr.count("\n") == 1

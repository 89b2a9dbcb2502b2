"""`tile2vec train` as a process: exit codes, streams, signals, kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forks
import landscapes
import pytest

ENVIRONMENT = {**os.environ, "SLURM_CPUS_PER_TASK": "1", "OMP_NUM_THREADS": "1"}
PROGRAM = [sys.executable, "-m", "tile2vec_cli"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return landscapes.make(tmp_path_factory.mktemp("train"))


def command(data: tuple[Path, Path], out: Path, *options: str) -> list[str]:
    tiles, triplets = data
    arguments = ["train", str(triplets), "--tiles", str(tiles), "--out", str(out)]
    return [*arguments, "--encoder", "small", "--batch-size", "16", *options]


def test_the_report_has_the_contract_s_keys(data: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = command(data, tmp_path / "model", "--steps", "4", "--json", "--quiet")
    done = subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert (report["format"], report["command"]) == ("tile2vec-report/1", "train")
    assert {
        "steps",
        "triplets_seen",
        "triplets_per_second",
        "train_loss",
        "val_loss",
        "val_triplet_accuracy",
        "device",
        "precision",
    } < set(report)
    assert report["steps"] == 4
    assert report["outputs"] == [str(tmp_path / "model")]
    assert not report["up_to_date"]

    again = forks.run([item for item in arguments if item not in {"--json", "--quiet"}])
    assert again.code == 0
    assert "up to date" in again.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--margin", "nan"], 2, "--margin nan: needs a number above 0"),
        (["--encoder", "large"], 2, "--encoder large: unknown"),
        (["--steps", "0"], 2, "--steps 0"),
        (["--lr", "-1"], 2, "--lr -1"),
        (["--minutes", "inf"], 2, "--minutes inf"),
        (["--val-fraction", "1"], 2, "--val-fraction 1"),
        (["--val-fraction", "0.999"], 65, "--val-fraction 0.999"),
        (["--tiles", "nowhere"], 66, "nowhere: no such folder"),
        (["--objective", "cluster"], 2, "--objective cluster: unknown"),
        (["--labels", "a.csv"], 2, "--labels: --objective triplet does not use it"),
        (["--objective", "context"], 65, "have 8 pixels a side; --objective context needs 15"),
        (["--objective", "order"], 65, "have no dates"),
        (["--objective", "supervised", "--labels", "a.csv"], 66, "a.csv: no such file"),
        (["--init", "nowhere"], 66, "nowhere: no such folder"),
        (["--lr", "1e30", "--steps", "500"], 65, "finite numbers are needed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line(
    data: tuple[Path, Path], tmp_path: Path, options: list[str], code: int, words: str
) -> None:
    done = forks.run(command(data, tmp_path / "model", *options))
    assert done.code == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Train: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert words in lines[0]
    assert not (tmp_path / "model").exists()


def test_files_that_are_no_input(data: tuple[Path, Path], tmp_path: Path) -> None:
    tiles, _ = data
    (tmp_path / "text").write_text("no triplets")
    assert forks.run(command((tiles, tmp_path / "none"), tmp_path / "model")).code == 66
    assert forks.run(command((tiles, tmp_path / "text"), tmp_path / "model")).code == 65
    done = forks.run(command(data, tmp_path / "text", "--steps", "1"))
    assert done.code == 73
    assert (tmp_path / "text").read_text() == "no triplets"


STOPPABLE = ("--steps", "200", "--dim", "16", "--quiet")


@pytest.fixture(scope="module")
def whole(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "model"
    assert forks.run(command(data, out, *STOPPABLE)).code == 0
    return out


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_stopped_run_is_resumed_to_the_same_bytes(
    data: tuple[Path, Path], whole: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    out = tmp_path / "model"
    arguments = command(data, out, *STOPPABLE)
    state = tmp_path / ".model.training" / "last" / "state.json"
    for pause_s in (0.1, 2, 8):  # a busy machine may not have made a step before
        shutil.rmtree(tmp_path / ".model.training", ignore_errors=True)
        process = subprocess.Popen([*PROGRAM, *arguments], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(pause_s)
        process.send_signal(number)
        _, text = process.communicate(timeout=10)
        assert process.returncode == code, text
        assert not out.exists()
        if number == signal.SIGKILL:
            break
        assert text.count("\n") == 1
        if json.loads(state.read_text())["step"]:
            break
    else:
        pytest.fail("no step was made before the signal")

    assert forks.run(arguments).code == 0
    for name in ("model.safetensors", "model.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert not list(tmp_path.glob(".*"))

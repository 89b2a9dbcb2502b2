from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tile2vec_cli import console, progress
from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.console import Console, table
from tile2vec_cli.errors import Failure, Interrupted
from tile2vec_cli.job import interrupts


def test_a_report_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    Console("tile", as_json=True).show(Outcome("tile", {"tiles": 6, "skipped": {}}, [Path("a")], [Path("b")]))
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert err == ""
    assert report.pop("seconds") >= 0
    assert report == {
        "format": "tile2vec-report/1",
        "command": "tile",
        "inputs": ["a"],
        "outputs": ["b"],
        "up_to_date": False,
        "tiles": 6,
        "skipped": {},
    }


def test_a_report_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    keys = {"tiles": 12345, "rate": 0.98765, "skipped": {"small": 2}, "none": None, "list": [1]}
    Console("tile").show(Outcome("tile", keys, [], [Path("b")], up_to_date=True))
    out, err = capsys.readouterr()
    assert err == "b: up to date\n"
    assert out.splitlines() == ["tiles    12,345", "rate     0.9877", "skipped  small 2", "output   b"]


def test_columns_of_numbers_are_right_aligned() -> None:
    text = table([("logistic", 0.5), ("knn", 12.25)], header=("name", "accuracy"))
    assert text.splitlines() == ["name      accuracy", "logistic       0.5", "knn          12.25"]
    assert table([]) == ""


def test_failures_are_named_and_decide_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    Console("tile").finish([])
    with pytest.raises(SystemExit) as stop:
        Console("tile", quiet=True).finish([Failure("a", "a: bad\nfile", 65), Failure("b", "b: gone", 66)])
    assert stop.value.code == 65
    assert capsys.readouterr().err == "error: a: bad file\nerror: b: gone\n"


class Clock:
    """A clock that stands where it is put."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console.time, "monotonic", clock)
    return clock


Steps = list[tuple[float, int]]  # seconds, units done


def logged(clock: Clock, capsys: pytest.CaptureFixture[str], steps: Steps, total: int = 1000) -> list[str]:
    update = progress._Log("tile", "tiles", clock.now).update
    for clock.now, done in steps:
        update(done, total)
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_a_line_every_ten_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = logged(clock, capsys, [(1, 10), (5, 50), (11, 110), (12, 120), (22, 220)])
    assert lines == ["tile: 110 of 1,000 tiles, 10/s, 89 s left", "tile: 220 of 1,000 tiles, 10/s, 78 s left"]


def test_no_estimate_before_there_is_a_rate(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """A start-up of 14 seconds is no rate, nor are two units in one second."""
    lines = logged(clock, capsys, [(14, 1), (15, 2), (25, 221)], 260)
    assert lines == ["tile: 1 of 260 tiles", "tile: 221 of 260 tiles, 20/s, 2 s left"]


def test_slow_units_are_told_in_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = logged(clock, capsys, [(20, 1), (55, 2), (90, 3)], 100)
    assert lines == [
        "tile: 1 of 100 tiles",
        "tile: 2 of 100 tiles, 35 s each, 57 min left",
        "tile: 3 of 100 tiles, 35 s each, 57 min left",
    ]


def test_what_an_earlier_run_has_done_is_no_rate(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = logged(clock, capsys, [(1, 900), (11, 920)])
    assert lines == ["tile: 920 of 1,000 tiles, 2/s, 40 s left"]


def test_progress_never_runs_backwards(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lines = logged(clock, capsys, [(1, 100), (10, 300), (11, 299), (21, 298)])
    assert [line.split(" of ")[0] for line in lines] == ["tile: 300", "tile: 300"]


def test_a_log_goes_on_where_the_work_has_nothing_to_tell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = threading.active_count()
    monkeypatch.setattr(progress, "_LOG_EVERY_S", 0.01)
    with Console("probe").progress("probe", "fits") as update:
        time.sleep(0.1)
        update(0, 4)
        time.sleep(0.1)
        update(4, 4)
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    for line in ("probe: 0 s so far", "probe: 0 of 4 fits", "probe: 4 of 4 fits, finishing"):
        assert lines.count(line) > 1
    assert threading.active_count() == before


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = Console("tile", quiet=True)
    quiet.say("hello")
    with quiet.progress("tile", "tiles") as update:
        update(1, 2)
    assert capsys.readouterr().err == ""


def test_progress_tells_workers_of_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_pending", 75)
    with Console("tile", quiet=True).progress("tile", "tiles") as update, pytest.raises(Interrupted):
        update(1, 2)
    with interrupts.held(), Console("tile", quiet=True).progress("tile", "tiles") as update:
        update(1, 2)
        assert interrupts.stop_requested()


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 75), ("SIGUSR1", 75), ("SIGINT", 130)])
def test_signals_become_exit_codes(name: str, code: int) -> None:
    program = (
        "import sys, time; from tile2vec_cli import cli\n"
        "cli.app = lambda **_: (print('ready', flush=True), time.sleep(30))\n"
        "cli.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, getattr(signal, name))
        _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert err.startswith("error: stopped on a signal") and err.count("\n") == 1


def test_a_signal_that_python_swallows_is_not_lost() -> None:
    """As what is raised while a library calls back."""
    program = (
        "import signal\n"
        "from tile2vec_cli import cli, errors\n"
        "class Back:\n"
        "    def __del__(self): signal.raise_signal(signal.SIGTERM)\n"
        "def app(**_):\n"
        "    Back()\n"
        "    raise errors.DataError('a.tif: damaged')\n"
        "cli.app = app\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert done.stderr.startswith("error: stopped on a signal") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_to_a_process_that_ends_changes_nothing(name: str) -> None:
    """As Slurm's warning may: Python has given up its handlers when modules are taken down."""
    program = (
        "import os, signal\n"
        "from tile2vec_cli import cli\n"
        "class Late:\n"
        f"    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.{name}): kill(pid, number)\n"
        "late = Late()\n"
        "cli.app = lambda **_: print('done')\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")

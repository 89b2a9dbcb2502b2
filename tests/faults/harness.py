"""Trials: kill or fail a command at an output operation, run it again, compare bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
KILL = -1
COUNT = 0


@dataclass(frozen=True)
class Result:
    code: int
    count: int | None
    stderr: str


@dataclass(frozen=True)
class Faults:
    """A running server (see server.py)."""

    process: subprocess.Popen[str]

    def run(self, argv: Sequence[object], prefix: Path, at: int = 0, action: int = COUNT) -> Result:
        request = {"argv": [str(a) for a in argv], "prefix": str(prefix), "at": at, "action": action}
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the fault server has died"
        return Result(**json.loads(line))


def build_shim(folder: Path) -> Path | None:
    """Compile the shim; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    shim = folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, HERE / "shim.c", "-ldl"], check=True)
    return shim


@contextmanager
def server(shim: Path) -> Iterator[Faults]:
    environment = {**os.environ, "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(HERE / "server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        yield Faults(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def content(path: Path, *, logs: bool = False) -> dict[str, bytes]:
    """Bytes of every file below `path` (or of the file), hidden ones too; logs with clock times aside."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    files = [file for file in files if logs or file.name != "metrics.jsonl"]
    return {str(file.relative_to(path.parent)): file.read_bytes() for file in files}


def strays(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.name.startswith(".")]


def finished(out: Path, pattern: str) -> dict[str, int]:
    """When each finished part was made: a part that is made again shows a new time."""
    parts = [part for part in out.glob(pattern) if not part.name.startswith(".")]
    return {str(part): part.stat().st_mtime_ns for part in parts}


@dataclass(frozen=True)
class Case:
    """A command, the folder that holds all of its output, and what in it counts as a finished part.

    What `state` matches is kept for the next run, until the parts are there.
    """

    name: str
    argv: tuple[str, ...]
    folder: Path
    parts: str = "nothing"
    state: str = "nothing"


def reference(faults: Faults, case: Case) -> tuple[dict[str, bytes], int]:
    """The bytes of an undisturbed run, and the number of its output operations."""
    shutil.rmtree(case.folder, ignore_errors=True)
    case.folder.mkdir(parents=True)
    result = faults.run(case.argv, case.folder)
    assert result.code == 0, result.stderr
    assert result.count
    assert not strays(case.folder)
    return content(case.folder), result.count


def survives(
    faults: Faults, case: Case, expected: dict[str, bytes], kills: Sequence[int], action: int
) -> int:
    """Fault the command at each of `kills`, run after run; then it must end as if nothing had been.

    Returns the number of faults that struck.
    """
    shutil.rmtree(case.folder, ignore_errors=True)
    case.folder.mkdir(parents=True)
    struck = 0
    before: dict[str, int] = {}
    kept: dict[str, int] = {}
    for at in kills:
        result = faults.run(case.argv, case.folder, at, action)
        where = f"{case.name} at {at} of {list(kills)}: {result.stderr}"
        assert "Traceback" not in result.stderr, where
        if action == KILL:
            assert result.code in (0, -9), where
        elif result.code != 0:
            assert result.code == 73, where
            assert result.stderr.count("\n") == 1, where
        struck += result.code != 0
        now = finished(case.folder, case.parts)
        redone = {part for part in before if part in now and now[part] != before[part]}
        assert not redone, f"{where}: made again: {redone}"
        before = now
        saved = finished(case.folder, case.state)
        assert now or saved.items() >= kept.items(), f"{where}: lost or made again: {kept} {saved}"
        kept = saved
    result = faults.run(case.argv, case.folder)
    where = f"{case.name} after {list(kills)}: {result.stderr}"
    assert result.code == 0, where
    assert content(case.folder) == expected, where
    assert not strays(case.folder), where
    now = finished(case.folder, case.parts)
    assert all(now[part] == made for part, made in before.items()), f"{where}: parts made again"
    return struck

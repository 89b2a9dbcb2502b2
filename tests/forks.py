"""Command lines as processes that are forked, several at once, from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_PRELOADED = ("cli", "tiling.cutting", "learning.training", "embedding.inference", "evaluation.probe_reports")
_PRELOADED += ("segmentation.mapping", "segmentation.weak_reports", "api.looking")
_NAMES = [f"tile2vec_cli.{name}" for name in _PRELOADED]
# What these import when they first need it.
_NAMES += ["torch._dynamo", "matplotlib.figure", "matplotlib.backends.backend_agg", "scipy.spatial"]
assert all(map(find_spec, _NAMES))  # the fork server says nothing of what it does not find
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_NAMES)
_ONE_CPU = {"SLURM_CPUS_PER_TASK": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Result:
    code: int
    stdout: str
    stderr: str


class Fork:
    """A running command line; `base` is the environment instead of ours with one CPU."""

    def __init__(
        self,
        argv: Sequence[object],
        gate: object = None,
        *,
        cwd: Path | None = None,
        stdin: str | None = None,
        base: Mapping[str, str] | None = None,
        **environment: str,
    ) -> None:
        self._files = tempfile.TemporaryDirectory()
        self._paths = [Path(self._files.name) / name for name in ("out", "err", "in")]
        self._paths[2].write_text(stdin or "")
        words = [str(word) for word in argv]
        settings = {**(os.environ | _ONE_CPU if base is None else base), **environment}
        arguments = (words, [str(path) for path in self._paths], str(cwd or Path.cwd()), settings, gate)
        self.process = _context.Process(target=_child, args=arguments)
        self.process.start()

    def send(self, number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def result(self, timeout_s: float = 300) -> Result:
        self.process.join(timeout_s)
        assert self.process.exitcode is not None, "it does not end"
        out, err = (path.read_text() for path in self._paths[:2])
        assert "Traceback" not in err, err
        self._files.cleanup()
        return Result(self.process.exitcode, out, err)


def run(argv: Sequence[object], **settings: Any) -> Result:
    """As `Fork` takes them."""
    return Fork(argv, **settings).result()


def at_once(
    commands: Sequence[Sequence[object]], environments: Sequence[Mapping[str, str]] = ()
) -> list[Result]:
    """Run all, none of which begins before all are there."""
    gate = _context.Barrier(len(commands))
    settings = environments or [{}] * len(commands)
    forks = [Fork(argv, gate, **extra) for argv, extra in zip(commands, settings, strict=True)]
    return [fork.result() for fork in forks]


def _child(argv: list[str], streams: list[str], cwd: str, environment: dict[str, str], gate: object) -> None:
    from tile2vec_cli import cli

    for number, path in enumerate(streams[:2], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(streams[2], os.O_RDONLY), 0)
    if environment.pop("CLOSED_STDOUT", None):
        reading, writing = os.pipe()
        os.dup2(writing, 1)
        os.close(writing)
        os.close(reading)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    # As files of their own: a fork server's streams may be wrapped.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    sys.argv = ["tile2vec", *argv]
    if gate is not None:
        gate.wait(120)  # type: ignore[attr-defined]
    try:
        cli.main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()

"""A short course of faults; `crash.py` beside this file is the long one."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cases import cases
from harness import KILL, Case, Faults, build_shim, reference, server, survives

STOPS = 3  # operations of each command at which it is stopped


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Faults, dict[str, Case]]]:
    folder = tmp_path_factory.mktemp("faults")
    shim = build_shim(folder)
    if shim is None:
        pytest.skip("faults need Linux and a C compiler (cc)")
    with server(shim) as faults:
        yield faults, {case.name: case for case in cases(faults, folder)}


NAMES = ["tile", "sample-triplets", "train", "embed", "embed-one-file", "probe"]
NAMES += ["weak-segment", "map", "map-one-file"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost(course: tuple[Faults, dict[str, Case]], name: str) -> None:
    faults, todo = course
    expected, count = reference(faults, todo[name])
    struck = 0
    for number in range(STOPS):
        at = 1 + number * (count - 1) // (STOPS - 1)
        action = (KILL, errno.ENOSPC, errno.EIO)[number % 3]
        struck += survives(faults, todo[name], expected, (at, max(1, count - at)), action)
    assert struck >= STOPS


def test_a_run_again_writes_nothing(course: tuple[Faults, dict[str, Case]]) -> None:
    faults, todo = course
    assert set(todo) == set(NAMES)
    for case in todo.values():
        reference(faults, case)
        again = faults.run(case.argv, case.folder)
        assert (again.code, again.count) == (0, 0), case.name

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tile2vec_cli.errors import DataError, Failure, InputError, Interrupted, OutputError
from tile2vec_cli.job import interrupts
from tile2vec_cli.workers import work


def double(unit: int, _advance: work.Advance) -> int:
    if unit == 3:
        raise DataError("three: bad")
    if unit == 5:
        raise InputError("five: missing")
    return 2 * unit


@pytest.mark.parametrize("workers", [1, 4])
def test_results_come_in_order_and_failures_between(workers: int) -> None:
    found = list(work.each(range(7), double, name=str, workers=workers, strict=False, folder=Path()))
    assert [unit for unit, _ in found] == list(range(7))
    failures = [result for _, result in found if isinstance(result, Failure)]
    assert failures == [Failure("3", "three: bad", 65), Failure("5", "five: missing", 66)]
    assert [result for _, result in found if not isinstance(result, Failure)] == [0, 2, 4, 8, 12]


@pytest.mark.parametrize("workers", [1, 4])
def test_strict_stops_at_the_first(workers: int) -> None:
    with pytest.raises(DataError, match="three"):
        list(work.each([3, *range(100)], double, name=str, workers=workers, strict=True, folder=Path()))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_fails_of_a_signal_is_no_failure(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_pending", 75)
    with pytest.raises(Interrupted):
        list(work.each([3, 5], double, name=str, workers=workers, strict=False, folder=Path()))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_stops_all(workers: int) -> None:
    done = []

    def fill(unit: int, _advance: work.Advance) -> int:
        done.append(unit)
        raise OutputError("full")

    with pytest.raises(OutputError):
        list(work.each(range(50), fill, name=str, workers=workers, strict=False, folder=Path()))
    assert len(done) < 50


def test_units_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(_unit: int, _advance: work.Advance) -> bool:
        return both.wait() >= 0

    assert list(work.each([0, 1], meet, name=str, workers=2, strict=True, folder=Path()))


@pytest.mark.parametrize("workers", [1, 3])
def test_progress_is_the_sum_of_what_the_units_advance_by(workers: int) -> None:
    def step(unit: int, advance: work.Advance) -> None:
        for _ in range(unit):
            advance(2)

    seen = []
    options = {"workers": workers, "strict": True, "folder": Path(), "total": 20}
    list(work.each(range(5), step, name=str, on_progress=lambda *now: seen.append(now), **options))
    assert sorted(seen) == [(done, 20) for done in range(2, 21, 2)]


def test_a_signal_ends_the_others_soon() -> None:
    def interrupted(unit: int, _advance: work.Advance) -> int:
        if unit == 1:
            raise Interrupted
        time.sleep(0.05)
        return unit

    started = time.monotonic()
    with pytest.raises(Interrupted):
        list(work.each(range(400), interrupted, name=str, workers=2, strict=False, folder=Path()))
    assert time.monotonic() - started < work._GRACE_S

"""Many units of work (scenes, parts) by several workers; a bad one does not stop the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, runtime_checkable

from tile2vec_cli.errors import Failure, Tile2VecError, UsageError
from tile2vec_cli.job import interrupts
from tile2vec_cli.outputs.parts import Progress, silent

Unit = TypeVar("Unit")
Result = TypeVar("Result")

Advance = Callable[[int], None]
"""Called with the tiles or pixels done since the last call."""

_Ended = SimpleQueue[tuple[int, Future[Any]]]

_GRACE_S = 5.0  # for workers to clean up behind a signal; ten seconds are promised in all


@dataclass(frozen=True)
class Shard:
    """Every `count`-th unit of work, beginning with the `index`-th (1-based)."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UsageError(f"--shard {self.index}/{self.count}: needs 1 <= I <= N.")

    @classmethod
    def parse(cls, text: str | None) -> Shard:
        """`None`, "I/N" or "slurm" (the array variables, whatever their first index and step)."""
        if text is None:
            return cls()
        if text == "slurm":
            return cls._from_slurm()
        index, slash, count = text.partition("/")
        if not slash or not index.isdigit() or not count.isdigit():
            raise UsageError(f"--shard {text}: needs I/N, such as 2/8, or slurm.")
        return cls(int(index), int(count))

    @classmethod
    def _from_slurm(cls) -> Shard:
        variables = {}
        for name in ("ID", "MIN", "STEP", "COUNT"):
            value = os.environ.get(f"SLURM_ARRAY_TASK_{name}", {"MIN": None, "STEP": "1"}.get(name))
            if value is None and name == "MIN":
                value = "1"  # very old Slurm: the array then has to start at 1
            if value is None or not value.isdigit():
                raise UsageError(
                    f"--shard slurm: SLURM_ARRAY_TASK_{name} is {value!r}; run it in a job array."
                )
            variables[name] = int(value)
        offset = variables["ID"] - variables["MIN"]
        return cls(offset // max(variables["STEP"], 1) + 1, variables["COUNT"])

    def take(self, items: Sequence[Unit]) -> list[Unit]:
        return list(items[self.index - 1 :: self.count])


@runtime_checkable
class Elsewhere(Protocol):
    """Workers outside this process, such as those of a cluster. Units, results and `do` travel there."""

    def each(
        self,
        units: Sequence[Unit],
        do: Callable[[Unit, Advance], Result],
        *,
        name: Callable[[Unit], str],
        strict: bool,
        folder: Path,
        advance: Advance,
    ) -> Iterator[tuple[int, Result | Tile2VecError]]:
        """Do each unit; yield its number and what came of it, as they are done."""


def each(
    units: Sequence[Unit],
    do: Callable[[Unit, Advance], Result],
    *,
    name: Callable[[Unit], str],
    workers: int | Elsewhere,
    strict: bool,
    folder: Path,
    total: int = 0,
    on_progress: Progress = silent,
) -> Iterator[tuple[Unit, Result | Failure]]:
    """Do each unit; yield it with what came of it, in the order of the units.

    `strict` raises the first error instead. `workers` are threads, because the work is done in
    libraries that release the interpreter's lock, or workers elsewhere, who must see `folder`, where
    the results go. `total` is what all units advance by.
    """
    lock, done = threading.Lock(), 0

    def advance(count: int) -> None:
        nonlocal done
        with lock:
            done += count
        on_progress(done, total)

    if isinstance(workers, int):
        results = _here(units, do, workers, strict, advance)
    else:
        found = workers.each(units, do, name=name, strict=strict, folder=folder, advance=advance)
        results = in_order(found)
    with closing(results):
        for unit, result in zip(units, results, strict=True):
            yield unit, Failure.of(name(unit), result) if isinstance(result, Tile2VecError) else result


def attempt(
    unit: Unit, do: Callable[[Unit, Advance], Result], strict: bool, advance: Advance
) -> Result | Tile2VecError:
    """Do a unit; return what kept it from being done, or raise it where it would keep the others as well."""
    try:
        return do(unit, advance)
    except Tile2VecError as error:
        interrupts.check()
        # Output that cannot be written, or a setting that no run can use, stays so for every unit.
        if strict or error.exit_code in (2, 73):
            raise
        return error


def _here(
    units: Sequence[Unit],
    do: Callable[[Unit, Advance], Result],
    workers: int,
    strict: bool,
    advance: Advance,
) -> Generator[Result | Tile2VecError]:
    if workers == 1 or len(units) < 2:
        for unit in units:
            yield attempt(unit, do, strict, advance)
        return
    pool, ended = ThreadPoolExecutor(workers), _Ended()
    futures = [pool.submit(attempt, unit, do, strict, advance) for unit in units]
    try:
        for number, future in enumerate(futures):
            future.add_done_callback(partial(_tell, ended, number))
        # As they end, so that what any of them raises is raised at once.
        yield from in_order((number, future.result()) for number, future in (ended.get() for _ in futures))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        wait([future for future in futures if not future.cancelled()], timeout=_GRACE_S)


def _tell(ended: _Ended, number: int, future: Future[Any]) -> None:
    ended.put((number, future))


def in_order(found: Iterator[tuple[int, Result]]) -> Generator[Result]:
    """Results that come with their numbers as they are done, in the order of these."""
    early: dict[int, Result] = {}
    due = 0
    for number, result in found:
        early[number] = result
        while due in early:
            yield early.pop(due)
            due += 1

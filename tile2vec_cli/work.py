"""Many units of work (scenes, parts) by several workers; a bad one does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from tile2vec_cli.errors import Failure, Tile2VecError

Unit = TypeVar("Unit")
Result = TypeVar("Result")

_GRACE_S = 5.0  # for workers to clean up behind a signal; ten seconds are promised in all


def each(
    units: Sequence[Unit],
    do: Callable[[Unit], Result],
    *,
    name: Callable[[Unit], str],
    workers: int,
    strict: bool,
) -> Iterator[tuple[Unit, Result | Failure]]:
    """Do each unit; yield it with what came of it, in the order of the units.

    `strict` raises the first error instead. Threads, because the work is done in libraries that
    release the interpreter's lock.
    """
    if workers == 1 or len(units) < 2:
        for unit in units:
            yield unit, _attempt(unit, do, name, strict)
        return
    pool = ThreadPoolExecutor(workers)
    futures = [pool.submit(_attempt, unit, do, name, strict) for unit in units]
    try:
        for unit, future in zip(units, futures, strict=True):
            _until_done(future, futures)
            yield unit, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        wait([future for future in futures if not future.cancelled()], timeout=_GRACE_S)


def _until_done(future: Future[Result], futures: list[Future[Result]]) -> None:
    """Wait for a future, but raise at once what any of the others raises."""
    while not future.done():
        wait([f for f in futures if not f.done()], return_when=FIRST_COMPLETED)
        for other in futures:
            if other.done() and not other.cancelled() and other.exception() is not None:
                other.result()


def _attempt(
    unit: Unit, do: Callable[[Unit], Result], name: Callable[[Unit], str], strict: bool
) -> Result | Failure:
    try:
        return do(unit)
    except Tile2VecError as error:
        # Output that cannot be written stays so for every unit: go no further.
        if strict or error.exit_code == 73:
            raise
        return Failure.of(name(unit), error)

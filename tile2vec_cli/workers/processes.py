"""Many small fits at once, by processes that fork from this one.

What holds Python's lock, as scikit-learn does between products of small matrices, takes longer with two
threads than with one, and with sixteen twice as long. A fork shares what this process holds in memory and
starts in milliseconds.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from tile2vec_cli.errors import ProcessLost, Tile2VecError
from tile2vec_cli.job import interrupts
from tile2vec_cli.workers.work import in_order

Item = TypeVar("Item")
Result = TypeVar("Result")

_SAFE = sys.platform == "linux"  # elsewhere libraries of the system do not survive a fork


def each(do: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Generator[Result]:
    """Yield what comes of each item, in their order: the same by any number of processes.

    Results travel and have to be picklable; `do` and the items need not be. Raises what `do` raised as soon
    as it is known, and ProcessLost where a process is killed.
    """
    processes = min(processes, len(items))
    # One thread for each: for small matrices that is quicker, and other threads do not survive a fork.
    with threadpool_limits(1):
        # A process of somebody's pool may have none of its own.
        if processes < 2 or not _SAFE or multiprocessing.current_process().daemon:
            yield from map(do, items)
            return
        running: list[Any] = []
        readers: list[Connection] = []
        try:
            _start(do, items, processes, running, readers)
            yield from in_order(_received(readers, len(items)))
        finally:  # a signal does not wait for a fit
            _end(running)


def _start(
    do: Callable[[Any], Any],
    items: Sequence[Any],
    processes: int,
    running: list[Any],
    readers: list[Connection],
) -> None:
    context = multiprocessing.get_context("fork")
    taken = context.Value("q", 0)
    with _undisturbed(), _deaf(), warnings.catch_warnings():
        # Python warns of locks that other threads hold: what a fit calls is numpy and scikit-learn.
        warnings.simplefilter("ignore", DeprecationWarning)
        for _ in range(processes):
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(do, items, taken, writer), daemon=True)
            process.start()
            atexit.register(process.kill)  # before multiprocessing asks it to end, which it does not hear
            running.append(process)
            readers.append(reader)
            writer.close()


def _end(running: list[Any]) -> None:
    with _undisturbed():
        for process in running:
            process.kill()
        for process in running:
            process.join()
            atexit.unregister(process.kill)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """What stops the run is raised at the end: else a process would be left to itself."""
    with interrupts.borrowed(), interrupts.held():
        yield
    interrupts.check()


@contextmanager
def _deaf() -> Iterator[None]:
    """What is forked never hears of signals that stop a run: it ends with the process it works for."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _received(readers: list[Connection], count: int) -> Iterator[tuple[int, Any]]:
    for _ in range(count):
        ready = wait(readers)[0]
        assert isinstance(ready, Connection)
        try:
            number, result, error = ready.recv()
        except EOFError:
            raise ProcessLost(
                "a process that fits classifiers was killed, as the system does where memory ends; "
                "more memory is needed, or fewer CPUs. Run again."
            ) from None
        if error is not None:
            raise error
        yield number, result


# --- in a forked process ---------------------------------------------------------------------------


def _work(do: Callable[[Any], Any], items: Sequence[Any], taken: Any, results: Connection) -> None:
    """Do items until none is left, then wait to be killed: a pipe that closes earlier is a loss."""
    guard = threading.Thread(target=_end_with_parent, daemon=True)
    guard.start()
    while (number := _next(taken)) < len(items):
        try:
            results.send((number, do(items[number]), None))
        except Exception as error:
            results.send((number, None, _portable(error)))
            break
    guard.join()


def _next(taken: Any) -> int:
    with taken.get_lock():
        taken.value += 1
        return int(taken.value) - 1


def _portable(error: Exception) -> Exception:
    """What a user has to know as it is; of anything else the words, for not every error travels."""
    if isinstance(error, Tile2VecError | MemoryError):
        return error
    return RuntimeError("".join(traceback.format_exception(error)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

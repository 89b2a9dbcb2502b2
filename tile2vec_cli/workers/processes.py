"""Many small fits at once, by processes that fork from this one.

What holds Python's lock, as scikit-learn does between products of small matrices, is slower by two threads
than by one, and by sixteen takes twice as long. A fork shares what this process holds in memory and starts in
milliseconds.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from tile2vec_cli.errors import ProcessLost
from tile2vec_cli.workers.work import in_order

Item = TypeVar("Item")
Result = TypeVar("Result")

_SAFE = sys.platform == "linux"  # elsewhere libraries of the system do not survive a fork


def each(do: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Generator[Result]:
    """Yield what comes of each item, in their order: the same by any number of processes.

    Results travel and have to be picklable; `do` and the items need not be. Raises what `do` raised, and
    ProcessLost where a process is killed.
    """
    processes = min(processes, len(items))
    # A process of somebody's pool may have none of its own.
    if processes < 2 or not _SAFE or multiprocessing.current_process().daemon:
        yield from map(do, items)
        return
    context = multiprocessing.get_context("fork")
    taken = context.Value("q", 0)
    running, readers = [], []
    try:
        with _undisturbed():
            for _ in range(processes):
                reader, writer = context.Pipe(duplex=False)
                running.append(context.Process(target=_work, args=(do, items, taken, writer), daemon=True))
                running[-1].start()
                writer.close()
                readers.append(reader)
        yield from in_order(_received(readers, len(items)))
    finally:  # a signal does not wait for a fit
        for process in running:
            process.kill()
        for process in running:
            process.join()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that stop a run wait. What is forked never gets them: it ends with the process it works for."""
    stopping = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    try:
        with warnings.catch_warnings():
            # Python warns of locks that other threads hold: what a fit calls is numpy and scikit-learn.
            warnings.simplefilter("ignore", DeprecationWarning)
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


def _work(do: Callable[[Any], Any], items: Sequence[Any], taken: Any, results: Connection) -> None:
    """Do items until none is left, then wait to be killed: a pipe that closes earlier is a loss."""
    guard = threading.Thread(target=_end_with_parent, daemon=True)
    guard.start()
    # One thread each: a library's other threads are not there any more after a fork.
    with threadpool_limits(1):
        while (number := _next(taken)) < len(items):
            try:
                results.send((number, do(items[number]), None))
            except Exception as error:
                results.send((number, None, error))
                break
    guard.join()


def _next(taken: Any) -> int:
    with taken.get_lock():
        taken.value += 1
        return int(taken.value) - 1


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

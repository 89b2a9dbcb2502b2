"""Units of work sent to a Dask cluster, and what comes back: the one end here, the other at a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic

from tile2vec_cli import __version__
from tile2vec_cli.errors import InputError, Interrupted, OutputError, Tile2VecError, UsageError
from tile2vec_cli.workers.work import Advance, Result, Unit, attempt

_TELL_EVERY_S = 0.5  # so often a worker says how far it is


@dataclass(frozen=True)
class Task(Generic[Unit, Result]):
    """What every unit of a run needs at a worker."""

    do: Callable[[Unit, Advance], Result]
    strict: bool
    folder: Path  # where the results go
    topic: str  # under which workers tell how far they are


@dataclass(frozen=True)
class Killed:
    """So many workers died over a unit."""

    workers: int


class Run(Generic[Unit, Result]):
    """The units of one run, sent to the cluster. News of all kinds come through one queue.

    They travel as bytes, and by functions that Dask sends whole because they have no name of their own:
    the scheduler, which reads what it passes on, would import torch for them, and a worker that cannot
    read what it gets ends without a word.
    """

    def __init__(
        self, client: Any, where: str, units: Sequence[Unit], task: Task[Unit, Result], advance: Advance
    ) -> None:
        from distributed.protocol.pickle import dumps

        self._client, self._where, self._units, self._advance = client, where, units, advance
        self._news: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        self._counted = [0] * len(units)
        self._waiting: dict[int, Any] = {}  # by number, the futures that are not done
        self._topic = task.topic
        self._dumps: Callable[[Any], bytes] = dumps
        client.subscribe_topic(task.topic, lambda event: self._news.put(tuple(event[1])))
        # A task of its own: sent once, and made again where the worker that has it dies.
        self._task = client.submit(
            lambda same: same, dumps(task), key=f"tile2vec-task-{task.topic}", pure=False
        )

    def results(self) -> Iterator[tuple[int, Result | Tile2VecError | Killed]]:
        """Yield results as they come. Raises what a unit raised."""
        suspects: list[int] = []
        self._send(range(len(self._units)), "unit")
        while self._waiting:
            try:
                number, news = self._news.get(timeout=_TELL_EVERY_S)
            except Empty:
                self._advance(0)  # who waits for workers that are still queueing shall see that
                continue
            if isinstance(news, int):
                if number in self._waiting:
                    self._count(number, news)
                continue
            del self._waiting[number]
            outcome = self._outcome(news)
            if not isinstance(outcome, Killed):
                result, counted = outcome
                self._count(number, counted)
                yield number, result
            elif news.key.startswith("tile2vec-alone"):
                yield number, outcome
            else:
                suspects.append(number)
            # Dask blames all units that a dead worker held: the innocent are those that do well alone.
            if suspects and not self._waiting:
                self._send([suspects.pop(0)], "alone")

    def _send(self, numbers: Sequence[int], kind: str) -> None:
        keys = [f"tile2vec-{kind}-{self._topic}-{number}" for number in numbers]
        units = [self._dumps(self._units[number]) for number in numbers]
        common = {"task": self._task, "version": __version__}
        futures = self._client.map(_courier(), numbers, units, key=keys, pure=False, **common)
        self._waiting.update(zip(numbers, futures, strict=True))
        for number, future in zip(numbers, futures, strict=True):
            future.add_done_callback(lambda done, number=number: self._news.put((number, done)))

    def _count(self, number: int, counted: int) -> None:
        """`counted` of this unit are done; fewer than before where its worker has died."""
        more, self._counted[number] = counted - self._counted[number], counted
        if more:
            self._advance(more)

    def _outcome(self, future: Any) -> tuple[Result | Tile2VecError, int] | Killed:
        from distributed import CancelledError
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker

        try:
            result: tuple[Result | Tile2VecError, int] = future.result()
            return result
        except KilledWorker as error:
            return Killed(error.allowed_failures + 1)
        except (CancelledError, CommClosedError) as error:
            raise InputError(
                f"--dask {self._where}: the scheduler is gone; it is needed to the end. Run again."
            ) from error
        except (ImportError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "deserialization" not in str(error):
                raise
            raise UsageError(
                f"--dask {self._where}: the cluster cannot run tile2vec ({error.__cause__ or error}); needs "
                f"version {__version__} as here. Install it in the workers' environment."
            ) from error


# --- at a worker -----------------------------------------------------------------------------------


def _courier() -> Callable[..., Any]:
    def carry(number: int, unit: bytes, task: bytes, version: str) -> Any:
        from tile2vec_cli.workers import dispatch

        return dispatch.there(number, unit, task, version)

    return carry


def there(number: int, unit: bytes, task: bytes, version: str) -> tuple[Any, int]:
    """Do a unit; return what came of it, and the tiles or pixels it advanced by."""
    from distributed import get_worker

    worker: Any = get_worker()
    if version != __version__:
        raise UsageError(
            f"--dask: the worker {worker.address} has tile2vec {__version__}; needs {version} as here. "
            "Install it in the workers' environment."
        )
    from distributed.protocol.pickle import loads

    return _do(number, loads(unit), loads(task), worker)


def _do(number: int, unit: Unit, task: Task[Unit, Result], worker: Any) -> tuple[Result | Tile2VecError, int]:
    key = worker.get_current_task()
    if not task.folder.is_dir():
        raise OutputError(
            f"{task.folder}: the worker {worker.address} does not see this folder; "
            "a file system that all workers share is needed."
        )
    counted, told = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal counted, told
        counted += count
        if time.monotonic() - told >= _TELL_EVERY_S:
            told = time.monotonic()
            worker.log_event(task.topic, (number, counted))
            if _is_cancelled(worker, key):
                raise Interrupted

    return attempt(unit, task.do, task.strict, advance), counted


def _is_cancelled(worker: Any, key: str) -> bool:
    """Whether nobody waits for the task any more, whose thread goes on all the same."""
    task = worker.state.tasks.get(key)
    return task is None or task.state == "cancelled"

"""Units of work on a Dask cluster: a running one, or one that is started here for the while.

Only this file and `dispatch.py` know Dask, which is an extra and imported late. A unit is a part to
be made: one whose worker dies is simply made again by another, and none is ever half there.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tile2vec_cli.errors import DataError, InputError, Tile2VecError, UsageError
from tile2vec_cli.job.resources import usable_cpus, worker_count
from tile2vec_cli.job.silence import silence
from tile2vec_cli.outputs.parts import sweep
from tile2vec_cli.workers.dispatch import Killed, Run, Task
from tile2vec_cli.workers.work import Advance, Result, Unit

LOCAL = "local"
_CONNECT_S = 10.0


def crew(workers: int | None, dask: str | None) -> int | Cluster:
    """Who does the work: so many workers here, or a Dask cluster."""
    count = worker_count(workers)
    return count if dask is None else Cluster(dask, workers)


@dataclass(frozen=True)
class Cluster:
    """Workers of a Dask cluster, which is joined when there is work to do."""

    where: str  # "local", the scheduler's address, or a scheduler file
    processes: int | None = None  # of a local one; default: the CPUs of this job

    def __post_init__(self) -> None:
        if self.where != LOCAL and self.processes is not None:
            raise UsageError(
                f"--workers {self.processes}: the cluster at {self.where} has workers of its own; "
                "needs --dask local. Leave it out."
            )
        if "://" in self.where and not _is_address(self.where):
            raise UsageError(
                f"--dask {self.where}: is not a scheduler's address; needs local, tcp://HOST:PORT or a file."
            )
        if importlib.util.find_spec("distributed") is None:
            raise UsageError(
                f"--dask {self.where}: the package distributed is not installed; needs the extra dask. "
                "Run: pip install 'tile2vec-cli[dask]'"
            )

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
        """As `work.Elsewhere` has it.

        Raises InputError where no scheduler answers or the one at work is lost, UsageError where the
        workers have another tile2vec.
        """
        if not units:
            return
        with silence(), self._joined(len(units)) as client:
            task = Task(do, strict, folder.absolute(), uuid.uuid4().hex)
            for number, result in Run(client, self.where, units, task, advance).results():
                if not isinstance(result, Killed):
                    yield number, result
                    continue
                error = DataError(
                    f"{name(units[number])}: {result.workers} workers of the cluster died over it; it may "
                    "need more memory than they have. Give them more and run it again."
                )
                if strict:
                    raise error
                yield number, error
        sweep(folder)  # what workers that were killed have left

    @contextmanager
    def _joined(self, most: int) -> Iterator[Any]:
        import asyncio

        from distributed import Client

        if self.where == LOCAL:
            with (
                _local_cluster(min(self.processes or usable_cpus(), most)) as cluster,
                Client(cluster, set_as_default=False) as client,
            ):
                yield client
            return
        address = self.where if _is_address(self.where) else _address_in(Path(self.where))
        try:
            asyncio.run(asyncio.wait_for(_knock(address), _CONNECT_S))
            client = Client(address, timeout=_CONNECT_S, set_as_default=False)
        except Exception as error:  # whatever it is that answers there, it is no scheduler of ours
            raise InputError(
                f"--dask {self.where}: no Dask scheduler answers at {address} within {_CONNECT_S:g} s; "
                "a running one is needed. Start it, or check the address."
            ) from error
        with client:
            yield client


async def _knock(address: str) -> None:
    """Shake hands with a scheduler, for which Dask's client would wait for ever."""
    from distributed.comm.core import connect
    from distributed.security import Security

    comm = await connect(address, timeout=_CONNECT_S, **Security().get_connection_args("client"))
    await comm.close()


def _local_cluster(processes: int) -> Any:
    from multiprocessing import resource_tracker

    from distributed import LocalCluster

    # Ctrl-C goes to all processes of a terminal. The threads that start workers inherit that it is held
    # back, and so do the workers; here it comes through in the end.
    resource_tracker.ensure_running()  # its first start would let the signal through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return LocalCluster(
            n_workers=processes,
            threads_per_worker=1,
            memory_limit=0,  # pages of mapped files would count, and a worker be killed for them
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL + 1,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_address(text: str) -> bool:
    try:
        parsed = urlsplit(text)
        return parsed.scheme in {"tcp", "tls"} and bool(parsed.hostname) and parsed.port is not None
    except ValueError:
        return False


def _address_in(path: Path) -> str:
    """The address in a file that `dask scheduler --scheduler-file` writes."""
    try:
        found = json.loads(path.read_bytes())["address"]
    except FileNotFoundError as error:
        raise InputError(
            f"--dask {path}: no such file; the one that the scheduler writes is needed. Is it running?"
        ) from error
    except OSError as error:
        raise InputError(f"--dask {path}: {error.strerror}; it cannot be read.") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if not isinstance(found, str) or not _is_address(found):
        raise DataError(
            f"--dask {path}: holds no scheduler's address; the file that the scheduler writes is needed."
        )
    return found

"""Fits by forked processes: the same as by one, and nobody left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from tile2vec_cli.errors import DataError, ProcessLost
from tile2vec_cli.workers import processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux only")

SLEEPER = """
import os, time
from tile2vec_cli.workers import processes

def sleep(number):
    os.write(1, b"%d\\n" % os.getpid())  # whole, whoever else writes
    time.sleep(60)

list(processes.each(sleep, [0, 1], 2))
"""


def test_results_come_in_the_order_of_the_items() -> None:
    def square(number: int) -> int:
        time.sleep(0.02 * (number % 3))
        return number**2

    for count in (1, 2, 5, 50):
        assert list(processes.each(square, range(12), count)) == [number**2 for number in range(12)]
    assert list(processes.each(square, [], 2)) == []


def test_several_processes_do_the_work() -> None:
    def who(_: int) -> int:
        time.sleep(0.05)
        return os.getpid()

    found = set(processes.each(who, range(8), 2))
    assert len(found) == 2 and os.getpid() not in found


def test_in_a_process_of_a_pool_it_works_alone() -> None:
    def inside(found: Any) -> None:
        found.put(list(processes.each(abs, [-1, -2, -3], 2)))

    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()
    worker = context.Process(target=inside, args=(found,), daemon=True)
    worker.start()
    worker.join(60)
    assert not found.empty() and found.get() == [1, 2, 3]


def test_an_error_is_raised_as_it_was() -> None:
    def refuse(number: int) -> int:
        if number == 3:
            raise DataError(f"{number} is too many")
        return number

    with pytest.raises(DataError, match=r"^3 is too many$"):
        list(processes.each(refuse, range(5), 2))
    assert not multiprocessing.active_children()


def test_an_error_that_does_not_travel_is_told_in_words() -> None:
    class Local(Exception):
        pass

    def refuse(_: int) -> None:
        raise Local("not to be pickled")

    with pytest.raises(RuntimeError, match="not to be pickled"):
        list(processes.each(refuse, range(5), 2))


def test_where_no_process_can_be_had_that_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(BlockingIOError, match="no more"):
        list(processes.each(abs, range(5), 2))


def test_a_program_that_stops_half_way_ends() -> None:
    text = "from tile2vec_cli.workers import processes\nr = processes.each(abs, range(9), 2); next(r)"
    subprocess.run([sys.executable, "-c", text], timeout=60, check=True)


def test_a_killed_process_is_told_and_the_others_end() -> None:
    def die(number: int) -> None:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    with pytest.raises(ProcessLost, match="more memory is needed"):
        list(processes.each(die, range(4), 3))
    assert not multiprocessing.active_children()


def test_whoever_stops_listening_does_not_wait() -> None:
    def nap(number: int) -> int:
        time.sleep(60 if number else 0)
        return number

    results = processes.each(nap, range(4), 2)
    assert next(results) == 0
    results.close()
    assert not multiprocessing.active_children()


def test_fits_do_not_wait_for_threads_that_a_fork_has_lost() -> None:
    vectors = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    classes = (vectors[:, 0] > 0).astype(np.int32)

    def nearest(neighbors: int) -> int:
        model = KNeighborsClassifier(neighbors, algorithm="brute").fit(vectors, classes)
        return int(model.predict(vectors).sum())

    here = [nearest(count) for count in (1, 2, 3)]  # by threads of OpenMP, where there are CPUs
    assert list(processes.each(nearest, [1, 2, 3], 2)) == here


def test_signals_that_stop_a_run_reach_nobody_but_the_run() -> None:
    idle = threading.Event()
    threading.Thread(target=idle.wait, daemon=True).start()  # who else may be given a signal

    def survive(_: int) -> bool:
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(os.getpid(), name)
        return True

    assert all(processes.each(survive, range(4), 2))
    idle.set()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_signal_between_forks_leaves_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    fork = os.fork

    def fork_and_signal() -> int:
        child = fork()
        if child:
            os.kill(os.getpid(), signal.SIGINT)
        return child

    monkeypatch.setattr(os, "fork", fork_and_signal)
    waiting = threading.Event()
    threading.Thread(target=waiting.wait, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        list(processes.each(time.sleep, [60] * 3, 2))
    waiting.set()
    assert not multiprocessing.active_children()


def test_no_process_outlives_the_one_it_works_for() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    deadline = time.monotonic() + 20
    while any(_alive(child) for child in children):
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    """Whether it runs: dead children of a dead parent may wait for an init that never comes."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"

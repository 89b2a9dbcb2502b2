"""Signals: SIGTERM, SIGUSR1 (Slurm's warning) and SIGINT become `Interrupted`.

Units of work that are cheap to abandon are abandoned: the exception passes through them and
their half-written output is removed on the way. Training instead holds signals back while a
step runs and asks `stop_requested()` between steps.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from tile2vec_cli.errors import Interrupted

# Windows lacks SIGUSR1.
_STOPS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name)]
_held = 0
_pending: int | None = None


def _on_signal(signum: int, _frame: FrameType | None) -> None:
    global _pending
    _pending = 130 if signum == signal.SIGINT else 75
    if not _held:
        raise Interrupted(_pending)


def _on_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, Interrupted):
        sys.__excepthook__(kind, error, trace)


def _on_swallowed(told: Any) -> None:
    if not isinstance(told.exc_value, Interrupted):
        sys.__unraisablehook__(told)


def install() -> None:
    """Route the three signals to `Interrupted`; SIGPIPE ends the process quietly as in C tools.

    Python swallows an `Interrupted` that is raised while a library calls back, as GDAL does to tell of an
    error. It is pending then: who catches an error asks `check()` or `raise_pending()`.
    """
    # Cython, which rasterio is made with, tells both of what it swallows.
    sys.excepthook, sys.unraisablehook = _on_error, _on_swallowed
    for number in _STOPS:
        signal.signal(number, _on_signal)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def leave() -> None:
    """Ignore what a batch system sends to a process that is done.

    While Python ends, which takes a while with torch, a handled signal has its default again and would
    kill: a job that has finished would count as failed.
    """
    for number in _STOPS:
        if number != signal.SIGINT:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back: inside, poll `stop_requested()`. Only in the main thread."""
    global _held
    if not _in_main_thread():
        yield
        return
    _held += 1
    try:
        yield
    finally:
        _held -= 1


@contextmanager
def borrowed() -> Iterator[None]:
    """Inside, signals become `Interrupted`; what came in then goes to those who handle signals outside.

    In a notebook Ctrl-C so ends as KeyboardInterrupt, once what resumes has been saved. Nothing where the
    signals are ours already; only in the main thread.
    """
    global _pending
    if signal.getsignal(signal.SIGINT) is _on_signal or not _in_main_thread():
        yield
        return
    came: list[int] = []

    def on_signal(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        _on_signal(signum, frame)

    before = {number: signal.signal(number, on_signal) for number in _STOPS}
    try:
        yield
    except Interrupted:
        if not came:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _pending = None
    if came:
        signal.raise_signal(came[0])
        raise KeyboardInterrupt


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def stop_requested() -> bool:
    """Whether a signal has come in."""
    return _pending is not None


def check() -> None:
    """Raise the `Interrupted` of a signal that came in, unless held back: how worker threads learn of it."""
    if not _held:
        raise_pending()


def raise_pending() -> None:
    """Raise the `Interrupted` of a signal that was held back, if one came in."""
    if _pending is not None:
        raise Interrupted(_pending)

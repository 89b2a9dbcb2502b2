"""How far a command is: a bar on a terminal, lines in a log. Rich is loaded late, for the sake of --help."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field

from tile2vec_cli.outputs.parts import Progress

_LOG_EVERY_S = 10.0
_SETTLED_S = 3.0  # before which a rate says little


def shown(verb: str, unit: str) -> AbstractContextManager[Progress]:
    return _bar(verb, unit) if sys.stderr.isatty() else _logged(verb, unit)


@dataclass
class _Pace:
    """How far the work is, and how fast, as far as that can be told.

    The clock starts with the first units done: what came before them is start-up, and units that an
    earlier run has done took no time of this one.
    """

    done: int = 0
    total: int = 0
    _first: int = 0  # units done when the clock started
    _since: float | None = None

    def update(self, done: int, total: int) -> None:
        """Threads may report out of turn: of one total, the most counts."""
        self.done = max(done, self.done) if total == self.total else done
        if self._since is None or done < self._first:
            self._first, self._since = done, time.monotonic() if done else None
        self.total = total

    @property
    def is_finishing(self) -> bool:
        """All units are done; what was made of them may still have to be written."""
        return 0 < self.total <= self.done

    @property
    def seconds_each(self) -> float | None:
        """None until a few seconds have shown it."""
        elapsed = 0.0 if self._since is None else time.monotonic() - self._since
        made = self.done - self._first
        return elapsed / made if made > 0 and elapsed >= _SETTLED_S else None

    def rate(self, unit: str = "") -> str:
        """Of units whose name is not said: "12 tiles/s", or "12/s"; slow ones as "3.5 s each"."""
        each = self.seconds_each
        if each is None or self.is_finishing:
            return ""
        if each > 1:
            return f"{_digits(each)} s each"
        return f"{_digits(1 / each)} {unit}".rstrip() + "/s"

    def left(self) -> str:
        if self.is_finishing:
            return "finishing"
        each = self.seconds_each
        return "" if each is None else f"{_span(each * (self.total - self.done))} left"


def _digits(value: float) -> str:
    return f"{value:.1f}" if value < 10 and f"{value:.1f}"[-1] != "0" else f"{value:,.0f}"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def _bar(verb: str, unit: str) -> Iterator[Progress]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.elapsed:.0f} s"),  # of work that has nothing to tell, the one thing that moves
    )
    pace = _Pace()
    with RichProgress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=None, rate="", left="")

        def update(done: int, total: int) -> None:
            pace.update(done, total)
            bar.update(task, completed=pace.done, total=total, rate=pace.rate(unit), left=pace.left())

        yield update


@dataclass
class _Log:
    """Lines for a log, ten seconds apart."""

    verb: str
    unit: str
    started: float
    _pace: _Pace = field(default_factory=_Pace)
    _last: float = 0.0

    def __post_init__(self) -> None:
        self._last = self.started

    def update(self, done: int, total: int) -> None:
        self._pace.update(done, total)
        self.tell()

    def tell(self) -> None:
        now = time.monotonic()
        if now - self._last < _LOG_EVERY_S:
            return
        self._last = now
        pace = self._pace
        known = [f"{pace.done:,} of {pace.total:,} {self.unit}", pace.rate(), pace.left()]
        if not pace.total:  # nothing is known of the work yet
            known = [f"{_span(now - self.started)} so far"]
        print(f"{self.verb}: {', '.join(filter(None, known))}", file=sys.stderr, flush=True)


@contextmanager
def _logged(verb: str, unit: str) -> Iterator[Progress]:
    log, ended = _Log(verb, unit, time.monotonic()), threading.Event()

    def go_on() -> None:
        with suppress(OSError, ValueError):  # a log that is full or closed
            while not ended.wait(_LOG_EVERY_S):
                log.tell()

    watch = threading.Thread(target=go_on, daemon=True)
    watch.start()
    try:
        yield log.update
    finally:
        ended.set()
        watch.join()

"""What a person or a log sees: progress on stderr, the result on stdout.

With `progress.py` the only file that prints (but for the version).
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from tile2vec_cli import progress
from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.errors import Failure, Remark
from tile2vec_cli.geo.signed_urls import scrubbed
from tile2vec_cli.job import interrupts
from tile2vec_cli.outputs.parts import Progress, silent

_errors_muted = False
_current: Console | None = None  # that of the command that runs

Row = Sequence[object]


@dataclass
class Console:
    """How one command talks: `--quiet` and `--json` are set once, here."""

    command: str
    quiet: bool = False
    as_json: bool = False
    _started: float = field(default_factory=time.monotonic)
    _remarks: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        global _current
        _current = self

    def remark(self, text: str) -> None:
        """As `say`, but once."""
        if text not in self._remarks:
            self._remarks.add(text)
            self.say(text)

    def say(self, text: str) -> None:
        """A remark on stderr."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def left_out(self, source: object, counts: Mapping[str, int]) -> None:
        """What of an input plays no part, by reason."""
        if counts:
            reasons = ", ".join(f"{reason}: {count:,}" for reason, count in counts.items())
            self.say(f"{source}: left out: {reasons}")

    @contextmanager
    def progress(self, verb: str, unit: str) -> Iterator[Progress]:
        """A bar with rate and time left on a terminal; elsewhere a line every ten seconds.

        Both go on where the work has nothing to tell, such as while a file is read.
        Worker threads stop here after a signal, which Python delivers to the main thread only.
        """
        with self._shown(verb, unit) as show:

            def update(done: int, total: int) -> None:
                interrupts.check()
                show(done, total)

            yield update

    def _shown(self, verb: str, unit: str) -> AbstractContextManager[Progress]:
        if self.quiet:
            return nullcontext(silent)
        return progress.shown(verb, unit)

    def show(self, done: Outcome[Any], rows: Sequence[Row] | None = None, header: Row | None = None) -> None:
        """Write what a call came to to stdout; leave with the exit code of what failed.

        A table, or one JSON object with `--json`. `rows` are what the table shows; by default the scalar
        entries of the report.
        """
        if self.as_json:
            seconds = round(time.monotonic() - self._started, 3)
            found = replace(done, seconds=seconds).report
            print(json.dumps(found, ensure_ascii=False, allow_nan=False), flush=True)
        else:
            outputs = ", ".join(map(str, done.outputs))
            if done.up_to_date:
                self.say(f"{outputs}: up to date")
            if rows is None:
                rows = [(key, _text(value)) for key, value in done.keys.items() if _is_shown(value)]
                if outputs:
                    rows = [*rows, ("output", outputs)]
            print(table(rows, header), flush=True)  # before the lines on stderr, in a log that holds both
        self.finish(done.failed, done.made, done.kept)

    def finish(self, failures: Sequence[Failure], made: int = 0, kept: int = 0) -> None:
        """Name each failed unit on stderr, even under `--quiet`, and leave with the first one's exit code.

        The last line tells the reader of a log what the run came to, where there is more than errors.
        """
        for failure in failures:
            error(failure.message)
        if made or kept:
            failed = len(failures)
            self.say(f"{self.command}: {made:,} made, {kept:,} skipped (up to date), {failed:,} failed")
        if failures:
            sys.exit(failures[0].exit_code)


def mute_errors() -> None:
    """For all processes of a run but the first, which speaks for them."""
    global _errors_muted
    _errors_muted = True


def take_over_warnings() -> None:
    """Show remarks as lines of ours, and of what libraries warn of or log nothing: users cannot act on it."""
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("always", Remark)
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, category: type[Warning], *_place: object, **_more: object) -> None:
    if _current is not None and issubclass(category, Remark):
        _current.remark(str(message))


def error(message: str) -> None:
    if _errors_muted:
        return
    print("error: " + " ".join(scrubbed(message).split()), file=sys.stderr, flush=True)


def table(rows: Sequence[Row], header: Row | None = None) -> str:
    """Plain columns, two blanks apart; columns of numbers are right-aligned."""
    cells = [[_text(cell) for cell in row] for row in rows]
    if header is not None:
        cells.insert(0, [str(cell) for cell in header])
    if not cells:
        return ""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(widths))]
    lines = []
    for row in cells:
        pairs = zip(row, widths, numeric, strict=True)
        lines.append("  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in pairs).rstrip())
    return "\n".join(lines)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_shown(value: object) -> bool:
    return bool(value) if isinstance(value, dict) else value is not None and not isinstance(value, list)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return "-" if value is None else str(value)

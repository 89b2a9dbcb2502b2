"""What a call came to: the report that `--json` writes, the files, and the object that opens them.

Standard library only, because the console reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.errors import Failure
from tile2vec_cli.geo.signed_urls import unsigned

if TYPE_CHECKING:
    from tile2vec_cli.outputs import records

FORMAT = "tile2vec-report/1"

Object = TypeVar("Object")
Report = dict[str, Any]


@dataclass(frozen=True)
class Outcome(Generic[Object]):
    """What a command came to; the object itself where a command makes nothing that could be opened."""

    command: str
    keys: Report = field(repr=False)  # the command's own keys of the report
    inputs: Sequence[object] = field(repr=False)
    outputs: Sequence[Path]
    up_to_date: bool = False
    failed: Sequence[Failure] = ()  # units that could not be made while the others were
    made: int = 0
    kept: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict, repr=False)  # of an area
    open: Callable[[Report], Object] | None = field(default=None, repr=False)
    seconds: float = field(default=0.0, repr=False)

    @classmethod
    def of(
        cls,
        command: str,
        report: records.Report,
        *inputs: object,
        failed: Sequence[Failure] = (),
        open: Callable[[Report], Object] | None = None,
    ) -> Outcome[Object]:
        """From the core's report. Inputs: labels as they were named; None: it is not used."""
        given: list[object] = []
        for one in inputs:
            given += one.given if isinstance(one, LabelSource) else () if one is None else (one,)
        return cls(command, report.keys, given, report.files, report.up_to_date, failed, open=open)

    @property
    def report(self) -> Report:
        """What `--json` writes."""
        return envelope(
            self.command, self.keys, self.inputs, self.outputs, self.seconds, up_to_date=self.up_to_date
        )

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.outputs)

    @property
    def path(self) -> Path | None:
        """The first output."""
        return self.files[0] if self.outputs else None


def envelope(
    command: str,
    keys: Mapping[str, Any],
    inputs: Sequence[object],
    outputs: Sequence[object],
    seconds: float,
    *,
    up_to_date: bool,
) -> Report:
    """A command's own keys, in what is the same for all commands."""
    return {
        "format": FORMAT,
        "command": command,
        "inputs": [unsigned(str(item)) for item in inputs],
        "outputs": [str(item) for item in outputs],
        "seconds": seconds,
        "up_to_date": up_to_date,
        **keys,
    }

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

    @classmethod
    def of_units(
        cls,
        command: str,
        keys: Report,
        inputs: Sequence[object],
        out: Path,
        *,
        units: int,
        made: int,
        failed: Sequence[Failure],
        left_out: Mapping[str, int] | None = None,
        open: Callable[[Report], Object] | None = None,
    ) -> Outcome[Object]:
        """From units that are made one by one, into one folder; those that failed are named in the report."""
        keys = {**keys, "failed": [failure.name for failure in failed]}
        settled = not made and not failed
        return cls(command, keys, inputs, [out], settled, failed, made, units - made, left_out or {}, open)

    @property
    def report(self) -> Report:
        """What `--json` writes."""
        return {
            "format": FORMAT,
            "command": self.command,
            "inputs": [unsigned(str(item)) for item in self.inputs],
            "outputs": [str(item) for item in self.outputs],
            "seconds": self.seconds,
            "up_to_date": self.up_to_date,
            **self.keys,
        }

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.outputs)

    @property
    def path(self) -> Path | None:
        """The first output."""
        return self.files[0] if self.outputs else None

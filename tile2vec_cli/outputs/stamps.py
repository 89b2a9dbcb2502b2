"""May an output stay, is it to be made, or is that refused? One rule, wherever the answer is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

from tile2vec_cli.errors import DataError


class Verdict(Enum):
    """What is to become of an output."""

    KEEP = auto()  # it is what would be made now
    MAKE = auto()  # it is missing, an input has changed in its place, or it may be overwritten
    REFUSE = auto()  # it was made with another setting, or from an input of another place


@dataclass(frozen=True)
class Stamp:
    """What an output is made from, by name and as JSON would give it back.

    An input that holds the same is the same, wherever it lies. One that has changed in its place makes its
    output out of date; one of another place may be a slip, and is refused as another setting is. None is
    what goes without saying: older outputs lack settings that came later.
    """

    settings: Mapping[str, Any]
    inputs: Mapping[str, Any] = field(default_factory=dict)  # where they lie, seen from the output
    contents: Mapping[str, Any] = field(default_factory=dict)  # what they hold; None: their place tells
    by_content: bool = False  # whether a refusal shows what an input held, not where it lay

    @classmethod
    def read(cls, made_from: Mapping[str, Any]) -> Stamp:
        """Of a report, where places stand among the settings."""
        settings, contents = made_from.get("settings", {}), made_from.get("content", {})
        places = {name: value for name, value in settings.items() if name in contents}
        own = {name: value for name, value in settings.items() if name not in contents}
        return cls(own, places, contents)

    def verdict(self, found: Stamp | None, overwrite: bool = False) -> Verdict:
        """Of an output with the stamp `found`; None: there is none."""
        if found is None:
            return Verdict.MAKE
        if any(self._otherwise(found)):
            return Verdict.MAKE if overwrite else Verdict.REFUSE
        return Verdict.MAKE if any(self._changed(found)) else Verdict.KEEP

    def stays(self, path: Path, found: Stamp | None, overwrite: bool = False, what: str = "") -> bool:
        """Whether the output at `path` is kept; else it is made. Raises DataError where that is refused.

        what: lies there, "an unfinished training"; default: the output itself.
        """
        verdict = self.verdict(found, overwrite)
        if verdict is Verdict.REFUSE and found is not None:
            name, before, now = next(self._otherwise(found))
            said = f"{what} is there, made" if what else "made"
            raise refusal(f"{path}: {said} with {name} = {before!r}; this run has {now!r}.")
        return verdict is Verdict.KEEP

    def _changed(self, found: Stamp) -> Iterator[str]:
        """Names of the inputs that are not the same."""
        for name in {**found.contents, **self.contents}:
            held, before = self.contents.get(name), found.contents.get(name)
            if held != before or (held is None and self._lies_elsewhere(name, found)):
                yield name

    def _otherwise(self, found: Stamp) -> Iterator[tuple[str, Any, Any]]:
        """What it was made with otherwise than is asked for now: its name, before and now."""
        for name in {**found.settings, **self.settings}:
            if found.settings.get(name) != self.settings.get(name):
                yield name, found.settings.get(name), self.settings.get(name)
        for name in self._changed(found):
            if self._lies_elsewhere(name, found):
                before, now = (one.contents if self.by_content else one.inputs for one in (found, self))
                yield name, before.get(name), now.get(name)

    def _lies_elsewhere(self, name: str, found: Stamp) -> bool:
        return bool(self.inputs.get(name) != found.inputs.get(name))


def refusal(found: str) -> DataError:
    """What a user is told whose output is not replaced."""
    return DataError(f"{found} Choose another output, or --overwrite to replace it.")

"""What was found where something may be broken, and what to do about it."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from dataclasses import dataclass
from typing import Literal

from tile2vec_cli.errors import DataError, Failure

# Settings that lead a library to the files of another installation.
_ELSEWHERE = ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    found: str
    state: Literal["ok", "note", "slow", "broken"] = "ok"
    advice: str = ""

    @property
    def line(self) -> str:
        return f"{self.found}. {self.advice}" if self.advice else self.found

    @property
    def failure(self) -> Failure:
        message = f"{self.name}: {self.found}; a working one is needed. {self.advice}"
        return Failure(self.name, message, DataError.exit_code)


def tried(name: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What `look` finds, or that it broke, whatever a library raises. What libraries print is kept away."""
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(look())
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[0]
        return [Finding(name, f"{type(error).__name__}: {said}".rstrip(": ."), "broken", suspects(said))]


def suspects(said: str = "") -> str:
    """What to do about a library that does not work. said: how it told of that."""
    if lacking := re.match(r"(lib\S+): cannot open shared object file", said):
        return f"Install what brings {lacking[1]}, or load its module."
    found = [f"{name}={os.environ[name]}" for name in _ELSEWHERE if os.environ.get(name)]
    if found:
        return f"Try without {', '.join(found)}, which may lead to another installation's files."
    return "Install it again, best with all of tile2vec in an environment of its own."

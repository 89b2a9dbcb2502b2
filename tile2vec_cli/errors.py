"""Everything that can go wrong for a user, each class with its exit code (sysexits.h).

A message is one line: what was found; what is needed. What to do. `cli.py` turns it into
`error: …` on stderr and the exit code; nothing else in the package exits.
"""

from __future__ import annotations

from dataclasses import dataclass


class Tile2VecError(Exception):
    """Base of all errors a user can cause."""

    exit_code = 1


class UsageError(Tile2VecError):
    """Wrong usage, or a setting no run could use."""

    exit_code = 2


class DataError(Tile2VecError):
    """Input that exists but is unusable, or does not fit other input."""

    exit_code = 65


class FormatError(DataError):
    """A file of another program, of another command or of another version: it is not damaged."""


class InputError(Tile2VecError):
    """Input that does not exist or cannot be read."""

    exit_code = 66


class OutputError(Tile2VecError):
    """Output that cannot be written."""

    exit_code = 73


class ProcessLost(Tile2VecError):
    """One of the processes of a run is gone; what was saved is kept and the run can be resumed."""

    exit_code = 75


BY_EXIT_CODE: dict[int, type[Tile2VecError]] = {
    kind.exit_code: kind for kind in (UsageError, DataError, InputError, OutputError, ProcessLost)
}


class Interrupted(BaseException):
    """A signal asked the run to stop; what was finished is kept and the run can be resumed.

    A BaseException, like KeyboardInterrupt, so that no `except Exception` swallows it.
    """

    def __init__(self, exit_code: int = 75) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Remark(UserWarning):
    """What a person should know although nothing failed; on the command line one line on stderr."""


@dataclass(frozen=True)
class Failure:
    """One unit of work (a scene, a part) that could not be done while the others were."""

    name: str
    message: str
    exit_code: int

    @classmethod
    def of(cls, name: str, error: Tile2VecError) -> Failure:
        return cls(name, str(error), error.exit_code)

    def error(self) -> Tile2VecError:
        """What it was before it was written down."""
        return BY_EXIT_CODE.get(self.exit_code, Tile2VecError)(self.message)

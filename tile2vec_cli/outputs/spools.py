"""What may be too long for memory: written once to a file without a name, then read in place.

The file goes with the process, whatever ends it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from pathlib import Path
from typing import Any

from tile2vec_cli.errors import OutputError

_HELD = 1 << 24  # bytes that stay in memory

Buffer = bytes | mmap


class Spool:
    """Bytes that are appended, then mapped."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: where the file lies that has no name; None: where TMPDIR says."""
        self._folder = folder
        self._file = tempfile.SpooledTemporaryFile(_HELD, dir=None if folder is None else str(folder))  # noqa: SIM115 - `__exit__` closes it

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # of what no disk takes: nobody waits for it any more
            self._file.close()

    def write(self, data: Any) -> None:
        """data: anything that is C-contiguous bytes, such as an array. Raises OutputError."""
        with self._writing():
            self._file.write(data)

    def mapped(self) -> Buffer:
        """All that was written; it stays when the spool is closed."""
        with self._writing():
            size = self._file.tell()
            if size <= _HELD:
                self._file.seek(0)
                return self._file.read()
            self._file.flush()
            return mmap(self._file.fileno(), size, access=ACCESS_READ)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            advice = "Free some" if self._folder else "Point TMPDIR elsewhere"
            raise OutputError(
                f"{self._folder or tempfile.tempdir or 'TMPDIR'}: {error.strerror or error}; vectors are "
                f"unpacked there and need room. {advice}."
            ) from error


def release(*buffers: Buffer) -> None:
    """Give pages back that were read: they count as memory of this process as long as it maps them."""
    for buffer in buffers:
        if isinstance(buffer, mmap):
            buffer.madvise(MADV_DONTNEED)

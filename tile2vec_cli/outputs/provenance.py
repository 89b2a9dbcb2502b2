"""Which inputs an output was made from: where they lie, seen from it, and what they held."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.errors import InputError
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.outputs.parts import fingerprint, sha256_file

_HASHED = 1 << 30  # bytes up to which a file is known by its content, beyond by size and mtime


def relative(path: str | None, out: Path) -> str | None:
    """As seen from `out`: the same from wherever the command is run, and after the project has moved."""
    if path is None or is_remote(path):
        return path
    return os.path.relpath(Path(path).resolve(), out.resolve())


def place(source: str | Path | LabelSource | None, out: Path) -> Any:
    """As `relative`, of a file or of labels: where they were named more than once, the list."""
    if not isinstance(source, LabelSource):
        return relative(None if source is None else str(source), out)
    found = [_marked(name, out) for name in source.given]
    return found[0] if len(found) == 1 else found


def _marked(name: str, out: Path) -> str:
    """As `relative`, of a name that may be "@list.txt" or "-"."""
    mark = "@" * name.startswith("@")
    return name if name == "-" else f"{mark}{relative(name.removeprefix(mark), out)}"


def content(source: str | Path | LabelSource) -> str | None:
    """What tells a changed file or folder from an unchanged one; None where GDAL resolves the path."""
    if isinstance(source, LabelSource) and not source.is_single:
        return fingerprint(*(content(file) or file for file in source.files))
    path = source.files[0] if isinstance(source, LabelSource) else str(source)
    if is_remote(path) or not Path(path).exists():
        return None  # what is missing is said where it is read
    own = Path(path)
    if own.is_dir():
        files = [file for file in own.rglob("*") if file.is_file() and not file.name.startswith(".")]
    elif own.suffix.lower() == ".shp":
        files = [file for file in own.parent.glob(f"{own.stem}.*") if file.stem == own.stem]
    else:
        files = [file for file in (own, Path(f"{path}.aux.xml")) if file.exists()]
    return fingerprint(*(f"{file.name}={_state(file)}" for file in sorted(files)))


def _state(file: Path) -> str:
    try:
        found = file.stat()
        return sha256_file(file) if found.st_size <= _HASHED else f"{found.st_size} {found.st_mtime_ns}"
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}). Check its permissions.") from error

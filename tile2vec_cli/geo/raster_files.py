"""The files of a raster: whether they are there, and what tells changed ones from unchanged ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tile2vec_cli.errors import InputError
from tile2vec_cli.geo import locations, stacks
from tile2vec_cli.geo.locations import is_remote


def exists(path: str) -> None:
    """Raise InputError when a local path is missing or must not be read."""
    stack = stacks.parse(path)
    for number, part in enumerate((path,) if stack is None else stack.files):
        if is_remote(part):
            continue
        file = locations.pieces(part)[1]
        if not Path(file).exists():
            if stack is not None:
                raise InputError(
                    f"{stack.name}: has no file of band {stack.bands[number]} ({file}); every band "
                    "of a scene is needed. Add the file, or leave the band out."
                )
            raise InputError(f"{file}: no such file; a raster is needed. Check the path.")
        if not os.access(file, os.R_OK):
            raise InputError(f"{file}: no permission to read it. Check its mode and owner.")


def is_there(path: str) -> bool:
    """Whether a local path leads to something; a server's always, for all one can tell without asking."""
    return all(is_remote(file) or Path(locations.pieces(file)[1]).exists() for file in stacks.files(path))


def identity(path: str) -> dict[str, Any]:
    """What tells a changed file from an unchanged one: size and mtime, and the ETag of a remote one.

    Of a stack, lists of these.
    """
    try:
        found = [_identity(file) for file in stacks.files(path)]
    except OSError as error:
        exists(path)  # says which file is missing, and of what
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    return found[0] if len(found) == 1 else {key: [one[key] for one in found] for key in found[0]}


def _identity(path: str) -> dict[str, Any]:
    if is_remote(path):
        return locations.server_identity(path)
    found = Path(locations.pieces(path)[1]).stat()
    return {"size": found.st_size, "mtime": found.st_mtime}

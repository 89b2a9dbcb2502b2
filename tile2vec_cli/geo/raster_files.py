"""The files of a raster: whether they are there, and what tells changed ones from unchanged ones."""

from __future__ import annotations

import os
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from tile2vec_cli.errors import InputError
from tile2vec_cli.geo import locations, stacks
from tile2vec_cli.geo.locations import is_remote

_LISTED = 1000  # files up to which GDAL lists the folder of a raster, to find what belongs to it
_GLANCE_BYTES = 1 << 20
_NODATA_TAG = {b"II": b"\x81\xa4\x02\x00", b"MM": b"\xa4\x81\x00\x02"}  # of TIFF: 42113, a text


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


def listing(path: str) -> dict[str, str]:
    """GDAL's setting by which it does not list a folder only to find that it has too many files to list."""
    given = {"GDAL_DISABLE_READDIR_ON_OPEN", "GDAL_READDIR_LIMIT_ON_OPEN"} & os.environ.keys()
    crowded = not given and _is_crowded(os.path.dirname(path))  # noqa: PTH120 - asked for each raster
    return {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"} if crowded else {}


@lru_cache(maxsize=64)
def _is_crowded(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return sum(1 for _ in islice(entries, _LISTED + 1)) > _LISTED
    except OSError:  # in an archive, say
        return False


def lacks_nodata(path: str) -> bool:
    """Whether a small TIFF has no nodata value, by its bytes. False where these do not tell."""
    file = Path(path)
    try:
        beside = "GDAL_PAM_PROXY_DIR" in os.environ or Path(f"{path}.aux.xml").exists()
        if beside or file.stat().st_size > _GLANCE_BYTES:
            return False
        found = file.read_bytes()
    except OSError:  # in an archive, or with a server
        return False
    tag = _NODATA_TAG.get(found[:2])
    return tag is not None and tag not in found

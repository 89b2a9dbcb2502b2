"""Which rasters a command line means, and what each is called in a tile set."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tile2vec_cli.errors import InputError, UsageError
from tile2vec_cli.geo.rasters import SUFFIXES
from tile2vec_cli.geo.remote import is_remote

_NAME_BYTES = 180  # leaves room in 255 for a part's suffix and a temporary prefix


def expand(arguments: Sequence[str], *, recursive: bool = False) -> list[str]:
    """Paths of the scenes in order of their arguments, folders sorted by name, each scene once.

    An argument is a raster, a folder, "@list.txt" (a scene a line), "-" (the list on stdin) or a
    path of GDAL's. Local paths become absolute, so that they mean the same from everywhere.
    A raster that does not exist stays in the list: it fails by itself, later.
    Raises InputError for a folder without rasters and for a list that cannot be read.
    """
    found = dict.fromkeys(path for argument in arguments for path in _expand_one(argument, recursive))
    if not found:
        raise UsageError("no scenes; name at least one raster, folder or @list.txt.")
    return list(found)


def scene_name(path: str) -> str:
    """The file's name without its suffix, safe as a folder's name and in a `tile_id`.

    What a file name must not hold, and "%" and "+" (which ours give a meaning), is percent-encoded;
    very long names are cut and end in a hash.
    """
    name = re.split(r"[?#]", path)[0] if is_remote(path) else path
    name = name.rstrip("/").rsplit("/", 1)[-1]
    stem, dot, suffix = name.rpartition(".")
    if not dot or not stem or not suffix.isalnum():
        stem = name
    coded = "".join(_coded(character) for character in stem)
    if coded.startswith("."):
        coded = "%2E" + coded[1:]
    if len(os.fsencode(coded)) > _NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(stem)).hexdigest()[:10]
        coded = os.fsencode(coded)[:_NAME_BYTES].decode("utf-8", "ignore") + f"~{digest}"
    return coded


def _coded(character: str) -> str:
    if character.isprintable() and character not in '/\\%+:*?"<>|':
        return character
    return "".join(f"%{byte:02X}" for byte in os.fsencode(character))


def _expand_one(argument: str, recursive: bool) -> Iterator[str]:
    if argument == "-":
        yield from _listed(sys.stdin.read())
    elif argument.startswith("@"):
        try:
            text = _decoded(Path(argument[1:]).read_bytes())
        except OSError as error:
            raise InputError(f"{argument[1:]}: {error.strerror}; a list of scenes is needed.") from error
        yield from _listed(text)
    elif not is_remote(argument) and Path(argument).is_dir():
        folder = Path(_absolute(argument))
        files = folder.rglob("*") if recursive else folder.glob("*")
        rasters = sorted(str(f) for f in files if f.suffix.lower() in SUFFIXES and f.is_file())
        if not rasters:
            kinds = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
            deeper = "" if recursive else " Rasters in folders below count with --recursive."
            raise InputError(f"{argument}: no rasters in this folder ({kinds}).{deeper}")
        yield from rasters
    else:
        yield argument if is_remote(argument) else _absolute(argument)


def _decoded(text: bytes) -> str:
    """UTF-16 where a byte order mark says so, else the bytes of the paths themselves."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return text.decode("utf-16")
    return text.decode("utf-8", "surrogateescape")


def _listed(text: str) -> Iterator[str]:
    for line in text.removeprefix("\ufeff").splitlines():
        if line.strip():
            path = line.strip()
            yield path if is_remote(path) else _absolute(path)


def _absolute(path: str) -> str:
    # Not resolve(): a link's own name is the scene's name.
    return os.path.normpath(Path.cwd() / path)

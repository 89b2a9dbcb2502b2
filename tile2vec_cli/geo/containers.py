"""Rasters inside a local file: in an archive, or one of several that a file holds (a subdataset)."""

from __future__ import annotations

import os
import re
import tarfile
import zipfile
from pathlib import Path

from tile2vec_cli.errors import DataError

_ARCHIVE = re.compile(r"(?:(?:zip|tar|gzip)(?:\+file)?://|/vsi(?:zip|tar|gzip)/)(?!/?vsi|\w+://)")
_OF_FILE = re.compile(r"file://(?=/)")
_DRIVERS = "netcdf|hdf[45]|hdf4_(?:sds|eos)|gpkg|gtiff_dir|sentinel2_l\\w+|zarr|bag"
_SUBDATASET = re.compile(rf"(?:{_DRIVERS}):", re.IGNORECASE)
_READERS = {".zip": "/vsizip/", ".tar": "/vsitar/"}


def is_inside(path: str) -> bool:
    """Whether the path names a raster inside a local file, in a way of GDAL's or rasterio's."""
    return _mark(path) is not None


def parts(path: str) -> tuple[str, str, str]:
    """What stands before the local file's own path, that path, and what stands behind it."""
    found = _mark(path)
    if found is None:
        return "", path, ""
    before, rest = found.group(), path[found.end() :]
    if _OF_FILE.match(path):
        return before, rest, ""
    if _ARCHIVE.match(path):
        return before, *_archive_of(rest)
    quoted = re.search('"([^"]+)"', rest)
    if quoted:
        return before + rest[: quoted.start(1)], quoted[1], rest[quoted.end(1) :]
    pieces = rest.split(":")
    runs = [(a, b) for a in range(len(pieces)) for b in range(len(pieces), a, -1)]
    # What is missing stands where most drivers want it: first.
    a, b = next((run for run in runs if Path(":".join(pieces[slice(*run)])).is_file()), (0, 1))
    ahead, behind = "".join(f"{piece}:" for piece in pieces[:a]), "".join(f":{p}" for p in pieces[b:])
    return before + ahead, ":".join(pieces[a:b]), behind


def absolute(path: str, base: str) -> str:
    """The same with the local file's own path seen from the root; in an archive, as GDAL spells it."""
    before, file, behind = parts(path)
    file = os.path.normpath(Path(base) / file)
    if _ARCHIVE.match(path):
        kind = next(kind for kind in ("gzip", "zip", "tar") if kind in before)
        inner = behind.lstrip("!/")
        return f"/vsi{kind}/{file}/{inner}".rstrip("/")
    return before + file + behind


def own_name(path: str) -> str:
    """What a raster inside a file is called: its own name in an archive, else the file's and its own."""
    _, file, behind = parts(path)
    if _ARCHIVE.match(path):
        return re.split("[/!]", behind.rstrip("/") or file)[-1] or Path(file).name
    inner = re.sub(r"\W+", "_", behind).strip("_")
    return f"{Path(file).stem}_{inner}" if inner else Path(file).name


def reader(path: str) -> str | None:
    """GDAL's prefix for an archive that is listed like a folder; None for other files."""
    return _READERS.get(Path(path).suffix.lower())


def listed(archive: str) -> list[str]:
    """Paths of all that a local .zip or .tar holds, as GDAL reads them. Raises DataError."""
    try:
        if archive.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as file:
                names = file.namelist()
        else:
            with tarfile.open(archive, "r:") as file:
                names = file.getnames()
    except (OSError, ValueError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise DataError(f"{archive}: cannot be read as an archive ({error}). Check the file.") from error
    return [f"{reader(archive)}{archive}/{name}" for name in names]


def _mark(path: str) -> re.Match[str] | None:
    """What a path begins with that names a raster inside a file."""
    if ":" not in path and not path.startswith("/vsi"):
        return None  # nearly all paths
    return _ARCHIVE.match(path) or _OF_FILE.match(path) or _SUBDATASET.match(path)


def _archive_of(rest: str) -> tuple[str, str]:
    """The archive's own path, and what stands behind it: from "!", or below a path that is a file."""
    file, mark, inner = rest.partition("!")
    if mark:
        return file, mark + inner
    if rest.startswith("{") and "}" in rest:  # GDAL's own marks around an archive's name
        return rest[1 : rest.index("}")], rest[rest.index("}") + 1 :]
    ends = [place for place, sign in enumerate(rest) if sign == "/" and place] + [len(rest)]
    end = next((end for end in ends if Path(rest[:end]).is_file()), None)
    if end is None:
        suffix = re.search(r"\.(?:zip|tar|tgz|gz)(?=/|$)", rest, re.IGNORECASE)
        end = suffix.end() if suffix else len(rest)
    return rest[:end], rest[end:]

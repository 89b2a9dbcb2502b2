"""Where rasters may lie other than in a file of their own: inside a local file, or with a server."""

from __future__ import annotations

import os
import re
import tarfile
import time
import urllib.request
import zipfile
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import signed_urls

_ARCHIVE = re.compile(r"(?:(?:zip|tar|gzip)(?:\+file)?://|/vsi(?:zip|tar|gzip)/)(?!/?vsi|\w+://)")
_OF_FILE = re.compile(r"file://(?=/)")
_DRIVERS = "netcdf|hdf[45]|hdf4_(?:sds|eos)|gpkg|gtiff_dir|sentinel2_l\\w+|zarr|bag"
_SUBDATASET = re.compile(rf"(?:{_DRIVERS}):", re.IGNORECASE)
_READERS = {".zip": "/vsizip/", ".tar": "/vsitar/"}

Found = TypeVar("Found")
_TRIES = 4
_PAUSE_S = 0.5  # doubles from try to try
_TIMEOUT_S = 6
_DOCUMENT_BYTES = 1 << 30
GDAL_OPTIONS = {
    "GDAL_HTTP_MAX_RETRY": str(_TRIES - 1),
    "GDAL_HTTP_RETRY_DELAY": str(_PAUSE_S),
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": str(_TIMEOUT_S),
    # A low speed for so long is a server that hangs.
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_LOW_SPEED_TIME": str(_TIMEOUT_S),
    # One request for the file instead of one for each name a sidecar could have.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
}


def is_inside(path: str) -> bool:
    """Whether the path names a raster inside a local file, in a way of GDAL's or rasterio's."""
    return _mark(path) is not None


def pieces(path: str) -> tuple[str, str, str]:
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
    before, file, behind = pieces(path)
    file = os.path.normpath(Path(base) / file)
    if _ARCHIVE.match(path):
        kind = next(kind for kind in ("gzip", "zip", "tar") if kind in before)
        inner = behind.lstrip("!/")
        return f"/vsi{kind}/{file}/{inner}".rstrip("/")
    return before + file + behind


def own_name(path: str) -> str:
    """What a raster inside a file is called: its own name in an archive, else the file's and its own."""
    _, file, behind = pieces(path)
    if _ARCHIVE.match(path):
        return re.split("[/!]", behind.rstrip("/") or file)[-1] or Path(file).name
    inner = re.sub(r"\W+", "_", behind).strip("_")
    return f"{Path(file).stem}_{inner}" if inner else Path(file).name


def reader(path: str) -> str | None:
    """GDAL's prefix for an archive that is listed like a folder; None for other files."""
    return _READERS.get(Path(path).suffix.lower())


def members(archive: str) -> list[str]:
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


def is_remote(path: str) -> bool:
    """Whether GDAL, not the file system, resolves the path: not where a local file holds the raster."""
    return (path.startswith("/vsi") or "://" in path) and not is_inside(path)


def server_identity(path: str) -> dict[str, Any]:
    """Size, modification time and ETag, as far as the server tells; all None for stores other than HTTP.

    Raises InputError, naming the path, when the server refuses or does not answer after several tries.
    """
    url = _url(path)
    if url is None:
        return {"size": None, "mtime": None, "etag": None}
    signed = signed_urls.signed(url)
    # A signature may be for GET alone; a server that knows no ranges is not read any further.
    how: dict[str, Any] = {"method": "HEAD"} if signed == url else {"headers": {"Range": "bytes=0-0"}}
    headers = _asked(path, urllib.request.Request(signed, **how), lambda answer: answer.headers)
    size, modified = headers.get("Content-Length", ""), headers.get("Last-Modified")
    of_all = re.fullmatch(r"bytes \d+-\d+/(\d+)", headers.get("Content-Range", ""))
    size = of_all[1] if of_all else size
    try:
        mtime = parsedate_to_datetime(modified).timestamp() if modified else None
    except ValueError:
        mtime = None
    return {"size": int(size) if size.isdigit() else None, "mtime": mtime, "etag": headers.get("ETag")}


def _url(path: str) -> str | None:
    bare = path.removeprefix("/vsicurl/")
    return bare if bare.startswith(("http://", "https://")) else None


def fetch(path: str) -> bytes:
    """All that lies at an http address. Errors as for `server_identity`."""
    request = urllib.request.Request(signed_urls.signed(path), headers={"Accept": "application/json, */*"})
    return _asked(path, request, lambda answer: bytes(answer.read(_DOCUMENT_BYTES)))


def _asked(path: str, request: urllib.request.Request, of: Callable[[Any], Found]) -> Found:
    reason = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_S * 2 ** (attempt - 1))
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                return of(answer)
        except HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 429):
                break  # asking again would not help
        except (OSError, HTTPException, ValueError) as error:
            reason = " ".join(signed_urls.scrubbed(str(error)).split()) or type(error).__name__
    raise InputError(
        f"{path}: the server does not give it ({reason}). Check the address, or try again later."
    )

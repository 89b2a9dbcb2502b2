"""Scenes that a server holds: what tells a changed one, and how GDAL is told to be patient."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Any, TypeVar
from urllib.error import HTTPError

from tile2vec_cli.errors import InputError
from tile2vec_cli.geo import containers, signatures

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


def is_remote(path: str) -> bool:
    """Whether GDAL, not the file system, resolves the path: not where a local file holds the raster."""
    return (path.startswith("/vsi") or "://" in path) and not containers.is_inside(path)


def identity(path: str) -> dict[str, Any]:
    """Size, modification time and ETag, as far as the server tells; all None for stores other than HTTP.

    Raises InputError, naming the path, when the server refuses or does not answer after several tries.
    """
    url = _url(path)
    if url is None:
        return {"size": None, "mtime": None, "etag": None}
    signed = signatures.signed(url)
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
    """All that lies at an http address. Errors as for `identity`."""
    request = urllib.request.Request(signatures.signed(path), headers={"Accept": "application/json, */*"})
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
            reason = " ".join(signatures.scrubbed(str(error)).split()) or type(error).__name__
    raise InputError(
        f"{path}: the server does not give it ({reason}). Check the address, or try again later."
    )

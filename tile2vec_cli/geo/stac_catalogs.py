"""STAC files and addresses as lists of scenes: items, collections of items, catalogs and stac-geoparquet."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tile2vec_cli.errors import DataError, InputError, Tile2VecError
from tile2vec_cli.geo import locations, stac_items
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.scene_facts import broken
from tile2vec_cli.geo.stac_items import Found, Json

_DOCUMENTS, _PARQUETS = (".json", ".geojson"), (".parquet", ".geoparquet")
_API = re.compile(r"https?://.*/(?:search|collections/[^/]+(?:/items(?:/[^/]+)?)?)/?$")
_NEEDED = "an item, an item collection, a collection or a catalog of STAC is needed"
_COLUMNS = ("id", "collection", "datetime", "start_datetime", "assets", "links", "properties")
_EXTRA = "earthsearch:boa_offset_applied"
_MARK, _HEAD_BYTES = b'"stac_version"', 1 << 16
_AT_A_TIME = 16  # documents asked for
_MOST = 100_000  # documents and items


@dataclass(frozen=True)
class Scenes:
    """The scenes of STAC documents, in their order, those that cannot be used among them."""

    found: list[Found]
    remarks: list[str]


@dataclass(frozen=True)
class Document:
    """A document of which scenes are yet to be made."""

    address: str
    content: bytes | None = field(default=None, repr=False)  # where it has been read already


def is_document(path: str) -> bool:
    """Whether a path or an address is, by its looks, that of a STAC document."""
    bare = re.split(r"[?#]", path)[0] if is_remote(path) else path
    return bare.lower().endswith((*_DOCUMENTS, *_PARQUETS)) or bool(_API.match(bare))


def document(path: str) -> Document | None:
    """The STAC document at a path or an address; None where what lies there is none: others end alike."""
    if not is_document(path):
        return None
    content = None
    try:
        if _is_parquet(path):
            found = not is_remote(path) and _is_geoparquet(path)
        elif is_remote(path):
            content = _content(path)
            found = _MARK in content
        else:
            with Path(path).open("rb") as file:
                found = _MARK in file.read(_HEAD_BYTES)
    except (OSError, Tile2VecError):
        return None  # it is said where it is read
    return Document(path, content) if found else None


def _is_parquet(address: str) -> bool:
    return re.split(r"[?#]", address)[0].lower().endswith(_PARQUETS)


def _is_geoparquet(path: str) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return {"id", "assets", "stac_version"} <= set(pq.read_schema(path).names)
    except pa.ArrowException:
        return False


def scenes(path: str | Document, assets: Sequence[str] | None) -> Scenes:
    """All scenes of a document and of those that it links to; `assets` as for `stac_items.scene`.

    What cannot be read is found as a broken scene. Raises DataError where there is none at all.
    """
    first = path if isinstance(path, Document) else Document(path)
    path = first.address
    nodes: list[Found | Document] = [first]
    seen, remarks = {_place(path)}, list[str]()
    load = partial(_loaded, assets=assets, say=remarks.append)
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        while links := [node for node in nodes if isinstance(node, Document)]:
            loaded = iter(pool.map(load, links))
            nodes = list(_replaced(nodes, loaded, seen))
            if len(nodes) > _MOST:
                raise DataError(f"{path}: leads to more than {_MOST:,} items. Name a part of it.")
    found = [node for node in nodes if isinstance(node, Found)]
    if not found:
        raise DataError(
            f"{path}: leads to no items; at least one is needed. Name a search result or a catalog."
        )
    return Scenes(found, sorted(remarks))


def _replaced(
    nodes: Iterable[Found | Document], loaded: Iterator[list[Found | Document]], seen: set[str]
) -> Iterator[Found | Document]:
    """The nodes with what was loaded for each link in its place; a link that was followed before is none."""
    for node in nodes:
        for own in next(loaded) if isinstance(node, Document) else [node]:
            if isinstance(own, Document):
                if (place := _place(own.address)) in seen:
                    continue
                seen.add(place)
            yield own


def _place(address: str) -> str:
    return address.partition("#")[0] if is_remote(address) else str(Path(address).resolve())


def _loaded(
    document: Document, assets: Sequence[str] | None, say: Callable[[str], None]
) -> list[Found | Document]:
    address = document.address
    try:
        if _is_parquet(address):
            return [stac_items.scene(item, address, assets, among=True) for item in _rows(address)]
        return list(_entries(_parsed(document), address, assets, say))
    except Tile2VecError as error:
        return [Found(address, broken(address, error))]


def _entries(
    found: Json, address: str, assets: Sequence[str] | None, say: Callable[[str], None]
) -> Iterator[Found | Document]:
    """What a document says: scenes, and links to further documents."""
    kind, features = found.get("type"), found.get("features")
    if kind == "Feature" and "assets" in found:
        yield stac_items.scene(found, address, assets)
    elif kind == "FeatureCollection" and isinstance(features, list):
        if not all(isinstance(item, dict) and "assets" in item for item in features):
            raise DataError(f"{address}: holds features without assets; {_NEEDED}. Check the file.")
        if any(link.get("rel") == "next" for link in _links(found)):
            context = found.get("context")  # of APIs before 1.0
            total = found.get("numberMatched", context.get("matched") if isinstance(context, dict) else None)
            of = f"{len(features):,} items" + (f" of {total:,}" if isinstance(total, int) else "")
            say(f"{address}: holds one page of a search result, {of}. Save all pages to have all scenes.")
        for item in features:
            yield stac_items.scene(item, address, assets, among=True)
    elif kind in ("Catalog", "Collection") or ("stac_version" in found and "links" in found):
        for link in _links(found):
            if link.get("rel") in ("item", "child"):
                yield Document(stac_items.located(str(link.get("href")), address))
    else:
        raise DataError(f"{address}: says to be {kind!r}; {_NEEDED}. Check the file.")


def _links(found: Json) -> list[Json]:
    links = found.get("links") or []
    return [link for link in links if isinstance(link, dict)] if isinstance(links, list) else []


def _parsed(document: Document) -> Json:
    address, content = document.address, document.content
    try:
        found = json.loads(_content(address) if content is None else content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{address}: is no JSON ({error}); {_NEEDED}. Check the file.") from error
    if not isinstance(found, dict):
        raise DataError(f"{address}: holds no JSON object; {_NEEDED}. Check the file.")
    return found


def _content(address: str) -> bytes:
    bare = address.removeprefix("/vsicurl/")
    if bare.startswith(("http://", "https://")):
        return locations.fetch(bare)
    if is_remote(address):
        raise InputError(f"{address}: STAC documents are read from files and http addresses. Copy it first.")
    try:
        return Path(address).read_bytes()
    except OSError as error:
        raise InputError(f"{address}: {error.strerror}; {_NEEDED}. Check the path.") from error


def _rows(address: str) -> Iterator[Json]:
    """The items of a stac-geoparquet file, as far as they are needed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        source = pq.ParquetFile(io.BytesIO(_content(address)) if is_remote(address) else address)
        names = source.schema_arrow.names
        if not {"id", "assets"} <= set(names):
            raise DataError(
                f"{address}: has no columns id and assets; stac-geoparquet is needed. Check the file."
            )
        wanted = [name for name in (*_COLUMNS, _EXTRA) if name in names]
        rows = [row for batch in source.iter_batches(columns=wanted) for row in batch.to_pylist()]
    except FileNotFoundError as error:
        raise InputError(f"{address}: no such file; stac-geoparquet is needed. Check the path.") from error
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{address}: cannot be read as Parquet ({reason}). Check the file.") from error
    for row in rows:
        item = {name: _plain(value) for name, value in row.items()}
        times = {name: item[name] for name in ("datetime", "start_datetime", _EXTRA) if item.get(name)}
        yield {**item, "properties": {**(item.get("properties") or {}), **times}}


def _plain(value: Any) -> Any:
    """A cell as JSON has it: text that holds JSON parsed, and no fields that only other rows have."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with suppress(ValueError):
            return json.loads(value)
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items() if own is not None}
    if isinstance(value, list) and value and isinstance(value[0], tuple):  # a map
        return {name: _plain(own) for name, own in value if own is not None}
    if isinstance(value, list):
        return [_plain(own) for own in value]
    return value.isoformat() if hasattr(value, "isoformat") else value

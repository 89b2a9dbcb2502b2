"""STAC items as scenes: which files, in which order, and what the item says of them (STAC 1.0 and 1.1)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from tile2vec_cli.errors import DataError, Tile2VecError
from tile2vec_cli.geo import signed_urls, stacks
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.rasters import SUFFIXES
from tile2vec_cli.geo.scene_facts import BandFacts, Facts, broken

Json = Mapping[str, Any]

_STORES = {"s3": "vsis3", "gs": "vsigs", "gcs": "vsigs", "az": "vsiaz", "abfs": "vsiaz", "abfss": "vsiaz"}
_RASTERS = ("image/tiff", "image/vnd.stac.geotiff", "image/geotiff", "image/x.geotiff", "image/jp2")
_SHOWN = {"thumbnail", "overview", "visual", "metadata"}  # roles of what is there to be looked at
_NAMES = ("common_name", "eo:common_name", "name")  # of a band, in this order
_LISTED = 12  # keys in an error


@dataclass(frozen=True)
class Found:
    """A scene that an item is: its path, as a raster's or a stack's, and what the item says of it."""

    path: str
    facts: Facts


@dataclass(frozen=True)
class _Asset:
    key: str
    href: str
    type: str
    roles: frozenset[str]
    bands: tuple[Json, ...]  # what is said of each, whatever the version
    whole: Json  # the asset itself

    @classmethod
    def of(cls, key: str, found: Json) -> _Asset:
        # 1.0 has a list for each extension, 1.1 one for all.
        lists = [found.get(name) or [] for name in ("eo:bands", "raster:bands", "bands")]
        bands = tuple(
            {name: value for own in lists if k < len(own) for name, value in own[k].items()}
            for k in range(max(map(len, lists)))
        )
        roles = frozenset(found.get("roles") or ())
        return cls(key, str(found["href"]), str(found.get("type") or "").lower(), roles, bands, found)

    @property
    def is_raster(self) -> bool:
        if self.type:
            return self.type.startswith(_RASTERS)
        return urlsplit(self.href).path.lower().endswith(SUFFIXES)

    def band(self, name: str, kind: str) -> int | None:
        """The number, from 1, of the first band of which `kind` is this name."""
        return next((k for k, band in enumerate(self.bands, 1) if band.get(kind) == name), None)

    def facts(self, offset_applied: bool) -> tuple[BandFacts, ...]:
        found = []
        for band in self.bands or ({},):
            said = {**self.whole, **band}
            nodata = _number(said.get("nodata", said.get("file:nodata")))
            scale = _number(said.get("raster:scale", band.get("scale")))
            offset = _number(said.get("raster:offset", band.get("offset")))
            found.append(BandFacts(nodata, scale, None if offset_applied else offset))
        return tuple(found)


def scene(item: Json, base: str, assets: Sequence[str] | None, *, among: bool = False) -> Found:
    """The scene of an item that was read at `base`, an address or a path from the root.

    `assets` are asset keys or names of bands, in the order of the scene's bands; None: the only raster.
    An item that was found `among` others lies where its own link says. One that is no scene is found
    as a broken one.
    """
    name = str(item.get("id") or base)
    try:
        return _scene(item, _own_address(item, base) if among else base, assets)
    except Tile2VecError as error:
        return Found(f"{base}#{name}", broken(name, error))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        trouble = DataError(f"{base}: item {name} cannot be read ({reason}); an item of STAC is needed.")
        return Found(f"{base}#{name}", broken(name, trouble))


def _scene(item: Json, base: str, assets: Sequence[str] | None) -> Found:
    own = {key: _Asset.of(key, found) for key, found in item["assets"].items()}
    where = f"{base}: item {item['id']}"
    chosen = [_chosen(own, name, where) for name in assets or ()] or [(_only(own, where), None)]
    keys = list(dict.fromkeys(asset.key for asset, _ in chosen))
    properties = item.get("properties") or {}
    # Earth Search takes the offset off the pixels of one collection, and says so nowhere else.
    applied = properties.get("earthsearch:boa_offset_applied") is True
    facts = Facts(
        id=str(item["id"]),
        collection=None if item.get("collection") is None else str(item["collection"]),
        datetime=_taken(properties, where),
        names=tuple(assets or keys),
        picks=tuple((keys.index(asset.key), band) for asset, band in chosen),
        bands=tuple(own[key].facts(applied) for key in keys),
    )
    return Found(stacks.spelled([located(own[key].href, base) for key in keys]), facts)


def _only(assets: Mapping[str, _Asset], where: str) -> _Asset:
    """The only raster with data."""
    rasters = [asset for asset in assets.values() if asset.is_raster]
    data = [asset for asset in rasters if "data" in asset.roles]
    data = data or [asset for asset in rasters if not asset.roles & _SHOWN]
    if len(data) == 1:
        return data[0]
    found = f"has {len(data)} assets with data: {_listed(asset.key for asset in data)}"
    if not data:
        found = f"has no raster among its assets: {_listed(assets)}"
    raise DataError(f"{where} {found}; one is needed. Name --assets, or item.json#KEY for labels.")


def _chosen(assets: Mapping[str, _Asset], name: str, where: str) -> tuple[_Asset, int | None]:
    """The asset of this key, or the one with a band of this name and, if it has others, the band's number.

    Of several, one that holds the band alone counts before pictures and the like.
    """
    if name in assets:
        return assets[name], None
    for kind in _NAMES:
        found = [(asset, asset.band(name, kind)) for asset in assets.values() if asset.is_raster]
        with_band = [(asset, band) for asset, band in found if band is not None]
        for fits in (_is_alone, _is_data):
            with_band = [one for one in with_band if fits(one[0])] or with_band
        tiffs = [one for one in with_band if "jp2" not in one[0].type]
        with_band = tiffs or with_band
        if len(with_band) > 1:
            keys = _listed(asset.key for asset, _ in with_band)
            raise DataError(
                f"{where} has several bands {name}, in {keys}; one is needed. Name it by its key."
            )
        if with_band:
            asset, band = with_band[0]
            return asset, None if len(asset.bands) == 1 else band
    names = [
        str(band[kind]) for one in assets.values() for band in one.bands for kind in _NAMES if kind in band
    ]
    keys = _listed(dict.fromkeys([*assets, *names]))
    raise DataError(f"{where} has no asset or band {name}; it has {keys}. Choose among these.")


def _is_alone(asset: _Asset) -> bool:
    return len(asset.bands) == 1


def _is_data(asset: _Asset) -> bool:
    return not asset.roles & _SHOWN


def located(href: str, base: str) -> str:
    """Where a link from `base` leads, as GDAL reads it: an address without its signature, or a path."""
    if href.startswith("/vsi"):
        return signed_urls.admit(href)
    scheme, mark, rest = href.partition("://")
    if not mark and "://" in base:
        # urljoin knows few schemes, and joins all alike.
        own, _, place = base.partition("://")
        scheme, rest = own, urljoin(f"http://{place}", href).removeprefix("http://")
    elif scheme == "file":
        path = unquote(urlsplit(href).path)
        return os.path.normpath(path)
    elif not mark:
        plain = os.path.normpath(Path(base).parent / href)
        return plain if Path(plain).exists() else os.path.normpath(Path(base).parent / unquote(href))
    if scheme in _STORES:
        return f"/{_STORES[scheme]}/{rest}"
    return signed_urls.admit(f"{scheme}://{rest}")


def _own_address(item: Json, base: str) -> str:
    own = next((link["href"] for link in item.get("links") or () if link.get("rel") == "self"), "")
    return signed_urls.admit(own) if is_remote(own) else base


def _taken(properties: Json, where: str) -> datetime | None:
    text = properties.get("datetime") or properties.get("start_datetime")
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise DataError(
            f"{where} was taken at {text!r}; a date such as 2021-05-13T17:19:01Z is needed."
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _number(value: Any) -> float | None:
    """A number, or a text such as "nan"."""
    return value if value is None or isinstance(value, int | float) else float(value)


def _listed(names: Iterator[str] | Mapping[str, Any]) -> str:
    every = list(names)
    return ", ".join(every[:_LISTED]) + ", …" * (len(every) > _LISTED) or "none"

"""A STAC item, whatever it is of (https://github.com/radiantearth/stac-spec, 1.1.0)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import shapely

STAC_VERSION = "1.1.0"
Json = dict[str, Any]
Times = tuple[datetime | None, datetime | None]

# STAC has no item without a time; this is how the MLM extension's own examples spell "at any time".
_ALWAYS = ("1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
WORLD = shapely.box(-180, -90, 180, 90)


@dataclass(frozen=True)
class Asset:
    """A file that goes into the catalog, and what is said of it."""

    path: Path
    fields: Json  # type, roles, …


@dataclass(frozen=True)
class Item:
    """What one file or model is."""

    kind: str  # "embeddings", "maps" or "models"
    id: str
    source: Path
    geometry: shapely.Geometry  # longitude and latitude
    times: Times  # the first and the last; None: at any time
    properties: Json
    assets: dict[str, Asset]
    extensions: tuple[str, ...]
    fingerprint: str | None = None  # of a model, or of the model that made it
    shared: Json = field(default_factory=dict)  # what its collection says, of all its items
    made_from: Json = field(default_factory=dict)  # the model and the parts of a tile set

    @property
    def bbox(self) -> list[float]:
        """West, south, east, north; across the antimeridian the west is the larger (RFC 7946, 5.2)."""
        west, south, east, north = (float(side) for side in self.geometry.bounds)
        parts = shapely.get_parts(self.geometry)
        if len(parts) == 2 and west == -180 and east == 180:
            sides = shapely.bounds(parts)
            west, east = float(sides[:, 0].max()), float(sides[:, 2].min())
        return [west, south, east, north]

    @property
    def interval(self) -> tuple[str, str]:
        first, last = self.times
        return (_stamp(first), _stamp(last)) if first and last else _ALWAYS

    def to_json(self, collection: str, links: list[Json]) -> Json:
        start, end = self.interval
        when: Json = {"datetime": start}
        if start != end:
            when = {"datetime": None, "start_datetime": start, "end_datetime": end}
        return {
            "type": "Feature",
            "stac_version": STAC_VERSION,
            "stac_extensions": sorted(self.extensions),
            "id": self.id,
            "collection": collection,
            "geometry": shapely.geometry.mapping(self.geometry),
            "bbox": self.bbox,
            "properties": {**when, **self.properties},
            "links": links,
            "assets": {
                key: {"href": f"./{asset.path.name}", **asset.fields} for key, asset in self.assets.items()
            },
        }


def extension(name: str, version: str) -> str:
    """The address that declares an extension of STAC."""
    return f"https://stac-extensions.github.io/{name}/v{version}/schema.json"


FILE = extension("file", "2.1.0")


def asset(path: Path, media_type: str, *roles: str, **fields: Any) -> Asset:
    return Asset(path, {"type": media_type, "roles": list(roles), "file:size": path.stat().st_size, **fields})


def class_of(value: int, called: str, colour: tuple[int, int, int] | None = None) -> Json:
    """A class as versions 1.1 and 2.0 of the classification extension both want it.

    Its name is of letters, digits and hyphens.
    """
    name = "-".join("".join(sign if sign.isascii() and sign.isalnum() else " " for sign in called).split())
    hint = {"color_hint": "".join(f"{part:02X}" for part in colour)} if colour else {}
    return {"value": value, "name": name or f"class-{value}", "description": called, **hint}


def _stamp(time: datetime) -> str:
    """RFC 3339 in UTC."""
    text = time.isoformat(timespec="milliseconds" if time.microsecond else "seconds")
    return text.replace("+00:00", "Z")

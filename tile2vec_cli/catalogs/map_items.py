"""A map as a STAC item (projection 2.0.0, raster 2.0.0, classification 2.0.0)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from tile2vec_cli.catalogs.items import FILE, Item, Json, asset, extension
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import geoparquet, places, rasters

PROJECTION = extension("projection", "2.0.0")
RASTER = extension("raster", "2.0.0")
CLASSIFICATION = extension("classification", "2.0.0")
COG = "image/tiff; application=geotiff; profile=cloud-optimized"

_CLASS = "TILE2VEC_CLASS_"  # tags of a map: what each value is called


def item(path: Path) -> Item:
    """Raises DataError where the file is no georeferenced raster."""
    with rasters.opened(str(path)) as source:
        raster, tags = rasters.described(str(path), source), dict(source.tags())
    if not raster.is_georeferenced or raster.crs is None:
        raise DataError(f"{path}: lies nowhere on the Earth; a georeferenced map is needed. Leave it out.")
    classes = _classes(tags, raster)
    bands = [_band(raster, number) for number in range(raster.count)]
    if classes:
        bands[0] = {**bands[0], "name": "class", "classification:classes": classes}
    code = places.crs_name(raster.crs)
    projection: Json = {"proj:code": code if ":" in code and " " not in code else None}
    if projection["proj:code"] is None:
        projection["proj:wkt2"] = raster.crs
    projection["proj:shape"] = [raster.height, raster.width]
    projection["proj:transform"] = list(raster.transform)
    return Item(
        kind="maps",
        id=path.stem,
        source=path,
        geometry=_footprint(raster),
        times=(raster.datetime, raster.datetime),
        properties=projection,
        assets={"map": asset(path, COG, "data", bands=bands)},
        extensions=(PROJECTION, RASTER, FILE, *((CLASSIFICATION,) if classes else ())),
        fingerprint=tags.get("TILE2VEC_MODEL"),
    )


def _band(raster: rasters.Raster, number: int) -> Json:
    nodata = raster.nodata[number]
    said: Json = {
        "name": raster.descriptions[number] or f"band{number + 1}",
        "data_type": raster.dtype,
        "raster:spatial_resolution": round(raster.resolution_m, 6),
    }
    if nodata is not None:  # JSON has no NaN
        said["nodata"] = float(nodata) if np.isfinite(nodata) else str(float(nodata))
    return said


def _classes(tags: dict[str, str], raster: rasters.Raster) -> list[dict[str, Any]]:
    """One a named value, as the classification extension wants them: a name of few signs, and a title."""
    named = {
        int(key.removeprefix(_CLASS)): name
        for key, name in tags.items()
        if key.startswith(_CLASS) and key.removeprefix(_CLASS).isdigit()
    }
    found = []
    for value, title in sorted(named.items()):
        name = re.sub(r"[^0-9A-Za-z]+", "-", title).strip("-") or f"class-{value}"
        colour = raster.colours.get(value)
        hint = {"color_hint": "".join(f"{part:02X}" for part in colour)} if colour else {}
        found.append({"value": value, "name": name, "title": title, **hint})
    nodata = raster.nodata[0]
    if found and nodata is not None and int(nodata) not in named:
        found.append({"value": int(nodata), "name": "nodata", "title": "no data", "nodata": True})
    return found


def _footprint(raster: rasters.Raster) -> shapely.Geometry:
    rows = np.array([0.0, raster.height, raster.height, 0.0])
    cols = np.array([0.0, 0.0, raster.width, raster.width])
    corners = raster.lonlat(rows, cols)
    if not np.isfinite(corners).all():  # a corner beyond the Earth's edge
        return shapely.box(*raster.bounds_lonlat)
    return geoparquet.polygons(corners[None])[0]

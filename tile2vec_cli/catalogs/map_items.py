"""A map as a STAC item (projection 2.0.0, raster 2.0.0, classification 2.0.0)."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyproj
import shapely

from tile2vec_cli.catalogs.items import FILE, Item, Json, asset, class_of, extension
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import outlines, rasters
from tile2vec_cli.labelling import legends

PROJECTION = extension("projection", "2.0.0")
RASTER = extension("raster", "2.0.0")
CLASSIFICATION = extension("classification", "2.0.0")
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
GEOTIFF = "image/tiff; application=geotiff"

_CLASS = "TILE2VEC_CLASS_"  # tags of a map: what each value is called
_LEGEND = "TILE2VEC_CLASSES"  # the same in one, as JSON


def item(path: Path) -> Item:
    """Raises DataError where the file is no georeferenced raster."""
    with rasters.opened(str(path)) as source:
        raster, tags = rasters.described(str(path), source), dict(source.tags())
        is_cog = source.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    if not raster.is_georeferenced or raster.crs is None:
        raise DataError(f"{path}: lies nowhere on the Earth; a georeferenced map is needed. Leave it out.")
    classes = _classes(raster, tags)
    bands = [_band(raster, number) for number in range(raster.count)]
    fields = {"bands": bands, **({"classification:classes": classes} if classes else {})}
    assets = {"map": asset(path, COG if is_cog else GEOTIFF, "data", **fields)}
    sidecar = Path(f"{path}.aux.xml")
    if sidecar.is_file():  # in which GDAL and QGIS find the names of the classes
        assets["legend"] = asset(sidecar, "application/xml", "metadata")
    crs = pyproj.CRS(raster.crs)
    authority = crs.to_authority()
    return Item(
        kind="maps",
        id=path.stem,
        source=path,
        geometry=_footprint(raster),
        times=(raster.datetime, raster.datetime),
        properties={
            "proj:code": ":".join(authority) if authority else None,
            **({} if authority else {"proj:wkt2": crs.to_wkt()}),
            "proj:shape": [raster.height, raster.width],
            "proj:transform": list(raster.transform),
        },
        assets=assets,
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
    if nodata is not None:
        whole = np.dtype(raster.dtype).kind in "iu"
        said["nodata"] = int(nodata) if whole else nodata if np.isfinite(nodata) else str(nodata)
    return said


def _classes(raster: rasters.Raster, tags: dict[str, str]) -> list[Json]:
    """What the values of a map of one band of whole numbers are called."""
    if raster.count != 1 or np.dtype(raster.dtype).kind not in "iu":
        return []
    named = dict(legends.Table.of(raster, 1).names) or _tagged(tags)
    found = [class_of(value, named[value], raster.colours.get(value)) for value in sorted(named)]
    nodata = raster.nodata[0]
    if found and nodata is not None and int(nodata) not in named:
        found.append({**class_of(int(nodata), "nodata"), "nodata": True})
    return found


def _tagged(tags: dict[str, str]) -> dict[int, str]:
    said = {key.removeprefix(_CLASS): name for key, name in tags.items() if key.startswith(_CLASS)}
    with suppress(TypeError, ValueError):  # names are a kindness
        said |= json.loads(tags.get(_LEGEND, "{}"))
    return {int(value): str(name) for value, name in said.items() if value.isdecimal()}


def _footprint(raster: rasters.Raster) -> shapely.Geometry:
    rows = np.array([0.0, raster.height, raster.height, 0.0])
    cols = np.array([0.0, 0.0, raster.width, raster.width])
    corners = raster.lonlat(rows, cols)
    if not np.isfinite(corners).all():  # a corner beyond the Earth's edge
        return shapely.box(*raster.bounds_lonlat)
    return outlines.polygons(corners[None])[0]

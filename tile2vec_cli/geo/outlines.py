"""Footprints in longitude and latitude, and what is asked of them: centres and sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.polygon import orient

from tile2vec_cli.geo.grid import ECCENTRICITY_SQUARED, METRES_PER_DEGREE, Floats

_ON_MERIDIAN = 1e-9  # degrees (0.1 mm): a corner this close to ±180 lies on it


def polygons(corners: NDArray[np.float64]) -> NDArray[np.object_]:
    """Footprints from their corners, the rings counter-clockwise.

    corners: (N, 4, 2) longitude and latitude in degrees, in ring order, not closed.
    A footprint that crosses the antimeridian becomes a MultiPolygon cut there (RFC 7946, 3.1.9);
    one that holds a pole reaches up to it over all longitudes.
    """
    lon, turns = _unwrapped(corners[..., 0])
    lat = corners[..., 1]
    rings = np.stack([lon, lat], axis=-1)
    area = np.sum(lon * np.roll(lat, -1, 1) - np.roll(lon, -1, 1) * lat, axis=1)
    rings[area < 0] = rings[area < 0, ::-1]
    shapes = shapely.polygons(rings)
    crosses = (lon.min(axis=1) < -180) | (lon.max(axis=1) > 180)
    for row in np.flatnonzero(crosses & (turns == 0)):
        shapes[row] = _cut(rings[row])
    for row in np.flatnonzero(turns):
        shapes[row] = _polar(lon[row], lat[row])
    return np.asarray(shapes, dtype=object)


def _unwrapped(lon: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Ring longitudes (N, 4) without jumps, within ±180 where possible, and turns around a pole (N,)."""
    lon = np.where(np.abs(np.abs(lon) - 180) < _ON_MERIDIAN, np.copysign(180, lon), lon)
    jumps = np.round((np.roll(lon, -1, axis=1) - lon) / 360).astype(np.int64)
    # Whole turns are added, nothing else: corners away from the antimeridian keep their digits.
    lon[:, 1:] -= 360 * jumps[:, :-1].cumsum(axis=1)
    lon[lon.min(axis=1) >= 180] -= 360
    lon[lon.max(axis=1) <= -180] += 360
    return lon, -jumps.sum(axis=1)


def _cut(ring: NDArray[np.float64]) -> Any:
    """The MultiPolygon of a ring (4, 2) that runs beyond ±180, cut there and moved back inside."""
    meridian = np.copysign(180.0, ring[np.abs(ring[:, 0]).argmax(), 0])
    east, west = _clipped(ring, meridian, 1), _clipped(ring, meridian, -1)
    beyond = east if meridian > 0 else west
    beyond[:, 0] -= 2 * meridian
    return shapely.MultiPolygon([shapely.Polygon(west), shapely.Polygon(east)])


def _clipped(ring: NDArray[np.float64], meridian: float, sign: int) -> NDArray[np.float64]:
    """The part of a convex ring east (sign 1) or west (-1) of a meridian (Sutherland and Hodgman 1974)."""
    kept = []
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if sign * (x0 - meridian) >= 0:
            kept.append((x0, y0))
        if (x0 - meridian) * (x1 - meridian) < 0:
            kept.append((meridian, y0 + (y1 - y0) * (meridian - x0) / (x1 - x0)))
    return np.array(kept)


def _polar(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> Any:
    """The footprint of a ring around a pole."""
    lon = (lon + 180) % 360 - 180
    order = np.argsort(lon)
    lon, lat = lon[order], lat[order]
    seam = np.interp(180, [lon[-1], lon[0] + 360], [lat[-1], lat[0]])
    pole = np.copysign(90, lat.mean())
    ring = [(-180, seam), *zip(lon, lat, strict=True), (180, seam), (180, pole), (-180, pole)]
    return orient(shapely.Polygon(ring))


def centres(geometry: NDArray[np.object_]) -> NDArray[np.float64]:
    """(N, 2) longitude and latitude of the centroids of shapely geometries in lon/lat.

    The parts of a footprint cut at the antimeridian count as one.
    """
    bounds = shapely.bounds(geometry)
    wide = np.flatnonzero(bounds[:, 2] - bounds[:, 0] > 180)
    joined = geometry.copy()
    joined[wide] = shapely.transform(geometry[wide], lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]]))
    middle = shapely.centroid(joined)
    lonlat = np.column_stack([shapely.get_x(middle), shapely.get_y(middle)])
    lonlat[wide, 0] = (lonlat[wide, 0] + 180) % 360 - 180
    polar = wide[np.abs(bounds[wide][:, [1, 3]]).max(axis=1) == 90]
    lonlat[polar] = np.column_stack([np.zeros(len(polar)), np.copysign(90, lonlat[polar, 1])])
    return lonlat


def side_m(area: Floats, lonlat: Floats) -> float:
    """Median ground side in metres of footprints: the root of their area. 0 for points.

    area: (N,) square degrees; lonlat: (N, 2) their centres.
    """
    sine = np.sin(np.radians(lonlat[:, 1]))
    # Metres a degree of latitude and of longitude, for the ellipsoid.
    flat = 1 - ECCENTRICITY_SQUARED * sine**2
    up = METRES_PER_DEGREE * (1 - ECCENTRICITY_SQUARED) / flat**1.5
    across = METRES_PER_DEGREE * np.sqrt(np.maximum(1 - sine**2, 0) / flat)
    return float(np.median(np.sqrt(area * up * across)))

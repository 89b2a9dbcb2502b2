"""From map coordinates to places on the Earth and back: the only file that touches pyproj."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from pyproj.exceptions import ProjError

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Floats, ecef

_SLACK = 1e-9  # degrees (0.1 mm)
_MOST = 540  # degrees; beyond they are no longitudes, but metres whose CRS is wrong: left as they are


def to_lonlat(crs: str | None, xy: Floats, path: str) -> Floats:
    """(..., 2) longitude and latitude, in degrees on WGS 84, of (..., 2) map coordinates in `crs`.

    Longitudes lie in [-180, 180); what is no place on the Earth, such as the corners of a full disc
    seen from a satellite, is infinite. Raises DataError, naming `path`, where the CRS has no way to WGS 84.
    """
    places = _transformed(crs, xy, path, inverse=False)
    places[~(np.isfinite(places).all(axis=-1) & (np.abs(places[..., 1]) <= 90))] = np.inf
    beyond = np.isfinite(places[..., 0]) & ((places[..., 0] < -180) | (places[..., 0] >= 180))
    places[beyond, 0] = (places[beyond, 0] + 180) % 360 - 180
    return places


def from_lonlat(crs: str | None, lonlat: Floats, path: str, about: float | Floats | None = None) -> Floats:
    """(..., 2) map coordinates in `crs` of (..., 2) places; infinite where the CRS does not reach.

    about: an x (one, or (...)) from which a place lies half way round the Earth at the most: that of a
    raster of longitudes from 0 to 360, say. Where the CRS shows every place once, it changes nothing.
    """
    xy = _transformed(crs, lonlat, path, inverse=True)
    turn = None if crs is None else _turn(crs)
    if about is not None and turn is not None:
        x = xy[..., 0]
        turns = np.ceil((about - x) / turn - 0.5)
        # Whole turns are added, nothing else: what lies there already keeps its digits.
        xy[..., 0] = np.where(np.isfinite(x) & (turns != 0), x + turn * np.where(np.isfinite(x), turns, 0), x)
    return xy


def ground_m(here: Floats, there: Floats) -> Floats:
    """(N,) straight distances in metres between two lists of (N, 2) places."""
    return np.asarray(np.linalg.norm(ecef(here) - ecef(there), axis=-1))


def crs_name(crs: str) -> str:
    """What a CRS is called: its code, such as EPSG:26910, or its name."""
    known = pyproj.CRS(crs)
    authority = known.to_authority()
    return ":".join(authority) if authority else str(known.name)


def is_geographic(crs: str) -> bool:
    """Whether its coordinates are longitude and latitude."""
    return bool(pyproj.CRS(crs).is_geographic)


def utm(lonlat: Floats) -> str:
    """The CRS of the UTM zone around a place (2,), on WGS 84; near the poles the polar one (UPS)."""
    lon, lat = map(float, lonlat)
    if abs(lat) > 84:
        return "EPSG:32661" if lat > 0 else "EPSG:32761"
    zone = int((lon + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


@lru_cache(maxsize=1)
def crs84() -> dict[str, Any]:
    """OGC:CRS84 as PROJJSON."""
    return dict(pyproj.CRS("OGC:CRS84").to_json_dict())


def _transformed(crs: str | None, xy: Floats, path: str, *, inverse: bool) -> Floats:
    if crs is None:
        raise DataError(f"{path}: has no CRS; places on the Earth need one. Assign it with `rio edit-info`.")
    try:
        transformer = _transformer(crs)
        direction = "INVERSE" if inverse else "FORWARD"
        x, y = transformer.transform(xy[..., 0], xy[..., 1], direction=direction)
    except ProjError as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: its CRS, {_called(crs)}, has no way to places on the Earth ({reason}); one that has is "
            "needed. Assign the CRS that its coordinates are really in with `rio edit-info --crs`."
        ) from error
    return np.stack([x, y], axis=-1)


def _called(crs: str) -> str:
    """Its name, as far as PROJ knows what it is."""
    try:
        return str(pyproj.CRS(crs).name)
    except ProjError:
        return "unknown to PROJ"


@lru_cache(maxsize=64)
def _turn(crs: str) -> float | None:
    """How much x grows once around the Earth; None where it is not a linear function of the longitude.

    It is one in geographic and in cylindrical CRSs, which go on beyond their seam.
    """
    known = pyproj.CRS(crs)
    if known.is_geographic:
        return float(2 * np.pi / known.axis_info[0].unit_conversion_factor)
    if known.geodetic_crs is None:
        return None
    lon, lat = np.meshgrid(np.arange(-179.5, 180, 30), [0.0, 50.0])  # twice, 30 degrees apart
    try:
        there = pyproj.Transformer.from_crs(known.geodetic_crs, known, always_xy=True)
        x, _ = there.transform(lon, lat)
    except ProjError:
        return None
    steps = np.diff(x, axis=1)
    turn = 12 * float(np.median(steps))
    # One step may cross the seam.
    even = np.isclose(12 * steps, turn, rtol=1e-9, atol=0).sum(axis=1) >= steps.shape[1] - 1
    return turn if np.isfinite(turn) and turn > 0 and even.all() else None


@lru_cache(maxsize=64)
def _transformer(crs: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)


def wrapped(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    """(N,) shapely geometries within ±180 degrees; those that lie there already are the same objects.

    What crosses becomes a multi-part geometry cut at the antimeridian; a ring around a pole reaches up
    to it over all longitudes.
    """
    bounds = shapely.bounds(geometry)
    west, east = bounds[..., 0], bounds[..., 2]
    suspect = (west < -180 - _SLACK) | (east > 180 + _SLACK) | (east - west > 180)
    suspect &= (west >= -_MOST) & (east <= _MOST)
    found = geometry.copy()
    for row in np.flatnonzero(suspect):
        found[row] = _wrapped(geometry[row])
    return found


def _wrapped(shape: shapely.Geometry) -> shapely.Geometry:
    parts = shapely.get_parts(shape)
    if not any(_is_beyond(part) for part in parts):
        return shape
    areas = [piece for part in parts if shapely.get_dimensions(part) == 2 for piece in _pieces(part)]
    others = [shapely.transform(part, _home) for part in parts if shapely.get_dimensions(part) < 2]
    if not areas:
        return others[0] if len(others) == 1 else type(shape)(others)
    area = shapely.union_all(areas)  # pieces of several turns may come to lie side by side
    return shapely.GeometryCollection([area, *others]) if others else area


def _is_beyond(part: shapely.Geometry) -> bool:
    west, _, east, _ = shapely.bounds(part)
    if west < -180 - _SLACK or east > 180 + _SLACK:
        return True
    return bool(shapely.get_dimensions(part) == 2 and any(_jumps(ring).any() for ring in _rings(part)))


def _pieces(polygon: shapely.Geometry) -> list[shapely.Geometry]:
    """The polygons within ±180 that one polygon (or collection of them) comes to."""
    if shapely.get_type_id(polygon) != 3:
        parts = shapely.get_parts(polygon)
        return [piece for part in parts[shapely.get_dimensions(parts) == 2] for piece in _pieces(part)]
    shell, *holes = (_unwrapped(ring) for ring in _rings(polygon))
    middle = shell[:, 0].min() + shell[:, 0].max()
    for hole in holes:
        hole[:, 0] += 360 * np.round((middle - hole[:, 0].min() - hole[:, 0].max()) / 720)
    whole = shapely.make_valid(shapely.Polygon(shell, holes))
    first, last = np.floor((shell[:, 0].min() + 180) / 360), np.floor((shell[:, 0].max() + 180) / 360)
    pieces = []
    for turn in np.arange(first, last + 1):
        window = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        parts = shapely.get_parts(shapely.intersection(whole, window))
        for part in parts[shapely.area(parts) > 0]:
            pieces.append(shapely.transform(part, lambda xy, turn=turn: xy - [360 * turn, 0]))
    return pieces


def _rings(polygon: shapely.Geometry) -> list[Floats]:
    """Coordinates (n, 2) of the shell and the holes; the first comes again at the end."""
    return [shapely.get_coordinates(ring) for ring in shapely.get_rings(polygon)]


def _jumps(ring: Floats) -> Floats:
    """(n - 1,) what is to be added to longitudes behind each edge."""
    step = np.diff(ring[:, 0])
    crosses = (np.abs(step) > 180) & (np.abs(step) < 360 - _SLACK)
    return np.where(crosses, -360 * np.sign(step), 0.0)


def _unwrapped(ring: Floats) -> Floats:
    """The ring without jumps; one around a pole goes on along it."""
    ring = ring.copy()
    jumps = _jumps(ring)
    if jumps.any():
        ring[1:, 0] += jumps.cumsum()
    if abs(ring[-1, 0] - ring[0, 0]) < 180:
        return ring
    pole = np.copysign(90, ring[:, 1].mean())
    return np.vstack([ring, [[ring[-1, 0], pole], [ring[0, 0], pole]], ring[:1]])


def _home(xy: Floats) -> Floats:
    beyond = np.abs(xy[:, 0]) > 180
    return np.column_stack([np.where(beyond, (xy[:, 0] + 180) % 360 - 180, xy[:, 0]), xy[:, 1]])

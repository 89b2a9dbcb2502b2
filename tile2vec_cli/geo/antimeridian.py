"""Shapes in longitude and latitude, brought within ±180 degrees: the one rule for longitudes beyond.

Longitudes count on: 190 is -170, and a polygon from 170 to 190 is cut at 180 (RFC 7946, 3.1.9). An edge
of more than 180 degrees runs the short way, across the antimeridian; only one of 360 is what it seems.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.geo.grid import Floats

_SLACK = 1e-9  # degrees (0.1 mm)
_MOST = 540  # degrees; beyond they are no longitudes, but metres whose CRS is wrong: left as they are


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

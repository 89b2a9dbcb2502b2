"""One label raster: its band of classes, and what it covers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import places
from tile2vec_cli.geo.grid import Floats, Geometry, Ints, Transform
from tile2vec_cli.geo.raster_headers import Raster

_LEAST_SIDE = 8  # points along a tile's side; more where it spans more label pixels,
_MOST_SIDE = 256  # but no more than this: 65,536 points tell the shares of a tile well enough
_POINTS = 1 << 21  # at a time

_SLACK = 0.02  # of its size, by which a raster may reach beyond the outline that is drawn of it


def is_quad(geometry: Geometry) -> NDArray[np.bool_]:
    """(N,) which are footprints of four corners."""
    return np.asarray((shapely.get_type_id(geometry) == 3) & (shapely.get_num_coordinates(geometry) == 5))


def is_point(geometry: Geometry) -> NDArray[np.bool_]:
    """(N,)"""
    return np.asarray(shapely.get_type_id(geometry) == 0)


def corners(geometry: Geometry) -> Floats:
    """(N, 4, 2) corners of footprints, in ring order; of other shapes those of the box about them.

    Of points NaN.
    """
    found, quads = np.full((len(geometry), 4, 2), np.nan), is_quad(geometry)
    found[quads] = shapely.get_coordinates(geometry[quads]).reshape(-1, 5, 2)[:, :4]
    for number in np.flatnonzero(~quads & ~is_point(geometry)):
        found[number] = _box_of(geometry[number])
    return found


def inside(geometry: Geometry, sides: Ints) -> Iterator[tuple[Ints, Floats]]:
    """Numbers (M,), ascending, of footprints and lon/lat (M, 2) of points in them; some at a time.

    sides: (N, 2) points to take along the sides; 0: of this footprint none. A point is itself.
    """
    quads, points = is_quad(geometry), is_point(geometry)
    if points.any():
        here = np.flatnonzero(points)
        yield here, shapely.get_coordinates(geometry[here])
    wanted = (sides > 0).all(axis=1) & ~points
    for across, down in np.unique(sides[quads & wanted], axis=0).tolist():
        here = np.flatnonzero(quads & (sides == [across, down]).all(axis=1))
        for chunk in chunks(here, across * down):
            places = _between(corners(geometry[chunk]), across, down)
            yield np.repeat(chunk, across * down), places.reshape(-1, 2)
    for number in np.flatnonzero(~quads & wanted):
        across, down = sides[number].tolist()
        places = _between(corners(geometry[[number]]), across, down).reshape(-1, 2)
        places[:, 0] = (places[:, 0] + 180) % 360 - 180
        places = places[shapely.contains_xy(geometry[number], places)]
        yield np.full(len(places), number), places


def a_side(pixels: Floats | None) -> Ints:
    """(2,) points to take along sides that span so many pixels; None: it is not known how many."""
    return np.array([_LEAST_SIDE] * 2 if pixels is None else [_side(one) for one in pixels.tolist()])


def _side(pixels: float) -> int:
    whole = max(1, round(pixels))
    return min(whole * math.ceil(_LEAST_SIDE / whole), _MOST_SIDE)


def _between(corners: Floats, across: int, down: int) -> Floats:
    """(N, across, down, 2) places on a regular grid inside (N, 4, 2) corners in ring order."""
    u = ((np.arange(across) + 0.5) / across)[:, None, None]
    v = ((np.arange(down) + 0.5) / down)[:, None]
    start, right, opposite, left = (corners[:, k, None, None] for k in range(4))
    return np.asarray((1 - v) * ((1 - u) * start + u * right) + v * ((1 - u) * left + u * opposite))


def _box_of(shape: shapely.Geometry) -> Floats:
    """(4, 2) corners of the box about a shape other than a tile's; one that is cut goes on beyond 180."""
    west, south, east, north = shapely.bounds(shape)
    if east - west > 180:  # cut at the antimeridian
        joined = shapely.transform(shape, lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]]))
        west, south, east, north = shapely.bounds(joined)
    return np.array([[west, south], [east, south], [east, north], [west, north]])


def chunks(rows: Ints, points: int) -> list[Ints]:
    """Rows, so many points each, in pieces that fit into memory."""
    step = max(1, _POINTS // points)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


@dataclass(frozen=True)
class Sheet:
    """What is kept of a raster whose pixels are yet to be read: there may be thousands."""

    path: str
    band: int  # that holds the class codes, from 1
    crs: str | None
    transform: Transform
    has_alpha: bool  # beside the classes

    @classmethod
    def of(cls, raster: Raster, band: int | None) -> Sheet:
        """band: the one that holds class codes; None: the only one.

        Raises DataError where no band holds class codes, or it is not known which.
        """
        band = _class_band(raster, band)
        return cls(raster.path, band, raster.crs, raster.transform, raster.alpha not in (None, band))

    @property
    def kind(self) -> tuple[Any, ...]:
        """Its CRS and resolution; alike in rasters that are sampled alike."""
        a, b, _, d, e, _ = self.transform
        return (self.crs, *(f"{value:.3g}" for value in (a, b, d, e)))

    def pixels_a_side(self, corners: Floats) -> Floats | None:
        """(2,) median length of the first two sides of (N, 4, 2) corners; None where its CRS shows none."""
        a, b, _, d, e, _ = self.transform
        xy = places.from_lonlat(self.crs, corners, self.path)
        xy = xy[np.isfinite(xy).all(axis=(1, 2))]
        if not len(xy):
            return None
        pixels = (xy[:, 1:3] - xy[:, 0:2]) @ np.linalg.inv([[a, b], [d, e]]).T
        return np.asarray(np.median(np.hypot(pixels[..., 0], pixels[..., 1]), axis=0))


def outline(raster: Raster) -> Any:
    """What a raster covers in longitude and latitude, a little more rather than less."""
    step = np.linspace(0, 1, 20, endpoint=False)
    none, all_ = np.zeros_like(step), np.ones_like(step)
    rows = np.concatenate([none, step, all_, 1 - step]) * raster.height
    cols = np.concatenate([step, all_, 1 - step, none]) * raster.width
    ring = raster.lonlat(rows, cols)
    if not np.isfinite(ring).all():  # part of it is no place on the Earth
        return shapely.box(-180, -90, 180, 90)
    shape = shapely.make_valid(places.wrapped(np.array([shapely.Polygon(ring)], dtype=object))[0])
    return shapely.buffer(shape, _SLACK * shape.length / 4, join_style="mitre")


def _class_band(raster: Raster, asked: int | None) -> int:
    """The band that holds class codes. Raises DataError where none does, or it is not known which."""
    if asked is not None:
        if asked > raster.count:
            raise DataError(
                f"{raster.path}: has {raster.count} bands, no band {asked}. "
                f"Name a band from 1 to {raster.count} in --label-band."
            )
        return asked
    bands = [band for band in range(1, raster.count + 1) if raster.count == 1 or band != raster.alpha]
    if len(bands) == 1:
        return bands[0]
    if {"red", "green", "blue"} <= set(raster.meanings):
        raise DataError(
            f"{raster.path}: is a picture, {raster.count} bands ({', '.join(raster.meanings)}); one band of "
            "class codes is needed. Give the raster it was drawn from, or name the band with --label-band."
        )
    raise DataError(
        f"{raster.path}: has {raster.count} bands; the one that holds class codes is needed. "
        f"Name it with --label-band, from 1 to {raster.count}."
    )

"""One label raster: its band of classes, and what it covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import antimeridian, places
from tile2vec_cli.geo.grid import Floats, Transform
from tile2vec_cli.geo.rasters import Raster

_SLACK = 0.02  # of its size, by which a raster may reach beyond the outline that is drawn of it


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
    shape = shapely.make_valid(antimeridian.wrapped(np.array([shapely.Polygon(ring)], dtype=object))[0])
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

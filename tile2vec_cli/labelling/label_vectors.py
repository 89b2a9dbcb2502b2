"""Label polygons and label points: any vector file, any CRS."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo import geoparquet, vectors
from tile2vec_cli.labelling.votes import Votes

Geometry = NDArray[np.object_]
Bounds = tuple[float, float, float, float]


def votes(path: Path, geometry: Geometry, field: str | None) -> tuple[Votes, str, Bounds]:
    """The votes, "polygons" or "points", and the labels' (west, south, east, north).

    geometry: (N,) footprints in lon/lat. The polygon that holds a footprint's centre votes once; of
    several the smallest, as the most specific. A point votes in each footprint that holds it.
    Raises UsageError without the field that is needed, DataError where it is absent.
    """
    frame, field = frame_with(path, field)
    return of_frame(frame, geometry, field, str(path))


def frame_with(path: Path, field: str | None) -> tuple[Any, str]:
    """A GeoDataFrame in lon/lat of the layer that holds the classes, and their field."""
    layer, field = _layer_with(path, vectors.fields(path), field)
    return vectors.read(path, layer), field


def of_frame(frame: Any, geometry: Geometry, field: str, source: str) -> tuple[Votes, str, Bounds]:
    """As `votes`, of a GeoDataFrame in lon/lat."""
    west, south, east, north = map(float, frame.total_bounds)
    shapes = frame.geometry.to_numpy()
    dimension = shapely.get_dimensions(shapes)
    if (dimension == 2).any():
        kind, keep = "polygons", dimension == 2
        tile, row = _holders(shapely.make_valid(shapes[keep]), geometry)
    elif (dimension == 0).any():
        kind, keep = "points", dimension == 0
        tile, row = _held(shapes[keep], geometry, source)
    else:
        raise DataError(f"{source}: holds lines; polygons or points are needed.")
    values = frame[field][keep].iloc[row]
    return Votes.of(tile, values, f"{source}: field {field!r}"), kind, (west, south, east, north)


def chosen_field(source: str, names: Sequence[str], field: str | None) -> str:
    """The field that holds the classes: the one asked for, or the only one there is."""
    if field is None and len(names) == 1:
        return names[0]
    if field is None:
        raise UsageError(
            f"{source}: --field is needed; it has {_list(names)}. Choose the one with the classes."
        )
    if field not in names:
        raise DataError(
            f"{source}: has no field {field!r}; it has {_list(names)}. Choose --field among them."
        )
    return field


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:30]) + (", …" if len(names) > 30 else "") if names else "none"


def _layer_with(path: Path, layers: dict[str | None, list[str]], field: str | None) -> tuple[str | None, str]:
    """The first layer that has the field, or the first layer."""
    if not layers:
        raise DataError(f"{path}: holds no layer with geometries; polygons or points are needed.")
    layer = next((name for name, names in layers.items() if field in names), next(iter(layers)))
    names = [name for name in layers[layer] if layer is not None or name not in {"geometry", "bbox"}]
    return layer, chosen_field(str(path), names, field)


def _holders(polygons: Geometry, geometry: Geometry) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(tile, polygon) for each footprint whose centre lies in a polygon."""
    centres = shapely.points(geoparquet.centres(geometry))
    tile, row = shapely.STRtree(polygons).query(centres, predicate="intersects")
    order = np.lexsort((row, shapely.area(polygons)[row], tile))
    tile, row = tile[order], row[order]
    first = np.flatnonzero(np.diff(tile, prepend=-1))
    return tile[first], row[first]


def _held(shapes: Geometry, geometry: Geometry, source: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(tile, point) for each point inside a footprint."""
    if not (shapely.get_dimensions(geometry) == 2).all():
        raise DataError(
            f"{source}: holds points, and so do the embeddings; label polygons or a raster are needed."
        )
    points, row = shapely.get_parts(shapes, return_index=True)
    held, tile = shapely.STRtree(geometry).query(points, predicate="intersects")
    return tile, row[held]

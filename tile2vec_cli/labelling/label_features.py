"""Labels in vector files and tables, in any CRS: matched by place, or by `tile_id`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo import geoparquet, outlines, tables, vectors
from tile2vec_cli.geo.grid import Bounds, Geometry
from tile2vec_cli.geo.tables import Places
from tile2vec_cli.geo.vectors import Features
from tile2vec_cli.labelling.votes import Votes, without_class

_Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

TileIds = NDArray[np.object_]

_NO_CLASSES = {"tile_id", "geometry", "bbox", "system:index", ".geo"}  # what these columns hold


def vector_features(
    path: Path, field: str | None, layer: str | None = None, crs: str | None = None
) -> tuple[Features, str]:
    """The features in lon/lat of the layer that holds the classes, and their field.

    layer, crs: as for `vectors.read`; of several layers, those that have the field count.
    Raises UsageError without the field that is needed, DataError where it is absent.
    """
    found = vectors.layers(path)
    if layer is None and field is not None and found and all(field not in own.fields for own in found):
        found = found[:1]  # says which fields there are
    chosen = vectors.choose(
        path, found, layer, lambda own: own.dimension != 1 and (field is None or field in own.fields)
    )
    names = [name for name in chosen.fields if chosen.name is not None or name not in {"geometry", "bbox"}]
    field = chosen_field(str(path), names, field)
    return vectors.of_layer(path, chosen, crs), field


def of_features(features: Features, geometry: Geometry, field: str, source: str) -> tuple[Votes, str, Bounds]:
    """The votes, "polygons", "points" or both, and the labels' (west, south, east, north).

    geometry: (N,) footprints in lon/lat. The polygon that holds a footprint's centre votes once; of
    several the smallest, as the most specific. A point votes in each footprint that holds it.
    Lines, and what meets no tile, are counted in the votes.
    """
    said, unit = f"{source}: field {field!r}", features.unit
    west, south, east, north = map(float, features.frame.total_bounds)
    shapes, feature = taken_apart(features.frame.geometry.to_numpy())
    dimension = shapely.get_dimensions(shapes)
    areas, points = np.flatnonzero(dimension == 2), np.flatnonzero(dimension == 0)
    if not len(areas) and not len(points):
        raise DataError(f"{source}: holds lines; polygons or points are needed.")
    empty = without_class(features.frame[field], said)
    left_out = {**features.left_out, f"{unit} without a class": int(empty.sum())}
    if len(points) and not (shapely.get_dimensions(geometry) == 2).all():
        if not len(areas):
            raise DataError(
                f"{source}: holds points, and so do the embeddings; label polygons or a raster are needed."
            )
        left_out["points, as the embeddings are points"] = len(np.unique(feature[points]))
        points = points[:0]
    tile, row = _holders(shapely.make_valid(shapes[areas]), geometry)
    held, point = _held(shapes[points], geometry)
    for reason, own, used in (
        ("polygons that label no tile", feature[areas], feature[areas[row]]),
        ("points in no tile", feature[points], feature[points[point]]),
        (f"{unit} that are lines", np.arange(len(features)), feature[dimension != 1]),
    ):
        left_out[reason] = int((~empty[np.setdiff1d(own, used)]).sum())
    kind = " and ".join(["polygons"] * bool(len(areas)) + ["points"] * bool(len(points)))
    values = features.frame[field].iloc[feature[np.concatenate([areas[row], points[point]])]]
    cast = Votes.of(np.concatenate([tile, held]), values, said, left_out)
    return cast, kind, (west, south, east, north)


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


def taken_apart(shapes: Geometry) -> tuple[Geometry, NDArray[np.int64]]:
    """The shapes, collections as their members, and the feature that each belongs to."""
    feature = np.arange(len(shapes))
    while (mixed := shapely.get_type_id(shapes) == 7).any():
        parts, row = shapely.get_parts(shapes[mixed], return_index=True)
        shapes, feature = (
            np.concatenate([shapes[~mixed], parts]),
            np.concatenate([feature[~mixed], feature[mixed][row]]),
        )
    return shapes, feature


def _holders(polygons: Geometry, geometry: Geometry) -> _Pairs:
    """(tile, polygon) for each footprint whose centre lies in a polygon."""
    centres = shapely.points(outlines.centres(geometry))
    tile, row = shapely.STRtree(polygons).query(centres, predicate="intersects")
    order = np.lexsort((row, shapely.area(polygons)[row], tile))
    tile, row = tile[order], row[order]
    first = np.flatnonzero(np.diff(tile, prepend=-1))
    return tile[first], row[first]


def _held(shapes: Geometry, geometry: Geometry) -> _Pairs:
    """(tile, point) for each point inside a footprint."""
    points, row = shapely.get_parts(shapes, return_index=True)
    held, tile = shapely.STRtree(geometry).query(points, predicate="intersects")
    return tile, row[held]


def table_features(
    path: Path, field: str | None, layer: str | None = None, crs: str | None = None
) -> tuple[Features, str]:
    """The features in lon/lat of a GeoParquet file, or of a table's rows, and the classes' field.

    crs: of a table's coordinates (None: degrees). Errors as for `vector_features`.
    """
    if tables.is_parquet(path) and "geo" in geoparquet.read_metadata(path):
        return vector_features(path, field, layer, crs)
    if layer is not None:
        raise DataError(f"{path}: is a table, which has no layers. Leave out --layer.")
    names = tables.columns(path)
    places = Places.among(path, names, crs)
    if places is None:
        raise DataError(
            f"{path}: has the columns {', '.join(names[:20])}; tile_id, or longitude and latitude, "
            "are needed. Rename its columns."
        )
    others = [name for name in names if name not in {*places.columns, *_NO_CLASSES}]
    field = chosen_field(str(path), others, field)
    return tables.features(path, [field], places, crs), field


def has_tile_ids(path: Path) -> bool:
    """Whether it is a table that names tiles by their id."""
    return tables.is_table(path) and "tile_id" in tables.columns(path)


def votes_by_id(path: Path, tile_id: TileIds | None, field: str | None) -> Votes:
    """Each row of a table votes for the tile of its `tile_id`."""
    import pandas as pd

    field = chosen_field(str(path), [name for name in tables.columns(path) if name not in _NO_CLASSES], field)
    table = tables.read(path, ["tile_id", field])
    if tile_id is None:
        raise DataError(
            f"{path}: names tiles by tile_id, which the embeddings lack; labels with places are needed."
        )
    tiles = pd.DataFrame({"tile_id": tile_id.astype(str), "tile": np.arange(len(tile_id))})
    table = table.assign(tile_id=table["tile_id"].astype(str))
    joined = tiles.merge(table, on="tile_id")
    if joined.empty:
        first = f" (such as {table['tile_id'].iloc[0]})" if len(table) else ""
        raise DataError(
            f"{path}: none of its {len(table):,} tile_ids{first} is one of the tiles judged here (such as "
            f"{tile_id[0]}); labels of these tiles are needed. Check that both come from one tile set."
        )
    said = f"{path}: column {field!r}"
    left_out = {
        "rows without a class": int(without_class(table[field], said).sum()),
        "rows of other tiles": int((~table["tile_id"].isin(tiles["tile_id"])).sum()),
    }
    return Votes.of(joined["tile"].to_numpy(np.int64), joined[field], said, left_out)

"""Label tables: matched by `tile_id` or by the places of their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import geoparquet, tables
from tile2vec_cli.geo.tables import Places
from tile2vec_cli.geo.vectors import Features
from tile2vec_cli.labelling import label_vectors
from tile2vec_cli.labelling.label_vectors import Bounds, Geometry, chosen_field
from tile2vec_cli.labelling.votes import Votes, without_class

_NO_CLASSES = {"tile_id", "geometry", "bbox", "system:index", ".geo"}  # what these columns hold

TileIds = NDArray[np.object_]


def votes(
    path: Path,
    geometry: Geometry,
    tile_id: TileIds | None,
    field: str | None,
    layer: str | None = None,
    crs: str | None = None,
) -> tuple[Votes, str, Bounds | None]:
    """The votes, what the file holds ("table", "points", "polygons"), and its bounds where it has any.

    Each row votes for the tile of its `tile_id`. A file without that column is read as GeoParquet, or
    as points or polygons where it has coordinates (in degrees, unless `crs` says otherwise).
    """
    names = tables.columns(path)
    if "tile_id" in names and (tile_id is not None or not tables.is_parquet(path)):
        field = chosen_field(str(path), [name for name in names if name not in _NO_CLASSES], field)
        return _by_id(path, tables.read(path, ["tile_id", field]), tile_id, field), "table", None
    features, field = features_with(path, field, layer, crs)
    return label_vectors.of_features(features, geometry, field, str(path))


def features_with(
    path: Path, field: str | None, layer: str | None = None, crs: str | None = None
) -> tuple[Features, str]:
    """The features in lon/lat of a GeoParquet file, or of a table's rows, and the classes' field."""
    if tables.is_parquet(path) and "geo" in geoparquet.read_metadata(path):
        return label_vectors.features_with(path, field, layer, crs)
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
    return "tile_id" in tables.columns(path)


def _by_id(path: Path, table: Any, tile_id: TileIds | None, field: str) -> Votes:
    import pandas as pd

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

"""Arrays of a notebook as embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely

from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.tiling.tiles import TileSet


def of_tiles(
    tiles: TileSet,
    vectors: Any,
    metadata: Mapping[str, Any] | None = None,
    report: dict[str, Any] | None = None,
) -> Embeddings:
    """Vectors (N, D) of all tiles of a set, in their order."""
    if len(vectors) != len(tiles):
        raise DataError(
            f"{tiles.path}: holds {len(tiles):,} tiles, and there are {len(vectors):,} vectors; one for each "
            "tile is needed, in the order of the tile set."
        )
    names = tiles.table(["tile_id", "scene"])
    return Embeddings.of(
        vectors,
        tiles.footprints(),
        tile_id=names["tile_id"].to_numpy(),
        scene=names["scene"].to_numpy(),
        datetime=None if np.isnat(tiles.datetime).all() else tiles.datetime,
        metadata=metadata,
        report=report,
    )


def at(places: Any, vectors: Any) -> Embeddings:
    """Vectors (N, D) of places: a GeoDataFrame or GeoSeries, (N,) shapes, or (N, 2) degrees."""
    geometry = getattr(places, "geometry", places)
    if getattr(geometry, "crs", None) is not None:
        geometry = geometry.to_crs("OGC:CRS84")
    shapes = np.asarray(geometry)
    if shapes.dtype != object:
        if shapes.ndim != 2 or shapes.shape[1] != 2:
            raise UsageError(
                f"places: are of shape {shapes.shape}; (N, 2) longitudes and latitudes are needed."
            )
        shapes = np.asarray(shapely.points(shapes))
    if len(shapes) != len(vectors):
        raise DataError(f"places: {len(shapes):,} for {len(vectors):,} vectors; one for each is needed.")
    return Embeddings.of(vectors, shapes)

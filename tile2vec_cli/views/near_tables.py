"""The nearest tiles as a table: rows for people and scripts, and files by their suffix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tile2vec_cli.geo.feature_files import Batch
from tile2vec_cli.views.similarity import Near

Row = dict[str, Any]

HEADER = ("rank", "tile_id", "distance", "longitude", "latitude")


def cells(row: Row) -> list[object]:
    """A row as people read it: ids and degrees as text, for numbers have four digits there, which is a
    hundred metres."""
    place = (f"{row['longitude']:.6f}", f"{row['latitude']:.6f}")
    return [row["rank"], str(row["tile_id"]), row["distance"], *place]


def rows(near: Sequence[Near]) -> list[Row]:
    return [
        {
            "rank": rank,
            "tile_id": one.tile_id,
            "distance": one.distance,
            "longitude": one.lonlat[0],
            "latitude": one.lonlat[1],
        }
        for rank, one in enumerate(near, 1)
    ]


def batch(rows: Sequence[Row], near: Sequence[Near]) -> Batch:
    """The rows, each with the footprint of its tile."""
    geometry = np.array([one.geometry for one in near], dtype=object)
    return pa.Table.from_pylist(list(rows)), geometry

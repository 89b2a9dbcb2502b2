"""The nearest tiles as a table: rows for people and scripts, and files by their suffix."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from tile2vec_cli import geoparquet
from tile2vec_cli.errors import UsageError
from tile2vec_cli.similarity import Near

Row = dict[str, Any]
Writer = Callable[[Path, Sequence[Row], Sequence[Near]], None]


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


def writer(out: Path) -> Writer:
    """What writes such a file: the rows, each with the footprint of its tile. Raises UsageError."""
    if out.suffix.lower() not in WRITERS:
        raise UsageError(f"--out {out}: its suffix names no format; needs {', '.join(WRITERS)}.")
    return WRITERS[out.suffix.lower()]


def _geoparquet(path: Path, rows: Sequence[Row], near: Sequence[Near]) -> None:
    geometry = np.array([one.geometry for one in near], dtype=object)
    geoparquet.write(path, geoparquet.with_shapes(pa.Table.from_pylist(list(rows)), geometry))


def _geojson(path: Path, rows: Sequence[Row], near: Sequence[Near]) -> None:
    features = [
        {"type": "Feature", "properties": row, "geometry": shapely.geometry.mapping(one.geometry)}
        for row, one in zip(rows, near, strict=True)
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _csv(path: Path, rows: Sequence[Row], _: Sequence[Near]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


WRITERS: dict[str, Writer] = {".parquet": _geoparquet, ".geojson": _geojson, ".csv": _csv}

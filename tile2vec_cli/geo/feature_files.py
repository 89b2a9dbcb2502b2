"""Rows with footprints as GeoParquet, GeoJSON or CSV, by the file's suffix."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import UsageError
from tile2vec_cli.geo import geoparquet

Batch = tuple[pa.Table, NDArray[np.object_]]
"""Rows, and their (N,) shapely geometries in lon/lat."""


def require_suffix(path: Path, *more: str) -> None:
    """Raise UsageError where a file's suffix is neither a format of rows nor one of `more`."""
    if path.suffix.lower() not in {*WRITERS, *more}:
        raise UsageError(f"--out {path}: its suffix names no format; needs {', '.join([*WRITERS, *more])}.")


def write(path: Path, batches: Iterable[Batch]) -> None:
    """Write batches of rows, at least one, to this very path. GeoJSON and CSV hold times in ISO 8601."""
    WRITERS[path.suffix.lower()](path, iter(batches))


def _geoparquet(path: Path, batches: Iterator[Batch]) -> None:
    table, shapes = next(batches)
    first = geoparquet.with_shapes(table, shapes)
    with geoparquet.writer(path, first.schema) as append:
        append(first)
        for table, shapes in batches:
            append(geoparquet.with_shapes(table, shapes))


def _geojson(path: Path, batches: Iterator[Batch]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        before = "\n"
        for table, shapes in batches:
            for row, shape in zip(rows(table), shapes, strict=True):
                feature = {
                    "type": "Feature",
                    "properties": row,
                    "geometry": shapely.geometry.mapping(shape),
                }
                file.write(before + json.dumps(feature, ensure_ascii=False, allow_nan=False))
                before = ",\n"
        file.write("\n]}\n")


def _csv(path: Path, batches: Iterator[Batch]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer: Any = None
        for table, _ in batches:
            if writer is None:
                writer = csv.DictWriter(file, table.column_names, lineterminator="\n")
                writer.writeheader()
            writer.writerows(rows(table))


def rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows as JSON would hold them."""
    for row in table.to_pylist():
        yield {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()}


WRITERS: dict[str, Callable[[Path, Iterator[Batch]], None]] = {
    ".parquet": _geoparquet,
    ".geojson": _geojson,
    ".csv": _csv,
}

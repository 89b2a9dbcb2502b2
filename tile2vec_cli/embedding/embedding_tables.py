"""Vectors out of columns: lists, or numbered columns of plain tables, whose places are coordinates.

Such as samples of AlphaEarth: A00 to A63 beside a longitude and a latitude, or Earth Engine's `.geo`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo import geoparquet, tables
from tile2vec_cli.geo.tables import Places

LEAST = 8  # numbered columns; fewer may as well be dates, or classes


def numbered(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The columns that count from 0 or 1 without a gap, such as A00, A01, …, in their order; () without any.

    Raises DataError for several runs of them, naming `path`.
    """
    runs: dict[str, dict[int, str]] = {}
    for name in names:
        stem, digits = re.fullmatch(r"(.*?)(\d*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
        if digits:
            runs.setdefault(stem, {})[int(digits)] = name
    found = []
    for run in runs.values():
        numbers = sorted(run)
        if len(run) >= LEAST and numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(run) - 1:
            found.append(tuple(run[number] for number in numbers))
    if len(found) > 1:
        listed = " and ".join(f"{run[0]} to {run[-1]}" for run in found)
        raise DataError(
            f"{path}: has the columns {listed}; one vector per row is needed. Leave out the others."
        )
    return found[0] if found else ()


def stacked(path: Path, table: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    """Numbered columns as one of lists of float32; empty cells are NaN. DataError for cells of text."""
    for name in names:
        kind = table[name].type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
            raise DataError(f"{path}: its column {name} holds more than numbers. Leave the others out.")
    cells = [table[name].cast(pa.float64()).to_numpy() for name in names]
    flat = np.column_stack(cells).astype(np.float32).ravel()
    return pa.chunked_array([pa.FixedSizeListArray.from_arrays(pa.array(flat), len(names))])


def vectors(path: Path, column: pa.ChunkedArray, start: int) -> NDArray[Any]:
    """(N, D) float32 out of a column of lists; int8 as it is. Errors count rows from `start`."""
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise DataError(f"{path}: its embedding column is of type {kind}; lists of numbers are needed.")
    if len(column) == 0:
        raise DataError(f"{path}: holds no rows; at least one embedding is needed.")
    if column.null_count:
        row = start + pc.index(column.is_null(), True).as_py()
        raise DataError(
            f"{path}: row {row:,} (of 0, 1, …) has no vector, the first of {column.null_count:,} such rows; "
            "all need one. Leave these out, such as with GeoDataFrame.dropna, or embed them."
        )
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) > 1 or not lengths[0]:
        raise DataError(f"{path}: its vectors have lengths {lengths[:5]}; one length for all is needed.")
    values = pc.list_flatten(column).combine_chunks()
    vectors = np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, lengths[0])
    if kind.value_type == pa.int8():
        return vectors
    vectors = vectors.astype(np.float32, copy=False)
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        raise DataError(
            f"{path}: {len(broken):,} of {len(vectors):,} vectors hold NaN or infinity, the first in row "
            f"{start + broken[0]:,} (of 0, 1, …); numbers are needed. Leave these rows out, or embed again."
        )
    return vectors


def has_places(path: Path, names: Sequence[str]) -> bool:
    """Whether a table with these columns, not a GeoParquet file, has places in degrees."""
    try:
        return Places.among(path, names) is not None
    except UsageError:
        return False


def read(path: Path, names: Sequence[str]) -> pa.Table:
    """These columns, and the places of the rows as `geometry`: WKB, in lon/lat.

    Raises InputError and DataError; the latter also where a row has no place.
    """
    places = Places.among(path, tables.columns(path))
    if places is None:
        raise DataError(f"{path}: has no coordinates; longitude and latitude are needed.")
    features = tables.features(path, [], places)
    if features.left_out:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in features.left_out.items())
        raise DataError(f"{path}: not all rows have a place ({reasons}); all need one. Leave these out.")
    if tables.is_parquet(path):
        table, _ = geoparquet.read(path, names)
    else:
        table = pa.Table.from_pandas(tables.read(path, names), preserve_index=False)
    wkb = pa.array(shapely.to_wkb(features.frame.geometry.to_numpy()), pa.binary())
    if "geometry" in table.column_names:
        table = table.drop_columns("geometry")
    return table.append_column("geometry", wkb)

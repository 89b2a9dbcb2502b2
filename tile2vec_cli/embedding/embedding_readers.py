"""Files of embeddings, ours and other people's, some rows at a time: what their columns hold, in any CRS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from tile2vec_cli.embedding import embedding_tables
from tile2vec_cli.embedding.embedding_files import Vectors, header, parts
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import geoparquet, places, tables
from tile2vec_cli.geo.places import to_lonlat

VECTOR_COLUMNS = ("embedding", "embeddings")
SCHEMA = pa.schema(
    [
        ("tile_id", pa.string()),  # null where the file has none, as is the scene
        ("scene", pa.string()),
        ("datetime", pa.timestamp("ms")),
        ("geometry", pa.binary()),  # WKB in lon/lat, within ±180 degrees
    ]
)


@dataclass(frozen=True)
class Piece:
    """Some rows of one file."""

    path: Path
    vectors: Vectors = field(repr=False)  # (N, D), int8 decoded
    rows: pa.RecordBatch = field(repr=False)  # (N,) of SCHEMA
    dated: bool  # whether the file has a column of dates
    metadata: dict[str, Any]  # what the file says under `tile2vec`; {} for other people's


def files(path: Path) -> list[Path]:
    """The file, or those of a folder, in their order. Raises DataError where a folder holds none."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.glob("*.parquet") if not file.name.startswith("."))
    if not files:
        raise DataError(f"{path}: holds no *.parquet; files of embeddings are needed. Run `tile2vec embed`.")
    return files


def count(file: Path) -> int:
    """How many rows a file has."""
    if _is_text(file):
        return len(tables.read(file, tables.columns(file)[:1]))
    return geoparquet.count(file)


def _is_text(path: Path) -> bool:
    return tables.is_table(path) and not tables.is_parquet(path)


def pieces(file: Path, rows: int, part: str | None) -> Iterator[Piece]:
    """The rows of a file, at most so many at a time; part: of the vectors, None for whole ones.

    Ours, or any with a column `embedding` (or `embeddings`) of lists of numbers, or numbered columns.
    Raises InputError where nothing is; DataError where vectors are missing, of unequal length or not
    finite, or lack the part, and where geometry is missing.
    """
    layout, start = _layout(file), 0
    for table in _tables(file, layout, rows):
        yield _piece(file, table, layout, start, part)
        start += len(table)


@dataclass(frozen=True)
class _Layout:
    """Which columns of a file hold what."""

    vectors: tuple[str, ...]  # one of lists, or one for each dimension
    geometry: str | None  # None: the file is a plain table, see `embedding_tables`
    crs: str | None
    columns: tuple[str, ...]  # all that are read
    metadata: dict[str, str]


def _layout(path: Path) -> _Layout:
    names = tables.columns(path) if _is_text(path) else geoparquet.columns(path)
    own = [name for name in VECTOR_COLUMNS if name in names]
    vectors = tuple(own[:1]) or embedding_tables.numbered(path, names)
    if not vectors:
        raise DataError(
            f"{path}: has the columns {', '.join(names)}; one named embedding or embeddings is needed, or "
            "numbered ones (A00, A01, …). Rename the one that holds the vectors."
        )
    metadata = {} if _is_text(path) else geoparquet.read_metadata(path)
    wanted = {*vectors, *({"tile_id", "scene", "datetime"} & set(names))}
    if "geo" not in metadata and embedding_tables.has_places(path, names):
        return _Layout(vectors, None, "OGC:CRS84", tuple(sorted(wanted)), metadata)
    geometry, crs = _geometry_column(path, metadata, names)
    return _Layout(vectors, geometry, crs, tuple(sorted({*wanted, geometry})), metadata)


def _tables(path: Path, layout: _Layout, rows: int) -> Iterator[pa.Table]:
    """At most so many rows of the file at a time."""
    if layout.geometry is not None:
        yield from geoparquet.batches(path, layout.columns, rows)
        return
    whole = embedding_tables.read(path, layout.columns)
    for start in range(0, max(len(whole), 1), rows):
        yield whole.slice(start, rows)


def _piece(path: Path, table: pa.Table, layout: _Layout, start: int, part: str | None) -> Piece:
    """start: the row of the file that is the table's first."""
    one = layout.vectors[0] in VECTOR_COLUMNS
    column = table[layout.vectors[0]] if one else embedding_tables.stacked(path, table, layout.vectors)
    vectors = embedding_tables.vectors(path, column, start)
    if vectors.dtype == np.int8:
        vectors = vectors * np.asarray(_scale(layout.metadata), dtype=np.float32)
    metadata = header(layout.metadata, path)
    if part is not None:
        vectors = vectors[:, _part(path, metadata, vectors.shape[1], part)]
    times = _times(table)
    columns = [
        _texts(table, "tile_id"),
        _texts(table, "scene"),
        pa.nulls(len(table), SCHEMA.field("datetime").type) if times is None else times,
        _geometry(path, table[layout.geometry or "geometry"], layout.crs),
    ]
    rows = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
    return Piece(path, vectors, rows, times is not None, metadata)


def _part(path: Path, metadata: Mapping[str, Any], dim: int, name: str) -> slice:
    known = parts(metadata, dim)
    if name not in known:
        own = f"are made of {', '.join(known)}" if known else "have no parts"
        raise DataError(
            f"{path}: its vectors {own}; a part {name} is needed. "
            "Choose another part, or embed with a model that has it."
        )
    return known[name]


def _scale(metadata: Mapping[str, str]) -> Any:
    """What int8 vectors are multiplied by: a number, or one for each dimension."""
    try:
        return json.loads(metadata.get("emb", "{}")).get("quantization", {}).get("scale", 1.0)
    except (ValueError, AttributeError):
        return 1.0


def _geometry_column(path: Path, metadata: Mapping[str, str], names: list[str]) -> tuple[str, str | None]:
    """The primary geometry column and its CRS, None where the file says that it is unknown."""
    try:
        geo = json.loads(metadata["geo"])
        name = str(geo["primary_column"])
        column = geo["columns"][name]
        encoding, crs = str(column["encoding"]), column.get("crs", "OGC:CRS84")
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: its footer describes no geometry; GeoParquet is needed. "
            "Write it with GeoDataFrame.to_parquet or ogr2ogr."
        ) from error
    if encoding != "WKB" or name not in names:
        raise DataError(f"{path}: its geometry {name} is encoded as {encoding}; a WKB column is needed.")
    return name, json.dumps(crs) if isinstance(crs, dict) else crs


def _geometry(path: Path, column: pa.ChunkedArray, crs: str | None) -> pa.Array:
    """(N,) WKB in lon/lat, within ±180 degrees."""
    try:
        geometry = shapely.from_wkb(column.to_numpy())
    except (shapely.errors.GEOSException, TypeError) as error:
        raise DataError(f"{path}: its geometry is not valid WKB ({error}); WKB is needed.") from error
    missing = int((shapely.is_missing(geometry) | shapely.is_empty(geometry)).sum())
    if missing:
        raise DataError(f"{path}: {missing:,} of {len(geometry):,} rows have no geometry; all need one.")
    if not (crs == "OGC:CRS84" or (crs is not None and '"CRS84"' in crs)):
        geometry = shapely.transform(geometry, lambda xy: to_lonlat(crs, xy, str(path)))
    return pa.array(shapely.to_wkb(places.wrapped(np.asarray(geometry))), pa.binary())


def _texts(table: pa.Table, name: str) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(len(table), pa.string())
    return pa.array([str(value) for value in table[name].to_pylist()], pa.string())


def _times(table: pa.Table) -> pa.Array | None:
    """Milliseconds, UTC."""
    if "datetime" not in table.column_names or not pa.types.is_temporal(table["datetime"].type):
        return None
    return table["datetime"].cast(SCHEMA.field("datetime").type, safe=False).combine_chunks()

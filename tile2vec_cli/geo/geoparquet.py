"""Tables with footprints as GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0).

Geometry is WKB in OGC:CRS84 (longitude, latitude, in degrees). Each row also has its bounding
box in a struct column, declared as the geometry's covering, so that readers skip row groups.
Nothing in a file tells when or where it was written: the same rows give the same bytes.
What the footer says stands in its Arrow schema too, and the geometry is marked there as GeoArrow's
`geoarrow.wkb` (https://geoarrow.org/extension-types): Arrow shows its readers nothing else of a footer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.places import crs84

ROWS_PER_GROUP = 65_536
SIDES = ("xmin", "ymin", "xmax", "ymax")
GEOMETRY_FIELDS = (
    pa.field("geometry", pa.binary()),
    pa.field("bbox", pa.struct([pa.field(side, pa.float64()) for side in SIDES])),
)

_KINDS = (("Point", 0), ("Polygon", 3), ("MultiPolygon", 6))  # of those that are written here

Append = Callable[[pa.Table], None]


def with_footprints(table: pa.Table, corners: NDArray[np.float64]) -> pa.Table:
    """The table with the columns `geometry` and `bbox` appended; `corners` as for `outlines.polygons`."""
    return with_shapes(table, outlines.polygons(corners))


def with_shapes(table: pa.Table, shapes: NDArray[np.object_]) -> pa.Table:
    """The same with geometries that are there already, (N,) shapely in lon/lat."""
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    boxes = pa.StructArray.from_arrays([pa.array(side) for side in bounds.T], names=list(SIDES))
    wkb = pa.array(shapely.to_wkb(shapes, byte_order=1), pa.binary())
    for field, column in zip(GEOMETRY_FIELDS, (wkb, boxes), strict=True):
        table = table.append_column(field, column)
    return table


def write(path: Path, table: pa.Table, metadata: Mapping[str, str] | None = None) -> None:
    """Write a table that has `geometry` and `bbox`; `metadata` goes into the file's footer.

    Writes to the very path: for whole-or-absent output give it a temporary one (parts.new_file).
    """
    with writer(path, table.schema, metadata) as append:
        append(table)


@contextmanager
def writer(path: Path, schema: pa.Schema, metadata: Mapping[str, str] | None = None) -> Iterator[Append]:
    """As `write`, table by table; small ones share a row group."""
    schema = schema.remove_metadata()
    bounds: list[NDArray[np.float64]] = []
    kinds: set[int] = set()
    waiting = schema.empty_table()
    text = [field.name for field in schema if pa.types.is_string(field.type)]
    options = {"compression": "zstd", "use_dictionary": text, "write_page_checksum": True}
    # What `geo` holds is known when all rows are: the writer would store the schema before.
    options["store_schema"] = False
    with pa.OSFile(str(path), "wb") as sink, pq.ParquetWriter(sink, schema, **options) as file:

        def append(table: pa.Table) -> None:
            nonlocal waiting
            if len(table):
                geometry = shapely.from_wkb(table["geometry"].to_numpy())
                kinds.update(shapely.get_type_id(geometry).tolist())
                bounds.append(shapely.total_bounds(geometry))
            waiting = pa.concat_tables([waiting, table.replace_schema_metadata(None)])
            while len(waiting) >= ROWS_PER_GROUP:
                file.write_table(waiting.slice(0, ROWS_PER_GROUP))
                waiting = waiting.slice(ROWS_PER_GROUP)

        yield append
        if len(waiting):  # a row group without rows has no statistics of its boxes
            file.write_table(waiting)
        footer = {"geo": _geo(bounds, kinds), **(metadata or {})}
        file.add_key_value_metadata({"ARROW:schema": _arrow_schema(schema, footer), **footer})


def _arrow_schema(schema: pa.Schema, footer: Mapping[Any, Any]) -> bytes:
    """The value of the footer key `ARROW:schema`, as Arrow's own writer makes it."""
    kind = {
        "ARROW:extension:name": "geoarrow.wkb",
        "ARROW:extension:metadata": json.dumps({"crs": crs84(), "crs_type": "projjson"}),
    }
    position = schema.get_field_index("geometry")
    schema = schema.set(position, schema.field(position).with_metadata(kind)).with_metadata(footer)
    return base64.b64encode(schema.serialize())


def _geo(bounds: Sequence[NDArray[np.float64]], kinds: set[int]) -> str:
    """The value of the footer key `geo`."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": [name for name, kind in _KINDS if kind in kinds],
        "crs": crs84(),
        "covering": {"bbox": {side: ["bbox", side] for side in SIDES}},
    }
    if bounds:
        box = np.array(bounds)
        column["bbox"] = [*box[:, :2].min(axis=0).tolist(), *box[:, 2:].max(axis=0).tolist()]
    return json.dumps({"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}})


def read(
    path: Path, columns: Sequence[str] | None = None, *, optional: Sequence[str] = ()
) -> tuple[pa.Table, dict[str, str]]:
    """The table of a Parquet file (these columns, default all) and its footer's metadata.

    Raises InputError when the file is missing, DataError when it is damaged or lacks a column, unless that
    is one of the `optional`.
    """
    with _opened(path) as file:
        names = file.schema_arrow.names
        for name in columns or ():
            if name not in names and name not in optional:
                raise DataError(f"{path}: has no column {name!r}; it is needed here. Make the file again.")
        wanted = None if columns is None else [name for name in columns if name in names]
        table = file.read(wanted, use_threads=file.num_row_groups > 1)
        return table.replace_schema_metadata(None), _metadata(file)


def batches(path: Path, columns: Sequence[str], rows: int) -> Iterator[pa.Table]:
    """The table of `read`, at most so many rows at a time; one empty table where there are none.

    Without pre-buffering, which would hold the compressed file, and in buffers, without which whole row
    groups would lie in memory.
    """
    with _opened(path, pre_buffer=False, buffer_size=1 << 20) as file:
        if file.metadata.num_rows == 0:
            yield file.schema_arrow.empty_table().select(list(columns))
        for batch in file.iter_batches(rows, columns=list(columns)):
            yield pa.Table.from_batches([batch]).replace_schema_metadata(None)


def count(path: Path) -> int:
    """How many rows a Parquet file has; errors as for `read`."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def verify(path: Path) -> None:
    """Read every page of a Parquet file and compare its checksum. Raises InputError and DataError."""
    with _opened(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group)
        footer = dict(file.metadata.metadata or {})
    told = footer.pop(b"ARROW:schema", None)
    if told is not None and b"geo" in footer and not _is_told(told, footer):
        raise DataError(
            f"{path}: its Arrow schema is not what its footer says; it is damaged. Make it again."
        )


def _is_told(told: bytes, footer: Mapping[Any, Any]) -> bool:
    """Whether an Arrow schema in a footer, as `writer` puts it there, says what the footer does."""
    try:
        found = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(told, validate=True)))
        kind = found.field("geometry").metadata or {}
        crs = json.loads(kind.get(b"ARROW:extension:metadata", b"{}")).get("crs")
        same = crs == json.loads(footer[b"geo"])["columns"]["geometry"]["crs"]
    except (pa.ArrowException, KeyError, ValueError):
        return False
    return same and found.metadata == footer and base64.b64encode(found.serialize()) == told


def read_metadata(path: Path) -> dict[str, str]:
    """The footer's metadata alone; errors as for `read`."""
    with _opened(path) as file:
        return _metadata(file)


def columns(path: Path) -> list[str]:
    """Names of a Parquet file's columns; errors as for `read`."""
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def types(path: Path) -> dict[str, str]:
    """A Parquet file's columns and their types in Arrow's words; errors as for `read`."""
    with _opened(path) as file:
        return {field.name: str(field.type) for field in file.schema_arrow}


def _metadata(file: pq.ParquetFile) -> dict[str, str]:
    found = file.metadata.metadata or {}
    return {key.decode(): value.decode(errors="replace") for key, value in found.items()}


@contextmanager
def _opened(path: Path, **options: Any) -> Iterator[pq.ParquetFile]:
    try:
        # Arrow's own file: of Python's, its threads would free buffers while the interpreter ends,
        # which aborts the process.
        handle = pa.OSFile(str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; a Parquet file is needed. Check the path.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: {reason}; it cannot be read as Parquet. Check the path.") from error
    with handle:
        try:
            # ParquetFile, not read_table: the latter takes `key=value` in a path for a column.
            yield pq.ParquetFile(handle, **options)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{path}: not a whole Parquet file ({reason}). Make it again.") from error

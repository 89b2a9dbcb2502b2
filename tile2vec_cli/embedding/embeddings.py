"""Embeddings: vectors and the footprints they stand for, ours and other people's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from tile2vec_cli.embedding import embedding_tables
from tile2vec_cli.embedding.embedding_files import Vectors, header, parts
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import geoparquet, places, tables
from tile2vec_cli.geo.grid import ECCENTRICITY_SQUARED, METRES_PER_DEGREE, Floats, Ints
from tile2vec_cli.geo.places import to_lonlat
from tile2vec_cli.tiling.tiles import TileSet

VECTOR_COLUMNS = ("embedding", "embeddings")


@dataclass(frozen=True)
class Embeddings:
    """N vectors and the footprints they stand for."""

    path: Path
    vectors: Vectors = field(repr=False)  # (N, D); int8 multiplied by its scale unless that is set
    geometry: NDArray[np.object_] = field(repr=False)  # (N,) shapely, lon/lat
    tile_id: NDArray[np.object_] | None = field(repr=False)  # (N,) str
    scene: NDArray[np.object_] | None = field(repr=False)  # (N,) str
    datetime: NDArray[np.datetime64] | None = field(repr=False)  # (N,) milliseconds, UTC
    metadata: dict[str, Any]  # what the file says under `tile2vec`; {} for other people's
    scale: NDArray[np.float32] | None = None  # what int8 vectors have yet to be multiplied by

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: Ints) -> Embeddings:
        """These rows alone, as copies: the rest can go."""
        columns = ("vectors", "geometry", "tile_id", "scene", "datetime")
        found = {name: getattr(self, name) for name in columns}
        kept: dict[str, Any] = {name: None if one is None else one[rows] for name, one in found.items()}
        return replace(self, **kept)

    @cached_property
    def parts(self) -> dict[str, slice]:
        """Where in each vector its parts stand, by name; {} where the file names none."""
        return parts(self.metadata, self.vectors.shape[1])

    def part(self, name: str | None) -> Embeddings:
        """One part of the vectors alone, None for whole ones. Raises DataError where the file lacks it."""
        if name is None:
            return self
        if name not in self.parts:
            own = f"are made of {', '.join(self.parts)}" if self.parts else "have no parts"
            raise DataError(
                f"{self.path}: its vectors {own}; a part {name} is needed. "
                "Choose another part, or embed with a model that has it."
            )
        here = self.parts[name]
        scale = self.scale if self.scale is None or self.scale.size == 1 else self.scale[here]
        return replace(self, vectors=self.vectors[:, here], scale=scale)

    @cached_property
    def lonlat(self) -> Floats:
        """(N, 2) centres in degrees on WGS 84."""
        return geoparquet.centres(self.geometry)

    @cached_property
    def side_m(self) -> float:
        """Median ground side of the footprints in metres: the root of their area. 0 for points."""
        sine = np.sin(np.radians(self.lonlat[:, 1]))
        # Metres a degree of latitude and of longitude, for the ellipsoid.
        flat = 1 - ECCENTRICITY_SQUARED * sine**2
        up = METRES_PER_DEGREE * (1 - ECCENTRICITY_SQUARED) / flat**1.5
        across = METRES_PER_DEGREE * np.sqrt(np.maximum(1 - sine**2, 0) / flat)
        return float(np.median(np.sqrt(shapely.area(self.geometry) * up * across)))


def read(path: Path, part: str | None = None) -> Embeddings:
    """Read a GeoParquet file of embeddings, or all such files of a folder.

    Ours, or any with a column `embedding` (or `embeddings`) of lists of numbers; in any CRS. part: of
    the vectors, None for whole ones.
    Raises InputError where nothing is; DataError where vectors are missing, of unequal length or not
    finite, or lack the part, where geometry is missing, and where the files of a folder come from different
    models.
    """
    found = [_read_file(file).part(part) for file in files(path)]
    for other in found[1:]:
        require_alike(found[0], other)
    return found[0] if len(found) == 1 else joined(path, found)


def joined(path: Path, pieces: Sequence[Embeddings], vectors: Vectors | None = None) -> Embeddings:
    """One of several of one model. A tile of a piece without dates has none beside dated ones.

    vectors: those of all pieces, where they are one array already.
    """
    if any(one.datetime is not None for one in pieces):
        unknown = np.datetime64("NaT", "ms")
        pieces = [
            one if one.datetime is not None else replace(one, datetime=np.full(len(one), unknown))
            for one in pieces
        ]

    def column(name: str) -> Any:
        columns = [getattr(one, name) for one in pieces]
        return None if any(own is None for own in columns) else np.concatenate(columns)

    found = column("vectors") if vectors is None else vectors
    names = ("geometry", "tile_id", "scene", "datetime")
    return Embeddings(path, found, **{name: column(name) for name in names}, metadata=pieces[0].metadata)


def files(path: Path) -> list[Path]:
    """Those that `read` reads, in their order. Raises DataError where a folder holds none."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.glob("*.parquet") if not file.name.startswith("."))
    if not files:
        raise DataError(f"{path}: holds no *.parquet; files of embeddings are needed. Run `tile2vec embed`.")
    return files


def require_alike(one: Embeddings, other: Embeddings) -> None:
    """Raise DataError where the vectors of two files cannot be compared."""
    if one.metadata.get("model") != other.metadata.get("model"):
        raise DataError(
            f"{other.path}: made by another model than {one.path}; one model is needed. "
            "Embed again with one --model, or use separate folders."
        )
    if one.vectors.shape[1] != other.vectors.shape[1]:
        raise DataError(
            f"{other.path}: vectors of {other.vectors.shape[1]} numbers, but {one.vectors.shape[1]} in "
            f"{one.path}; all need one length. Embed again with one --model, or use separate folders."
        )


def positions(embeddings: Embeddings, tiles: TileSet, needed: str, rows: Ints | None = None) -> Ints:
    """(N,) where the tiles of these rows (None: of all) lie in the tile set that was embedded.

    needed: what needs their pixels, and needs or need, for the error. Raises DataError for another set.
    """
    if embeddings.tile_id is None:
        raise DataError(f"{embeddings.path}: has no tile_id; {needed} it to find the tiles' pixels.")
    wanted = embeddings.tile_id if rows is None else embeddings.tile_id[rows]
    ids = tiles.positions(wanted.tolist())
    missing = np.flatnonzero(ids < 0)
    if len(missing):
        raise DataError(
            f"{tiles.path}: lacks {len(missing):,} of {len(wanted):,} tiles, such as {wanted[missing[0]]}; "
            f"{needed} the tile set that was embedded. Give that one."
        )
    return ids


def batches(
    path: Path,
    rows: int,
    stored: bool = False,
    part: str | None = None,
    only: Sequence[Path] | None = None,
) -> Iterator[Embeddings]:
    """What `read` returns, at most so many rows at a time, in the same order; errors as there.

    stored: int8 vectors stay int8, which takes a quarter of the memory, and have a `scale`. only: these
    files of the folder.
    """
    first: Embeddings | None = None
    for file in files(path) if only is None else only:
        layout, start = _layout(file), 0
        for table in _tables(file, layout, rows):
            found = _of_table(file, table, layout, stored, start).part(part)
            start += len(table)
            first = first or replace(found, vectors=found.vectors[:1].copy(), geometry=found.geometry[:1])
            require_alike(first, found)
            yield found


def count(path: Path) -> int:
    """How many rows `read` would return."""
    return sum(_count(file) for file in files(path))


def _count(path: Path) -> int:
    if _is_text(path):
        return len(tables.read(path, tables.columns(path)[:1]))
    return geoparquet.count(path)


def _is_text(path: Path) -> bool:
    return tables.is_table(path) and not tables.is_parquet(path)


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


def _read_file(path: Path) -> Embeddings:
    layout = _layout(path)
    if layout.geometry is None:
        return _of_table(path, embedding_tables.read(path, layout.columns), layout)
    table, _ = geoparquet.read(path, layout.columns)
    return _of_table(path, table, layout)


def _of_table(
    path: Path, table: pa.Table, layout: _Layout, stored: bool = False, start: int = 0
) -> Embeddings:
    """start: the row of the file that is the table's first."""
    one = layout.vectors[0] in VECTOR_COLUMNS
    column = table[layout.vectors[0]] if one else embedding_tables.stacked(path, table, layout.vectors)
    vectors = embedding_tables.vectors(path, column, start)
    scale = None
    if vectors.dtype == np.int8:
        scale = np.asarray(_scale(layout.metadata), dtype=np.float32)
        if not stored:
            vectors, scale = vectors * scale, None
    return Embeddings(
        path,
        vectors,
        _geometry(path, table[layout.geometry or "geometry"], layout.crs),
        _texts(table, "tile_id"),
        _texts(table, "scene"),
        _times(table),
        header(layout.metadata, path),
        scale,
    )


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


def _geometry(path: Path, column: pa.ChunkedArray, crs: str | None) -> NDArray[np.object_]:
    """(N,) shapely geometries in lon/lat, within ±180 degrees."""
    try:
        geometry = shapely.from_wkb(column.to_numpy())
    except (shapely.errors.GEOSException, TypeError) as error:
        raise DataError(f"{path}: its geometry is not valid WKB ({error}); WKB is needed.") from error
    missing = int((shapely.is_missing(geometry) | shapely.is_empty(geometry)).sum())
    if missing:
        raise DataError(f"{path}: {missing:,} of {len(geometry):,} rows have no geometry; all need one.")
    if crs == "OGC:CRS84" or (crs is not None and '"CRS84"' in crs):
        return places.wrapped(np.asarray(geometry))
    return places.wrapped(shapely.transform(geometry, lambda xy: to_lonlat(crs, xy, str(path))))


def _texts(table: pa.Table, name: str) -> NDArray[np.object_] | None:
    if name not in table.column_names:
        return None
    return np.array([str(value) for value in table[name].to_pylist()], dtype=object)


def _times(table: pa.Table) -> NDArray[np.datetime64] | None:
    if "datetime" not in table.column_names or not pa.types.is_temporal(table["datetime"].type):
        return None
    return np.asarray(table["datetime"].cast(pa.timestamp("ms"), safe=False), dtype="datetime64[ms]")

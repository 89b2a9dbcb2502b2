"""Embeddings: vectors and the footprints they stand for, ours and other people's, files and in memory.

Files are decoded once, when something of them is first asked for. Vectors and rows that are more than a
little lie in files without a name then (see `spools`), memory-mapped: as many as the disk holds can be
looked at, a few thousand at a time, as often as it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from tile2vec_cli.embedding import embedding_files, embedding_readers
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embedding_readers import SCHEMA, Piece
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.outputs.spools import Buffer, Spool, release
from tile2vec_cli.tiling.tiles import TileSet

if TYPE_CHECKING:
    import geopandas

CHUNK = 8192  # rows at a time: 32 MB of doubles at 512 dimensions
_SCATTERED = 1024  # the same of rows here and there, of each of which the system maps 64 KiB

OnRows = Callable[[int], None]
"""Told how many rows have been read so far."""
TileId = str | int  # other people's rows without an id are known by their number


@dataclass(frozen=True)
class Rows:
    """What embeddings hold."""

    vectors: Vectors = field(repr=False)  # (N, D)
    table: pa.Table = field(repr=False)  # (N,) of SCHEMA; without `datetime` where no file has it
    metadata: Mapping[str, Any] = field(default_factory=dict)  # of the first file
    starts: tuple[int, ...] = (0,)  # first rows of the files
    buffers: tuple[Buffer, ...] = field(default=(), repr=False)  # that the others lie in


@dataclass(frozen=True, eq=False)
class Embeddings:
    """N vectors and the tiles or places they stand for; of a file or folder, or in memory."""

    path: Path | None  # None: in memory
    _count: int = field(repr=False)
    _read: Callable[[], Rows] = field(repr=False)
    report: dict[str, Any] = field(default_factory=dict, repr=False)  # of the call that made them

    @classmethod
    def open(
        cls,
        path: str | Path,
        report: dict[str, Any] | None = None,
        *,
        part: str | None = None,
        only: Sequence[Path] | None = None,
        on_rows: OnRows = lambda _: None,
    ) -> Embeddings:
        """A file of embeddings or all of a folder: ours, or other people's GeoParquet or table, in any CRS.

        part: of the vectors, None for whole ones. only: these files of the folder. on_rows: told when
        they are read, which is when something of them is first asked for.
        Raises InputError where nothing is and DataError for what is no such file; when they are read,
        DataError also for vectors or geometry that are missing or unusable, for vectors without the part,
        and where the files of a folder come from different models, OutputError where there is no room.
        """
        path = Path(path)
        files = embedding_readers.files(path) if only is None else only
        count = sum(map(embedding_readers.count, files))
        return cls(path, count, lambda: _decoded(files, part, on_rows), report or {})

    @classmethod
    def of(
        cls,
        vectors: Any,
        geometry: NDArray[np.object_],
        *,
        tile_id: NDArray[np.object_] | None = None,
        scene: NDArray[np.object_] | None = None,
        datetime: NDArray[np.datetime64] | None = None,
        metadata: Mapping[str, Any] | None = None,
        report: dict[str, Any] | None = None,
    ) -> Embeddings:
        """In memory: vectors (N, D) of N shapes in lon/lat. Raises DataError for other vectors."""
        found = np.asarray(vectors, dtype=np.float32)
        if found.ndim != 2 or not found.size:
            raise DataError(f"vectors: are of shape {found.shape}; (N, D) is needed.")
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(bad):
            raise DataError(
                f"vectors: {len(bad):,} of {len(found):,} hold NaN or infinity, the first row {bad[0]:,}."
            )
        columns = (tile_id, scene, datetime, shapely.to_wkb(geometry))
        arrays = [
            pa.nulls(len(found), one.type) if own is None else pa.array(own, one.type)
            for own, one in zip(columns, SCHEMA, strict=True)
        ]
        table = pa.Table.from_arrays(arrays, schema=SCHEMA)
        rows = Rows(found, table if datetime is not None else table.drop_columns("datetime"), metadata or {})
        return cls(None, len(found), lambda: rows, report or {})

    def __len__(self) -> int:
        return self._count

    @property
    def name(self) -> str:
        """What errors call them."""
        return str(self.path or "vectors")

    @cached_property
    def rows(self) -> Rows:
        return self._read()

    # --- whole columns -----------------------------------------------------------------------

    @property
    def vectors(self) -> Vectors:
        """(N, D) float32, int8 decoded; read-only where they are memory-mapped."""
        return self.rows.vectors

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the file says under `tile2vec`; {} for other people's."""
        return self.rows.metadata

    @property
    def parts(self) -> dict[str, slice]:
        """Where in each vector its parts stand, by name; {} where the file names none."""
        return embedding_files.parts(self.metadata, self.vectors.shape[1])

    @property
    def geometry(self) -> NDArray[np.object_]:
        """(N,) shapely, lon/lat; decoded each time."""
        return self._by_chunk(lambda shapes: shapes)

    @property
    def tile_id(self) -> NDArray[np.object_] | None:
        """(N,) str; None where a file has none."""
        return self._texts("tile_id")

    @property
    def scene(self) -> NDArray[np.object_] | None:
        """(N,) str; None where a file has none."""
        return self._texts("scene")

    @property
    def datetime(self) -> NDArray[np.datetime64] | None:
        """(N,) milliseconds, UTC, NaT where not known; None where no file has a column of them."""
        if "datetime" not in self.rows.table.column_names:
            return None
        return np.asarray(self.rows.table["datetime"], dtype="datetime64[ms]")

    @cached_property
    def lonlat(self) -> Floats:
        """(N, 2) centres in degrees on WGS 84."""
        return self._by_chunk(outlines.centres)

    @cached_property
    def side_m(self) -> float:
        """Median ground side of the footprints in metres: the root of their area. 0 for points."""
        return outlines.side_m(self._by_chunk(shapely.area), self.lonlat)

    def to_geopandas(self) -> geopandas.GeoDataFrame:
        """A row for each vector: tile_id, scene and datetime where known, embedding, and the footprint."""
        import geopandas

        known = {name: getattr(self, name) for name in ("tile_id", "scene", "datetime")}
        columns = {name: column for name, column in known.items() if column is not None}
        columns["embedding"] = list(self.vectors)
        return geopandas.GeoDataFrame(columns, geometry=list(self.geometry), crs="OGC:CRS84")

    def _texts(self, name: str) -> NDArray[np.object_] | None:
        column = self.rows.table[name]
        return None if column.null_count else np.array(column.to_pylist(), dtype=object)

    def _by_chunk(self, of: Callable[[NDArray[np.object_]], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([of(self.shapes(here)) for here in self.chunks()])

    # --- some rows ---------------------------------------------------------------------------

    def chunks(self) -> Iterator[slice]:
        """All rows, a few thousand at a time, none of two files: memory does not grow with their number."""
        for first, last in pairwise((*self.rows.starts, len(self))):
            for start in range(first, last, CHUNK):
                yield slice(start, min(start + CHUNK, last))
                release(*self.rows.buffers)

    def take(self, rows: Ints | slice) -> Embeddings:
        """These rows alone: of a slice as they lie, else as copies."""
        return self._with(self.vectors[rows] if isinstance(rows, slice) else self.vectors_of(rows), rows)

    def places(self, rows: Ints | slice) -> Embeddings:
        """The same without vectors."""
        return self._with(self.vectors[:0, :0], rows)

    def _with(self, vectors: Vectors, rows: Ints | slice) -> Embeddings:
        found = Rows(vectors, _some(self.rows.table, rows), self.metadata)
        return Embeddings(self.path, len(found.table), lambda: found)

    def vectors_of(self, rows: Ints) -> Vectors:
        """(M, D) copies of those of these rows."""
        found = np.empty((len(rows), self.vectors.shape[1]), np.float32)
        for start in range(0, len(rows), _SCATTERED):
            found[start : start + _SCATTERED] = self.vectors[rows[start : start + _SCATTERED]]
            release(*self.rows.buffers)
        return found

    def shapes(self, rows: Ints | slice) -> NDArray[np.object_]:
        """(M,) the footprints of these rows."""
        return np.asarray(shapely.from_wkb(_some(self.rows.table["geometry"], rows).to_numpy()))

    def ids(self, rows: Ints | slice = slice(None)) -> list[TileId]:
        """tile_ids; the numbers of the rows that have none."""
        names = _some(self.rows.table["tile_id"], rows)
        found: list[TileId] = names.to_pylist()
        if names.null_count:
            numbers = np.arange(len(self))[rows].tolist()
            found = [number if name is None else name for name, number in zip(found, numbers, strict=True)]
        return found


def _some(table: Any, rows: Ints | slice) -> Any:
    """These rows of a table or a column."""
    return table[rows] if isinstance(rows, slice) else table.take(pa.array(rows))


def _decoded(files: Sequence[Path], part: str | None, on_rows: OnRows) -> Rows:
    first: Piece | None = None
    starts, count, dated = [], 0, False
    with Spool() as vectors, Spool() as rows:
        rows.write(SCHEMA.serialize())
        for file in files:
            starts.append(count)
            for piece in embedding_readers.pieces(file, CHUNK, part):
                first = first or piece
                require_alike(first, piece)
                vectors.write(np.ascontiguousarray(piece.vectors))
                rows.write(piece.rows.serialize())
                count += len(piece.vectors)
                dated |= piece.dated
                on_rows(count)
        assert first is not None
        buffers = vectors.mapped(), rows.mapped()
    table = pa.ipc.open_stream(pa.py_buffer(buffers[1])).read_all()
    found = np.frombuffer(buffers[0], np.float32).reshape(count, -1)
    return Rows(
        found, table if dated else table.drop_columns("datetime"), first.metadata, (*starts,), buffers
    )


def require_alike(one: Embeddings | Piece, other: Embeddings | Piece) -> None:
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
    names = embeddings.tile_id
    if names is None:
        raise DataError(f"{embeddings.name}: has no tile_id; {needed} it to find the tiles' pixels.")
    wanted = names if rows is None else names[rows]
    ids = tiles.positions(wanted.tolist())
    missing = np.flatnonzero(ids < 0)
    if len(missing):
        raise DataError(
            f"{tiles.path}: lacks {len(missing):,} of {len(wanted):,} tiles, such as {wanted[missing[0]]}; "
            f"{needed} the tile set that was embedded. Give that one."
        )
    return ids

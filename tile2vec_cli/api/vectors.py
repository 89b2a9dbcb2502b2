"""Embeddings as a notebook has them: opened at once, read when they are asked for."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.embedding import embedding_files, embeddings
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import Embeddings as Rows
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.job import resources
from tile2vec_cli.neural import encoders, models
from tile2vec_cli.tiling.tiles import TileSet

if TYPE_CHECKING:
    import geopandas

_ROWS = 65_536  # read at a time
_SHARE = 4  # of the free memory that vectors may take; larger ones lie in a temporary file


@dataclass(frozen=True)
class Embeddings:
    """N vectors and the tiles or places they stand for; of a file or folder, or in memory."""

    path: Path | None  # None: in memory
    report: dict[str, Any] = field(default_factory=dict, repr=False)  # of the call that made them
    held: Rows | None = field(default=None, repr=False)

    @classmethod
    def open(cls, path: str | Path, report: dict[str, Any] | None = None) -> Embeddings:
        """Ours, or other people's GeoParquet or table. Raises InputError and DataError."""
        embeddings.count(Path(path))
        return cls(Path(path), report or {})

    @classmethod
    def of_tiles(
        cls, tiles: TileSet, vectors: Vectors, model: Path, report: dict[str, Any] | None = None
    ) -> Embeddings:
        """In memory: row i is tile i."""
        architecture = models.describe(model).architecture
        metadata = {
            "model": models.fingerprint(model),
            "architecture": architecture,
            embedding_files.PART_SIZES: encoders.part_sizes(architecture),
        }
        return cls(None, report or {}, rows_of_tiles(tiles, vectors, metadata))

    def __len__(self) -> int:
        return embeddings.count(self.path) if self.held is None and self.path else len(self.rows)

    @cached_property
    def rows(self) -> Rows:
        """All that is read: vectors, footprints, ids, dates."""
        if self.held is not None:
            return self.held
        assert self.path is not None
        return _read(self.path)

    @property
    def vectors(self) -> Vectors:
        """(N, D) float32, int8 decoded. Where memory is short they lie in a temporary file, memory-mapped."""
        return self.rows.vectors

    @property
    def tile_id(self) -> NDArray[np.object_] | None:
        """(N,) str; None where the file has none."""
        return self.rows.tile_id

    @property
    def parts(self) -> dict[str, slice]:
        """Where in each vector its parts stand, by name; {} where the file names none."""
        return self.rows.parts

    def to_geopandas(self) -> geopandas.GeoDataFrame:
        """A row for each vector: tile_id, scene and datetime where known, embedding, and the footprint."""
        import geopandas

        rows = self.rows
        known = {name: getattr(rows, name) for name in ("tile_id", "scene", "datetime")}
        columns = {name: column for name, column in known.items() if column is not None}
        columns["embedding"] = list(rows.vectors)
        return geopandas.GeoDataFrame(columns, geometry=list(rows.geometry), crs="OGC:CRS84")


def rows_of_tiles(tiles: TileSet, vectors: Any, metadata: dict[str, Any] | None = None) -> Rows:
    """Vectors (N, D) of all tiles of a set, in their order."""
    vectors = _checked(vectors)
    if len(vectors) != len(tiles):
        raise DataError(
            f"{tiles.path}: holds {len(tiles):,} tiles, and there are {len(vectors):,} vectors; one for each "
            "tile is needed, in the order of the tile set."
        )
    names = tiles.table(["tile_id", "scene"])
    ids, scenes = (np.array(names[name].to_pylist(), dtype=object) for name in ("tile_id", "scene"))
    dates = None if np.isnat(tiles.datetime).all() else tiles.datetime
    return Rows(tiles.path, vectors, tiles.footprints(), ids, scenes, dates, metadata or {})


def rows_at(places: Any, vectors: Any) -> Rows:
    """Vectors (N, D) of places: a GeoDataFrame or GeoSeries, (N,) shapes, or (N, 2) degrees."""
    vectors = _checked(vectors)
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
    return Rows(Path("vectors"), vectors, shapes, None, None, None, {})


def _checked(vectors: Any) -> Vectors:
    found = np.asarray(vectors, dtype=np.float32)
    if found.ndim != 2 or not found.size:
        raise DataError(f"vectors: are of shape {found.shape}; (N, D) is needed.")
    bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(bad):
        raise DataError(
            f"vectors: {len(bad):,} of {len(found):,} hold NaN or infinity, the first row {bad[0]:,}."
        )
    return found


def _read(path: Path) -> Rows:
    """As `embeddings.read`, batch by batch: no more than the result and a batch is held at a time."""
    count, start = embeddings.count(path), 0
    vectors: Vectors | None = None
    pieces: list[Rows] = []
    for piece in embeddings.batches(path, _ROWS):
        if vectors is None:
            vectors = _room((count, piece.vectors.shape[1]))
        vectors[start : start + len(piece)] = piece.vectors
        here = vectors[start : start + len(piece)]
        start += len(piece)
        pieces.append(Rows(path, here, *_columns(piece), metadata=piece.metadata))
    if vectors is None:
        raise DataError(f"{path}: holds no rows; at least one embedding is needed.")
    return embeddings.joined(path, pieces, vectors)


def _columns(rows: Rows) -> tuple[Any, Any, Any, Any]:
    return rows.geometry, rows.tile_id, rows.scene, rows.datetime


def _room(shape: tuple[int, int]) -> Vectors:
    if 4 * shape[0] * shape[1] <= resources.free_memory() // _SHARE:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.float32, "w+", shape=shape)

"""The KINDS of files, other than rasters, that labels are read from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.geo import tables, vectors
from tile2vec_cli.geo.grid import Bounds, Geometry
from tile2vec_cli.geo.vectors import Features
from tile2vec_cli.labelling import label_features
from tile2vec_cli.labelling.label_features import TileIds
from tile2vec_cli.labelling.votes import Votes


@dataclass(frozen=True)
class Kind:
    """One kind of file. Its features are points, polygons or both, each of one class."""

    said: str  # what messages call it
    holds: Callable[[str | Path], bool]  # whether a file is of this kind, by its name
    read: Callable[[Path, str | None, str | None, str | None], tuple[Features, str]]
    """(path, field, layer, crs) -> the features in lon/lat, and the name of the field with the classes.

    It refuses a layer and a CRS where such files need none, as nothing that a user says is ignored.
    """


KINDS = (
    Kind("vector files (.gpkg, .geojson, .shp, …)", vectors.is_vector, label_features.vector_features),
    Kind("tables (.csv, .tsv, .txt, also .gz; .parquet)", tables.is_table, label_features.table_features),
)


def is_read(path: str | Path) -> bool:
    """Whether a file is of one of the KINDS, by its name."""
    return any(kind.holds(path) for kind in KINDS)


def features(source: LabelSource, field: str | None) -> tuple[Features, str]:
    """The features of the only file, and the field with their classes. Raises what its kind's reader does."""
    path = Path(source.files[0])
    kind = next(kind for kind in KINDS if kind.holds(path))
    return kind.read(path, field, source.layer, source.crs)


def votes(
    source: LabelSource, geometry: Geometry, tile_id: TileIds | None, field: str | None
) -> tuple[Votes, str, Bounds | None]:
    """The votes of the only file, what it holds ("table", "points", …), and its bounds where it has any.

    geometry: (N,) footprints in lon/lat; tile_id: (N,) what tables with a column of this name call them.
    """
    path = Path(source.files[0])
    if label_features.has_tile_ids(path) and (tile_id is not None or not tables.is_parquet(path)):
        return label_features.votes_by_id(path, tile_id, field), "table", None
    found, field = features(source, field)
    return label_features.of_features(found, geometry, field, str(path))

"""Classes of tiles: from a label raster, polygons, points, or a table."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError, InputError, UsageError
from tile2vec_cli.geo import rasters, remote, tables, vectors
from tile2vec_cli.labelling import label_rasters, label_tables, label_vectors
from tile2vec_cli.labelling.label_vectors import Bounds
from tile2vec_cli.labelling.votes import UNLABELLED, Votes

Geometry = NDArray[np.object_]

_SHOWN = "rasters, vector files (.gpkg, .geojson, .shp, …) and tables (.csv, .tsv, .txt, also .gz; .parquet)"


@dataclass(frozen=True)
class Labels:
    """The class of each of N tiles."""

    codes: NDArray[np.int32]  # (N,) positions in `classes`; UNLABELLED (-1) where a tile has none
    classes: tuple[str, ...]
    kind: str  # "raster", "polygons", "points", "polygons and points" or "table"
    left_out: dict[str, int] = dataclass_field(default_factory=dict)
    """Tiles without a label, and features or rows that label none, by reason."""

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Row numbers of the tiles that have a class."""
        return np.flatnonzero(self.codes != UNLABELLED)


def read(
    path: str | Path,
    geometry: Geometry,
    tile_id: NDArray[np.object_] | None = None,
    *,
    field: str | None = None,
    layer: str | None = None,
    crs: str | None = None,
    min_purity: float = 0.8,
) -> Labels:
    """Label N tiles by what `path` holds.

    geometry: (N,) footprints (or points) in lon/lat; tile_id: (N,) names, for tables.
    field: where vector files and tables hold the class. A file in which it is the only field needs none.
    layer: of a vector file that holds several; crs: of coordinates in a table, or in a file that names none.
    min_purity: a raster's majority class must cover this share of a tile's valid pixels. Points and
    rows of a table decide by simple majority, whatever its share; a tie labels nothing.
    Raises InputError or DataError where the file cannot be read, UsageError where `field` is needed,
    DataError where the labels meet no tile.
    """
    source = str(path)
    if not remote.is_remote(source) and not Path(source).exists():
        raise InputError(f"{source}: no such file; a label raster, vector file or table is needed.")
    bounds: Bounds | None = None
    if tables.is_table(source):
        votes, kind, bounds = label_tables.votes(Path(source), geometry, tile_id, field, layer, crs)
    elif vectors.is_vector(source):
        votes, kind, bounds = label_vectors.votes(Path(source), geometry, field, layer, crs)
    else:
        require_raster(source, layer, crs)
        votes, kind = label_rasters.votes(source, geometry), "raster"
        bounds = rasters.describe(source).bounds_lonlat
    return _labels(source, votes, kind, bounds, geometry, min_purity if kind == "raster" else 0.0)


def require_raster(source: str, layer: str | None = None, crs: str | None = None) -> None:
    """Raise DataError where a file is of none of the kinds that are read.

    UsageError where it is asked for what rasters do not have.
    """
    for option, value in (("--layer", layer), ("--crs", crs)):
        if value is not None:
            raise UsageError(f"{option} {value}: {source} is a raster, which needs none. Leave it out.")
    suffix = Path(source).suffix
    if remote.is_remote(source) or suffix.lower() in rasters.SUFFIXES:
        return
    try:
        rasters.describe(source)
    except DataError as error:
        found = str(error).removesuffix(". Check the file.")
        raise DataError(f"{found}; labels are read from {_SHOWN}. Save them as one of these.") from error


def _labels(
    source: str, votes: Votes, kind: str, bounds: Bounds | None, geometry: Geometry, least_share: float
) -> Labels:
    total = votes.total(len(geometry))
    if bounds is not None and not total.any():
        raise apart(source, bounds, geometry)
    codes = votes.majority(len(geometry), least_share)
    left_out = votes.left_out | {
        "no label there": int((total == 0).sum()),
        "no clear majority": int(((total > 0) & (codes == UNLABELLED)).sum()),
    }
    return Labels(codes, votes.classes, kind, {reason: n for reason, n in left_out.items() if n})


def apart(source: str, bounds: Bounds, geometry: Geometry) -> DataError:
    """The error that names both boxes: no label of `source`, which spans `bounds`, lies in a tile."""
    west, south, east, north = map(float, shapely.total_bounds(geometry))
    apart = bounds[2] < west or bounds[0] > east or bounds[3] < south or bounds[1] > north
    return DataError(
        f"{source}: labels span {_box(bounds)} (west south east north, degrees), the tiles "
        f"{_box((west, south, east, north))}: "
        + ("they do not overlap" if apart else "no valid label lies in a tile")
        + "; labels of the tiles' place are needed. Check both files' CRS."
    )


def _box(bounds: Bounds) -> str:
    return " ".join(f"{value:.5f}" for value in bounds)

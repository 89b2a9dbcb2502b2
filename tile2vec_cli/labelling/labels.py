"""Classes of tiles: from a label raster, polygons, points, or a table."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import rasters, remote
from tile2vec_cli.labelling import label_rasters, label_tables, label_vectors
from tile2vec_cli.labelling.label_vectors import Bounds
from tile2vec_cli.labelling.votes import UNLABELLED, Votes

Geometry = NDArray[np.object_]

VECTORS = {
    ".gpkg",
    ".geojson",
    ".json",
    ".geojsonl",
    ".shp",
    ".fgb",
    ".kml",
    ".gml",
    ".zip",
    ".gdb",
    ".sqlite",
}


@dataclass(frozen=True)
class Labels:
    """The class of each of N tiles."""

    codes: NDArray[np.int32]  # (N,) positions in `classes`; UNLABELLED (-1) where a tile has none
    classes: tuple[str, ...]
    kind: str  # "raster", "polygons", "points" or "table"
    left_out: dict[str, int] = dataclass_field(default_factory=dict)  # tiles without a label, by reason

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
    min_purity: float = 0.8,
) -> Labels:
    """Label N tiles by what `path` holds.

    geometry: (N,) footprints (or points) in lon/lat; tile_id: (N,) names, for tables.
    field: where vector files and tables hold the class. A file in which it is the only field needs none.
    min_purity: a raster's majority class must cover this share of a tile's valid pixels. Points and
    rows of a table decide by simple majority, whatever its share; a tie labels nothing.
    Raises InputError or DataError where the file cannot be read, UsageError where `field` is needed,
    DataError where the labels meet no tile.
    """
    source = str(path)
    suffix = Path(source).suffix.lower()
    if not remote.is_remote(source) and not Path(source).exists():
        raise InputError(f"{source}: no such file; a label raster, vector file or table is needed.")
    bounds: Bounds | None = None
    if suffix in label_tables.SUFFIXES:
        votes, kind, bounds = label_tables.votes(Path(source), geometry, tile_id, field)
    elif suffix in VECTORS:
        votes, kind, bounds = label_vectors.votes(Path(source), geometry, field)
    else:
        votes, kind = label_rasters.votes(source, geometry), "raster"
        bounds = rasters.describe(source).bounds_lonlat
    return _labels(source, votes, kind, bounds, geometry, min_purity if kind == "raster" else 0.0)


def _labels(
    source: str, votes: Votes, kind: str, bounds: Bounds | None, geometry: Geometry, least_share: float
) -> Labels:
    total = votes.total(len(geometry))
    if bounds is not None and not total.any():
        raise apart(source, bounds, geometry)
    codes = votes.majority(len(geometry), least_share)
    left_out = {
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

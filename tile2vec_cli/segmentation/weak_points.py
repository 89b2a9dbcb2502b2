"""Label points and the pixels of tiles they lie in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import grid, places, tables
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.labelling import label_tables, label_vectors, labels
from tile2vec_cli.labelling.votes import Votes, without_class
from tile2vec_cli.segmentation.states import UNKNOWN, States
from tile2vec_cli.tiling.tiles import TileSet


@dataclass(frozen=True)
class Points:
    """M hits: a point of class `code` in pixel (row, col) of a tile. Tiles that overlap are hit at once."""

    tile: Ints
    row: Ints
    col: Ints
    code: Ints
    left_out: dict[str, int]  # features that are no such point, by reason

    def states(self, positive: NDArray[np.bool_], tiles: TileSet) -> States:
        """(N, S, S) states of the pixels; where points of one pixel disagree it has none."""
        side = tiles.size
        votes = np.zeros((2, len(tiles), side, side), bool)
        votes[positive[self.code].astype(np.int64), self.tile, self.row, self.col] = True
        no, yes = votes
        return np.where(no == yes, UNKNOWN, yes).astype(np.uint8)


def read(
    path: Path, tiles: TileSet, field: str | None, layer: str | None = None, crs: str | None = None
) -> tuple[tuple[str, ...], Points]:
    """The classes and the hits of a vector file's or table's points.

    Raises DataError where the file holds no points, or none lies in a tile.
    """
    kind = label_tables if tables.is_table(path) else label_vectors
    features, field = kind.features_with(path, field, layer, crs)
    shapes, feature = label_vectors.taken_apart(features.frame.geometry.to_numpy())
    is_point = shapely.get_dimensions(shapes) == 0
    if not is_point.any():
        raise DataError(
            f"{path}: holds lines or polygons; --supervision pixel needs points or a raster. "
            "Use --supervision image."
        )
    said, unit = f"{path}: field {field!r}", features.unit
    empty = without_class(features.frame[field], said)
    points, row = shapely.get_parts(shapes[is_point], return_index=True)
    feature = feature[is_point][row]
    point, tile = shapely.STRtree(tiles.footprints()).query(points, predicate="intersects")
    row, col = _pixels(tiles, tile, shapely.get_coordinates(points[point]))
    kept = (np.minimum(row, col) >= 0) & (np.maximum(row, col) < tiles.size)
    kept[kept] = tiles.valid(tile[kept])[np.arange(kept.sum()), row[kept], col[kept]]
    if not kept.any():
        west, south, east, north = map(float, features.frame.total_bounds)
        raise labels.apart(str(path), (west, south, east, north), tiles.footprints())
    tile, row, col, point = tile[kept], row[kept], col[kept], point[kept]
    left_out = features.left_out | {
        f"{unit} without a class": int(empty.sum()),
        f"{unit} that are not points": len(features) - len(np.unique(feature)),
        "points on no valid pixel of a tile": len(np.setdiff1d(np.flatnonzero(~empty[feature]), point)),
    }
    values = features.frame[field].iloc[feature[point]]
    votes = Votes.of(np.arange(len(tile)), values, said, left_out)
    hit = votes.tile  # rows without a class are left out
    return votes.classes, Points(tile[hit], row[hit], col[hit], votes.code, votes.left_out)


def _pixels(tiles: TileSet, tile: Ints, lonlat: NDArray[np.float64]) -> tuple[Ints, Ints]:
    """Row and column, inside their tile, of the pixels at these places."""
    index = tiles.table(["row", "col"])
    first_row, first_col = (index[name].to_numpy()[tile] for name in ("row", "col"))
    row, col = np.empty(len(tile), np.int64), np.empty(len(tile), np.int64)
    part = np.searchsorted(tiles.offsets, tile, side="right") - 1
    for number in np.unique(part):
        here = part == number
        info = tiles.parts[number].info
        a, b, c, d, e, f = info["transform"]
        near = grid.map_xy(info["transform"], first_row[here], first_col[here])[:, 0]
        xy = places.from_lonlat(info["crs"], lonlat[here], str(tiles.parts[number].path), near)
        inside = np.linalg.inv([[a, b], [d, e]]) @ (xy - [c, f]).T
        col[here] = np.floor(inside[0]).astype(np.int64) - first_col[here]
        row[here] = np.floor(inside[1]).astype(np.int64) - first_row[here]
    return row, col

"""Weak labels of one class against the rest: one pixel per tile, one label per tile, or points.

The state of a pixel or a tile is 1 for the class, 0 for any other, UNKNOWN without a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.rules import parse_classes
from tile2vec_cli.config.weak import CROPLAND, WeakConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import grid, places
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.labelling import cdl, label_features, label_kinds, labels
from tile2vec_cli.labelling.label_rasters import LabelRasters
from tile2vec_cli.labelling.votes import Votes, without_class
from tile2vec_cli.tiling.tiles import TileSet

UNKNOWN = 255  # the state of a pixel or tile without a label; else 0 or 1
States = NDArray[np.uint8]

_CHUNK = 2048  # tiles at a time


@dataclass(frozen=True)
class WeakLabels:
    """What a label file says of N tiles."""

    kind: str  # "raster", "points", "polygons" or "table"
    pixels: States | None  # (N, S, S); None where the file speaks of whole tiles only
    tiles: States  # (N,) majority; UNKNOWN without a label, or with as many of both
    left_out: Mapping[str, int] = field(default_factory=dict)  # what labels none, by reason
    rasters: dict[str, int] = field(default_factory=dict)  # see LabelRasters.found
    clean_rasters: dict[str, int] = field(default_factory=dict)  # the same of --evaluate

    def usable(self, supervision: str) -> Ints:
        """Positions of the tiles that have what this supervision takes."""
        if supervision == "image" or self.pixels is None:
            return np.flatnonzero(self.tiles != UNKNOWN)
        return np.flatnonzero((self.pixels != UNKNOWN).any(axis=(1, 2)))

    def drawn(self, ids: Ints, supervision: str, random: np.random.Generator) -> States:
        """What training is told of these tiles: (n, S, S) states, or (n,) for `image`.

        `pixel`: one known pixel of each tile at random; all of them where the labels are points.
        The draw for the first tiles of `ids` does not depend on how many there are.
        """
        if supervision == "image" or self.pixels is None:
            return self.tiles[ids]
        states = self.pixels[ids]
        if supervision == "full" or self.kind == "points":
            return states
        sparse = np.full_like(states, UNKNOWN)
        for tile, known in enumerate(states != UNKNOWN):
            row, col = np.divmod(random.choice(np.flatnonzero(known)), known.shape[1])
            sparse[tile, row, col] = states[tile, row, col]
        return sparse


def read(source: str | LabelSource, tiles: TileSet, config: WeakConfig) -> WeakLabels:
    """Labels of the whole tile set from a file of any kind, or several rasters.

    Raises DataError where no label lies in a tile, where the positive classes (or any others) do not
    occur, or where labels of this kind can't serve `config.supervision`; else as `labels.read`.
    """
    source = LabelSource.of(source)
    if labels.is_raster(source):
        return of_rasters(source, tiles, config.positive)
    if config.evaluate is None:
        labels.require_no_raster_options(source)
    path = source.files[0]
    if config.supervision == ("image",):
        return _of_tiles(source, tiles, config)
    if "full" in config.supervision:
        raise DataError(f"{path}: is not a raster; --supervision full needs one. Use pixel or image.")
    if label_features.has_tile_ids(Path(path)):
        raise DataError(
            f"{path}: labels whole tiles; --supervision pixel needs a raster or points. "
            "Use --supervision image."
        )
    classes, found = read_points(source, tiles, config.field)
    states = found.states(is_positive(path, classes, config.positive), tiles)
    return WeakLabels("points", states, majority(states), found.left_out)


def _of_tiles(source: LabelSource, tiles: TileSet, config: WeakConfig) -> WeakLabels:
    names = tiles.table(["tile_id"])["tile_id"].to_numpy()
    found = labels.read(source, tiles.footprints(), names, field=config.field)
    positive = is_positive(str(source), found.classes, config.positive)
    states = np.where(found.codes < 0, UNKNOWN, positive[found.codes]).astype(np.uint8)
    return WeakLabels(found.kind, None, states, found.left_out)


def of_rasters(source: LabelSource, tiles: TileSet, positive: str | None) -> WeakLabels:
    """States by label rasters; UNKNOWN where they or a band of the tile are not valid."""
    rasters, path = LabelRasters(source), str(source)
    states = np.full((len(tiles), tiles.size, tiles.size), UNKNOWN, np.uint8)
    occurring: dict[str, bool] = {}
    for start in range(0, len(tiles), _CHUNK):
        block = states[start : start + _CHUNK]
        ids = np.arange(start, start + len(block))
        codes, valid = rasters.tile_pixels(tiles, ids)
        valid &= tiles.valid(ids)
        if positive is None:  # the Cropland Data Layer does not declare its background
            valid &= ~np.isin(codes, cdl.NODATA)
        present, position = np.unique(codes[valid].astype(np.int64), return_inverse=True)
        names = rasters.legend.of_codes(present)
        member = _members(names, present, positive)
        occurring |= dict(zip(names, member.tolist(), strict=True))
        block[valid] = member[position]
    if not occurring:
        raise labels.apart(path, rasters.bounds(), tiles.footprints())
    _require_both(path, list(occurring), list(occurring.values()), positive)
    return WeakLabels("raster", states, majority(states), rasters=rasters.found())


def majority(pixels: States) -> States:
    """(N,) the state of most known pixels of each tile; UNKNOWN without a majority."""
    ones, zeros = ((pixels == state).sum(axis=(1, 2)) for state in (1, 0))
    return np.where(ones == zeros, UNKNOWN, ones > zeros).astype(np.uint8)


def flipped(states: States, share: float, random: np.random.Generator) -> States:
    """A copy in which this share of the known states, drawn at random, is wrong."""
    noisy = states.copy()
    known = np.flatnonzero(states != UNKNOWN)
    wrong = random.choice(known, round(share * len(known)), replace=False)
    noisy.flat[wrong] = 1 - noisy.flat[wrong]
    return noisy


def is_positive(path: str, classes: Sequence[str], positive: str | None) -> NDArray[np.bool_]:
    """(K,) which classes are positive; DataError where none is, or all are."""
    codes = np.array([int(name) if name.isdecimal() else -1 for name in classes], np.int64)
    member = _members(classes, codes, positive)
    _require_both(path, classes, member.tolist(), positive)
    return member


def _members(names: Sequence[str], codes: Ints, positive: str | None) -> NDArray[np.bool_]:
    ranges, own_names = parse_classes(positive or CROPLAND)
    member = np.array([name.casefold() in own_names for name in names], bool)
    for own in ranges:
        member |= (codes >= own.start) & (codes < own.stop)
    return member


def _require_both(path: str, names: Sequence[str], member: Sequence[bool], positive: str | None) -> None:
    wanted = positive or f"{CROPLAND} (cropland of the Cropland Data Layer)"
    if not any(member):
        listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        raise DataError(
            f"{path}: the tiles hold the classes {listed}, none of --positive {wanted}. "
            "Name the class to be segmented in --positive."
        )
    if all(member):
        raise DataError(
            f"{path}: the tiles hold classes of --positive {wanted} only; others are needed too. "
            "Choose --positive, or tiles of more places."
        )


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


def read_points(source: LabelSource, tiles: TileSet, field: str | None) -> tuple[tuple[str, ...], Points]:
    """The classes and the hits of a file's points.

    Raises DataError where the file holds no points, or none lies in a tile.
    """
    path = source.files[0]
    features, field = label_kinds.features(source, field)
    shapes, feature = label_features.taken_apart(features.frame.geometry.to_numpy())
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
    part = tiles.part_of(tile)
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

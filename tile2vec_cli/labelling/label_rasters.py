"""Label rasters: the classes of pixels inside tiles, in any CRS and resolution, from one raster or many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.errors import DataError, Tile2VecError
from tile2vec_cli.geo import grid, outlines, places, rasters, scenes
from tile2vec_cli.geo.grid import Bounds, Floats, Geometry, Ints
from tile2vec_cli.geo.scenes import open_scene
from tile2vec_cli.labelling import cdl, label_sheets, legends
from tile2vec_cli.labelling.label_sheets import Sheet, outline
from tile2vec_cli.labelling.legends import Legend
from tile2vec_cli.labelling.votes import Votes
from tile2vec_cli.tiling.tile_files import Mask
from tile2vec_cli.tiling.tiles import TileSet

_NAMED = 5  # rasters in an error


@dataclass(frozen=True)
class _Pairs:
    """(K,) numbers of footprints and, for each, of a raster that may cover it; by raster, then footprint."""

    row: Ints
    sheet: Ints

    def between(self, tile: Ints) -> Iterator[tuple[int, Ints]]:
        """The rasters, in their order, and their footprints among those of `tile`, which ascends."""
        wanted = np.isin(self.row, tile[np.flatnonzero(np.diff(tile, prepend=-1))])
        row, sheet = self.row[wanted], self.sheet[wanted]
        starts = np.flatnonzero(np.diff(sheet, prepend=-1))
        for start, stop in zip(starts, np.append(starts[1:], len(row)), strict=False):  # none: no rows
            yield int(sheet[start]), row[start:stop]


class LabelRasters:
    """Rasters on top of each other: a place has the class of the first one that is valid there.

    Raises, at birth, InputError or DataError that names all those that cannot be read or hold no class
    codes; DataError where their legends differ.
    """

    def __init__(self, labels: str | Path | LabelSource) -> None:
        self.source = LabelSource.of(labels)
        self._sheets: list[Sheet] = []
        several = len(self.source.files) > 1
        tables, outlines, failed = [], [], []
        for path in self.source.files:
            try:
                raster = rasters.describe(path)
                self._sheets.append(Sheet.of(raster, self.source.band))
                tables.append(legends.Table.of(raster, self._sheets[-1].band))
                if several:
                    outlines.append(outline(raster))
            except Tile2VecError as error:
                failed.append(error)
        if failed:
            raise _all_of(failed)
        self.legend = Legend.of(tables)
        self._tree = shapely.STRtree(outlines) if several else None
        self._alpha: dict[str, str] = {}  # by path: what a band tagged alpha is
        self._used: set[str] = set()  # paths of rasters that label a tile
        self._disputed = 0

    def votes(self, geometry: Geometry) -> Votes:
        """One vote a label pixel inside each footprint, (N,) shapely geometries in lon/lat.

        Footprints are sampled on a regular grid as fine as the label pixels: where a footprint covers
        whole label pixels, each of them votes exactly once (or, below 8 a side, each equally often).
        Points have the vote of the pixel they lie in.
        Raises DataError where the rasters' values are no class codes.
        """
        tiles, codes, counts = [], [], []
        pairs = self._pairs(geometry)
        for tile, lonlat in label_sheets.inside(geometry, self._sides(geometry, pairs)):
            values, valid, disputed = self._classes_at(pairs, tile, lonlat)
            self._disputed += len(np.unique(tile[disputed]))
            key = tile[valid].astype(np.int64) << 32 | (values[valid] + 2**31)
            key, count = np.unique(key, return_counts=True)
            tiles.append(key >> 32)
            codes.append((key & 0xFFFFFFFF) - 2**31)
            counts.append(count)
        code = np.concatenate([np.empty(0, np.int64), *codes])
        present, code = np.unique(code, return_inverse=True)
        names = self.legend.of_codes(present)
        classes = tuple(dict.fromkeys(names))  # codes of one name are one class
        merged = np.array([classes.index(name) for name in names], dtype=np.int64)
        return Votes(
            np.concatenate([np.empty(0, np.int64), *tiles]),
            merged[code],
            np.concatenate([np.empty(0, np.int64), *counts]),
            classes,
        )

    def tile_pixels(self, tiles: TileSet, ids: Ints) -> tuple[NDArray[np.int32], Mask]:
        """(B, S, S) class codes of the label pixels under the tiles' pixel centres, and which are valid."""
        part = tiles.part_of(ids)
        side = tiles.size
        codes = np.zeros((len(ids), side, side), np.int32)
        valid = np.zeros((len(ids), side, side), bool)
        for number in np.unique(part):
            info, path = tiles.parts[number].info, str(tiles.parts[number].path)
            index = tiles.parts[number].index(["row", "col"])
            own = np.flatnonzero(part == number)
            rows, cols = (index[name].to_numpy()[ids[own] - tiles.offsets[number]] for name in ("row", "col"))
            corners = places.to_lonlat(
                info["crs"], grid.footprints(info["transform"], rows, cols, side), path
            )
            pairs = self._pairs(outlines.polygons(corners))
            for here in label_sheets.chunks(np.arange(len(own)), side * side):
                xy = grid.pixel_centres(info["transform"], rows[here], cols[here], side).reshape(-1, 2)
                lonlat = places.to_lonlat(info["crs"], xy, path)
                tile = np.repeat(here, side * side)
                found, known, disputed = self._classes_at(pairs, tile, lonlat)
                self._disputed += len(np.unique(tile[disputed]))
                codes[own[here]] = found.reshape(-1, side, side)
                valid[own[here]] = known.reshape(-1, side, side)
        return codes, valid

    def bounds(self) -> Bounds:
        """(west, south, east, north) in degrees."""
        each = zip(*(rasters.describe(sheet.path).bounds_lonlat for sheet in self._sheets), strict=True)
        west, south, east, north = each
        return min(west), min(south), max(east), max(north)

    def found(self) -> dict[str, int]:
        """How many rasters there are and label no tile, and tiles in which two disagree; {} of one raster."""
        if len(self._sheets) == 1:
            return {}
        return {
            "rasters": len(self._sheets),
            "without_tiles": len(self._sheets) - len(self._used),
            "tiles_disputed": self._disputed,
        }

    def _pairs(self, geometry: Geometry) -> _Pairs:
        """Footprints and the rasters that may cover them, of (N,) in lon/lat."""
        if self._tree is None:
            return _Pairs(np.arange(len(geometry)), np.zeros(len(geometry), np.int64))
        row, sheet = self._tree.query(geometry, predicate="intersects")
        order = np.lexsort((row, sheet))
        return _Pairs(row[order], sheet[order])

    def _sides(self, geometry: Geometry, pairs: _Pairs) -> Ints:
        """(N, 2) points to take along footprints' sides: what the finest raster that may cover one asks."""
        sides = np.zeros((len(geometry), 2), np.int64)
        corners, quads = label_sheets.corners(geometry), label_sheets.is_quad(geometry)
        others = ~quads & ~label_sheets.is_point(geometry)
        kinds: dict[Any, list[int]] = {}
        for number in np.unique(pairs.sheet).tolist():
            kinds.setdefault(self._sheets[number].kind, []).append(number)
        for numbers in kinds.values():
            rows = np.unique(pairs.row[np.isin(pairs.sheet, numbers)])
            for some in (rows[quads[rows]], *rows[others[rows], None]):
                if len(some):
                    pixels = self._sheets[numbers[0]].pixels_a_side(corners[some])
                    sides[some] = np.maximum(sides[some], label_sheets.a_side(pixels))
        return sides

    def _classes_at(self, pairs: _Pairs, tile: Ints, lonlat: Floats) -> tuple[Ints, Mask, Mask]:
        """(M,) class codes at places, which are valid, and at which two rasters disagree.

        tile: (M,) the footprint of each, ascending.
        """
        codes = np.zeros(len(lonlat), np.int64)
        valid, disputed = np.zeros(len(lonlat), bool), np.zeros(len(lonlat), bool)
        for number, rows in pairs.between(tile):
            starts, stops = np.searchsorted(tile, rows), np.searchsorted(tile, rows, side="right")
            here = np.concatenate([np.arange(*ends) for ends in zip(starts, stops, strict=True)])
            found, known = self._classes_of(self._sheets[number], lonlat[here])
            other = np.flatnonzero(valid[here] & known & (codes[here] != found))
            if len(other):  # two codes may have one name
                both = np.stack([codes[here[other]], found[other]])
                both, which = np.unique(both, axis=1, return_inverse=True)
                first, second = (np.array(self.legend.of_codes(side), dtype=object) for side in both)
                disputed[here[other[(first != second)[which.ravel()]]]] = True
            fresh = here[known & ~valid[here]]
            codes[fresh] = found[known & ~valid[here]]
            valid[fresh] = True
        return codes, valid, disputed

    def _classes_of(self, sheet: Sheet, lonlat: Floats) -> tuple[Ints, Mask]:
        """(M,) class codes of one raster at places, and which are valid."""
        if sheet.has_alpha and sheet.path not in self._alpha:
            with open_scene(sheet.path, bands=(sheet.band,)) as scene:
                self._alpha[sheet.path] = scene.alpha or "auto"
        values, valid = scenes.sample(sheet.path, lonlat, sheet.band, self._alpha.get(sheet.path, "auto"))
        for fill in self.source.nodata:
            with np.errstate(over="ignore"):  # no value of float32 equals 1e39
                valid &= values != (values.dtype.type(fill) if values.dtype.kind == "f" else fill)
        values = np.where(valid, values, 0)
        if values.dtype.kind == "f" and (values != np.rint(values)).any():
            odd = values[values != np.rint(values)][0]
            raise DataError(f"{sheet.path}: holds values such as {odd:g}; whole class codes are needed.")
        codes = values.astype(np.int64)
        if codes.size and (codes.min() < -(2**31) or codes.max() >= 2**31):
            raise DataError(
                f"{sheet.path}: holds values such as {codes.max()}; class codes of 32 bits are needed."
            )
        if self.legend.is_cdl:
            valid &= ~np.isin(codes, cdl.NODATA)
        if valid.any():
            self._used.add(sheet.path)
        return codes, valid


def _all_of(failed: Sequence[Tile2VecError]) -> Tile2VecError:
    """The first error, which also names the files of the others."""
    first, names = failed[0], [str(error).partition(": ")[0] for error in failed[1:]]
    if not names:
        return first
    listed = ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)
    return type(first)(f"{first} {len(names):,} more label rasters cannot be used: {listed}.")

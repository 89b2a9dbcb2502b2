"""Several opened rasters as the bands of one, on the grid of the first.

Not a virtual raster of GDAL's: that would open files by itself, whatever they are, and takes pixels that
a mask or an absent block leaves out for valid ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.fills import Blocks
from tile2vec_cli.geo.grid import Window

Read = Callable[[Window], NDArray[Any]]

# What a dataset says of each of its bands.
_BY_BAND = ("dtypes", "nodatavals", "block_shapes", "scales", "offsets", "units")
_EPSILON = 1e-6  # pixels: a centre that falls between two pixels is the later one's, whatever is rounded


class StackReader:
    """Reads as rasterio's dataset does: bands of other resolutions by nearest neighbour.

    What is not told by band is what the first raster says.
    """

    driver = "stack"

    def __init__(
        self,
        sources: Sequence[tuple[str, Any]],
        names: Sequence[str],
        picks: Sequence[tuple[int, int | None]] | None = None,
    ) -> None:
        """`sources` are paths and datasets, which are closed with this one. Raises DataError.

        `picks` are numbers of sources and of their bands (None: all of its bands), each with its name;
        by default all bands of each.
        """
        path, self._first = sources[0]
        self._members = [_Member(own, source, self._first, path) for own, source in sources]
        self.origins: list[tuple[int, int]] = []  # of each band: the source's number and the band's there
        self._picked: list[bool] = []
        called: list[str] = []
        for (number, pick), name in zip(
            picks or [(k, None) for k in range(len(sources))], names, strict=True
        ):
            path, source = sources[number]
            if pick is not None and pick > source.count:
                raise DataError(f"{path}: has {source.count} bands; {name} is said to be band {pick}.")
            own = source.indexes if pick is None else (pick,)
            self.origins += [(number, band) for band in own]
            self._picked += [pick is not None or source.count == 1] * len(own)
            called += [name] if len(own) == 1 else [f"{name} {band}" for band in own]
        self.descriptions = tuple(called)  # bands are called as the user calls the files
        self._bands = [(self._members[number], band) for number, band in self.origins]
        self._masks = any(member.leaves_out for member in self._members)

    def __getattr__(self, name: str) -> Any:
        if name in _BY_BAND:
            return tuple(getattr(member.source, name)[band - 1] for member, band in self._bands)
        return getattr(self._first, name)

    @property
    def members(self) -> list[tuple[Any, int]]:
        """The dataset of each band, and its number there."""
        return [(member.source, band) for member, band in self._bands]

    @property
    def count(self) -> int:
        return len(self._bands)

    @property
    def indexes(self) -> tuple[int, ...]:
        return tuple(range(1, self.count + 1))

    @property
    def colorinterp(self) -> tuple[Any, ...]:
        """A file's only band is data, and so is one that was picked, whatever it is tagged."""
        kinds = [member.source.colorinterp[band - 1] for member, band in self._bands]
        chosen = zip(self._picked, kinds, strict=True)
        return tuple(type(kind).undefined if picked else kind for picked, kind in chosen)

    @property
    def mask_flag_enums(self) -> tuple[list[Any], ...]:
        found = [member.source.mask_flag_enums[band - 1] for member, band in self._bands]
        return tuple([type(flags[0]).per_dataset] if self._masks else flags for flags in found)

    def read(self, bands: int | Sequence[int], window: Window) -> NDArray[Any]:
        """Pixels (C, H, W) of the window, or (H, W) of one band; beyond a raster, its nearest ones."""
        if isinstance(bands, int):
            member, band = self._bands[bands - 1]
            return member.nearest(lambda own: np.asarray(member.source.read(band, window=own)), window)
        return np.stack([self.read(band, window) for band in bands])

    def read_masks(self, band: int, window: Window) -> NDArray[np.uint8]:
        """(H, W) 255 where the band's own raster, and every raster as a whole, holds data."""
        member, own = self._bands[band - 1]
        valid = member.nearest(lambda w: np.asarray(member.source.read_masks(own, window=w)) != 0, window)
        for other in self._members:
            if other.leaves_out:
                valid = valid & other.holds(window)
        return np.where(valid, 255, 0).astype(np.uint8)

    def close(self) -> None:
        for member in self._members:
            member.source.close()


class _Member:
    """One raster, and which of its pixels is nearest to each of the first one's rows and columns."""

    def __init__(self, path: str, source: Any, first: Any, before: str) -> None:
        if source.crs != first.crs:
            raise DataError(f"{path}: has another CRS than {before}; one scene has one. Warp it first.")
        self.source, self._blocks = source, Blocks(source, source.indexes)
        self._whole = source.transform == first.transform and source.shape == first.shape
        across = ~source.transform * first.transform
        if max(abs(across.b) * first.height, abs(across.d) * first.width) > 0.5:
            raise DataError(f"{path}: is turned against {before}; one scene has one grid. Warp it first.")
        self._rows = _nearest(across.e, across.f, first.height)
        self._cols = _nearest(across.a, across.c, first.width)
        self._in_rows = (self._rows >= 0) & (self._rows < source.height)
        self._in_cols = (self._cols >= 0) & (self._cols < source.width)
        if not (self._in_rows.any() and self._in_cols.any()):
            raise DataError(f"{path}: lies beside {before}; bands of one scene share one place.")
        flags = source.mask_flag_enums[0]
        kind = type(flags[0])
        self._masked = kind.per_dataset in flags and kind.alpha not in flags
        covers = self._in_rows.all() and self._in_cols.all()
        self.leaves_out = bool(self._masked or self._blocks.any_absent or not covers)

    def nearest(self, read: Read, window: Window) -> NDArray[Any]:
        """(H, W) of the first one's window, from what `read` gives of this one's."""
        if self._whole:
            return read(window)
        (row0, row1), (col0, col1) = window
        rows = np.clip(self._rows[row0:row1], 0, self.source.height - 1)
        cols = np.clip(self._cols[col0:col1], 0, self.source.width - 1)
        own = (int(rows.min()), int(rows.max()) + 1), (int(cols.min()), int(cols.max()) + 1)
        return read(own)[np.ix_(rows - own[0][0], cols - own[1][0])]

    def holds(self, window: Window) -> NDArray[np.bool_]:
        """(H, W) where the raster reaches, its mask does not say no, and no block is absent."""
        (row0, row1), (col0, col1) = window
        inside = np.logical_and.outer(self._in_rows[row0:row1], self._in_cols[col0:col1])
        return np.asarray(self.nearest(self._own_mask, window) & inside)

    def _own_mask(self, window: Window) -> NDArray[np.bool_]:
        rows, cols = window
        valid = np.ones((rows[1] - rows[0], cols[1] - cols[0]), bool)
        if self._masked:
            valid &= np.asarray(self.source.read_masks(1, window=window)) != 0
        held = self._blocks.without(valid, *rows, *cols)
        return valid if held is None else held


def _nearest(scale: float, shift: float, count: int) -> NDArray[np.int64]:
    """The pixel that holds the centre of each of `count` pixels of another grid."""
    centres = (np.arange(count) + 0.5) * scale + shift
    return np.asarray(np.floor(centres + _EPSILON), dtype=np.int64)

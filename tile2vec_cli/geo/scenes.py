"""Valid pixels of one raster: what a fill value, a mask, an alpha band or an absent block leaves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.absent_blocks import Blocks
from tile2vec_cli.geo.rasters import described, opened, reading

Mask = NDArray[np.bool_]
Pixels = NDArray[Any]
Window = tuple[tuple[int, int], tuple[int, int]]  # half-open rows and columns

_ALPHA_PIXELS = 1 << 22  # looked at at a time


class Scene:
    """An opened raster. Not for two threads at a time: GDAL datasets are not.

    `alpha` says what a band tagged alpha is: "mask", "data", or "auto": a mask where it holds
    nothing but 0 and 255. Near-infrared is often tagged alpha in NAIP files, and a pixel whose
    near-infrared is 0 is then no less valid. A band named in `bands` is data.
    """

    def __init__(
        self,
        path: str,
        source: Any,
        *,
        bands: Sequence[int] | None = None,
        alpha: str = "auto",
        nodata: float | None = None,
    ) -> None:
        self._source = source
        self.raster = described(path, source)
        self.alpha = self._alpha_use(alpha, bands)
        self.bands = self._chosen_bands(bands)
        self.dtype = np.dtype(source.dtypes[self.bands[0] - 1])
        self._check_dtypes()
        self._blocks = Blocks(source, self.bands)
        self._fills = [self._fill_values(band, nodata) for band in self.bands]

    @property
    def path(self) -> str:
        return self.raster.path

    def read(
        self, row0: int, row1: int, col0: int = 0, col1: int | None = None
    ) -> tuple[Pixels, Mask | None]:
        """Pixels (C, H, W) of the window and their mask (H, W), None where all of it is valid.

        A pixel is valid where no band holds nodata, NaN or infinity, and where neither a mask, an
        alpha band nor an absent block (of a sparse TIFF) says otherwise.
        """
        col1 = self.raster.width if col1 is None else col1
        window = ((row0, row1), (col0, col1))
        pixels = self.raw(row0, row1, col0, col1)
        valid: Mask | None = None
        for layer, fills in zip(pixels, self._fills, strict=True):
            for fill in fills:
                valid = _both(valid, layer != fill)
            if layer.dtype.kind == "f":
                valid = _both(valid, np.isfinite(layer))
        if self.alpha == "mask":
            valid = _both(valid, self._read([self.raster.alpha], window)[0] != 0)
        if self.raster.has_mask:
            with reading(self.path, row0, row1):
                valid = _both(valid, self._source.read_masks(1, window=window) != 0)
        valid = self._blocks.without(valid, row0, row1, col0, col1)
        return pixels, None if valid is None or valid.all() else valid

    def raw(self, row0: int, row1: int, col0: int, col1: int) -> Pixels:
        """Pixels (C, H, W) of the window as they are stored, valid or not."""
        return self._read(list(self.bands), ((row0, row1), (col0, col1)))

    def _read(self, bands: list[Any], window: Window) -> Pixels:
        with reading(self.path, *window[0]):
            return np.asarray(self._source.read(bands, window=window))

    def _alpha_use(self, alpha: str, bands: Sequence[int] | None) -> str | None:
        """What the band tagged alpha is taken for: "mask" or "data"; None where there is none to judge."""
        band = self.raster.alpha
        if band is None or (bands is not None and band in bands) or self.raster.count == 1:
            return None
        if alpha != "auto":
            return alpha
        rows = max(self.raster.block[0], _ALPHA_PIXELS // self.raster.width)
        for row in range(0, self.raster.height, rows):
            window = ((row, min(row + rows, self.raster.height)), (0, self.raster.width))
            values = self._read([band], window)
            if not ((values == 0) | (values == 255)).all():
                return "data"
        return "mask"

    def _chosen_bands(self, bands: Sequence[int] | None) -> tuple[int, ...]:
        if bands is None:
            masked = self.raster.alpha if self.alpha == "mask" else None
            return tuple(band for band in range(1, self.raster.count + 1) if band != masked)
        missing = [band for band in bands if band > self.raster.count]
        if missing:
            raise DataError(
                f"{self.path}: has {self.raster.count} bands, no band {missing[0]}. "
                f"Name bands from 1 to {self.raster.count} in --bands."
            )
        return tuple(bands)

    def _check_dtypes(self) -> None:
        found = {self._source.dtypes[band - 1] for band in self.bands}
        if len(found) > 1:
            names = ", ".join(sorted(found))
            raise DataError(f"{self.path}: its bands have types {names}; one type is needed. Choose --bands.")
        if self.dtype.kind not in "uif":
            raise DataError(f"{self.path}: its pixels are {self.dtype}; integer or real pixels are needed.")

    def _fill_values(self, band: int, extra: float | None) -> list[Any]:
        """Values of the band that stand for no data, as scalars of its type."""
        values = []
        for value in (self.raster.nodata[band - 1], extra):
            if value is None or math.isnan(value):
                continue  # NaN is never valid anyway
            if self.dtype.kind == "f":
                values.append(self.dtype.type(value))
            elif value == int(value) and np.iinfo(self.dtype).min <= value <= np.iinfo(self.dtype).max:
                values.append(self.dtype.type(int(value)))
        return list(dict.fromkeys(values))


@contextmanager
def open_scene(
    path: str, *, bands: Sequence[int] | None = None, alpha: str = "auto", nodata: float | None = None
) -> Iterator[Scene]:
    """Open a raster for reading.

    Raises InputError when it does not exist, DataError when it is no raster or has no such bands.
    """
    with opened(path) as source:
        yield Scene(path, source, bands=bands, alpha=alpha, nodata=nodata)


def _both(valid: Mask | None, also: Mask) -> Mask:
    return also if valid is None else np.logical_and(valid, also, out=valid)

"""Valid pixels of one raster: what a fill value, a mask, an alpha band or an absent block leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import fills
from tile2vec_cli.geo.fills import Blocks, Fill, first_foreign
from tile2vec_cli.geo.grid import Floats, Window
from tile2vec_cli.geo.places import from_lonlat
from tile2vec_cli.geo.raster_headers import Raster
from tile2vec_cli.geo.rasters import described, opened, reading
from tile2vec_cli.geo.scene_facts import Facts

Mask = NDArray[np.bool_]
Pixels = NDArray[Any]
_ALPHA_PIXELS = 1 << 22  # looked at at a time


class Scene:
    """An opened raster. Not for two threads at a time: GDAL datasets are not.

    `alpha` says what a band tagged alpha is: "mask", "data", or "auto": a mask where it holds
    nothing but 0 and 255. Near-infrared is often tagged alpha in NAIP files, and a pixel whose
    near-infrared is 0 is then no less valid. A band named in `bands` is data. `scaled` gives pixels as
    float32 with each band's scale and offset applied; what is valid is told by the stored numbers.
    `facts` are what a catalog says of it, `raster` its description, where there is one already.
    """

    def __init__(
        self,
        path: str,
        source: Any,
        *,
        bands: Sequence[int] | None = None,
        alpha: str = "auto",
        nodata: float | None = None,
        scaled: bool = False,
        facts: Facts | None = None,
        raster: Raster | None = None,
    ) -> None:
        self._source = source
        self.raster = raster or described(path, source, facts)
        self.alpha = self._alpha_use(alpha, bands)
        self.bands = self._chosen_bands(bands)
        self._stored = np.dtype(source.dtypes[self.bands[0] - 1])
        self._check_dtypes()
        self._nodata = [_numbers(self.raster.declared[band - 1], nodata) for band in self.bands]
        self._fills = [_fills(values, self._stored) for values in self._nodata]
        self.scaling = tuple(self.raster.scaling[band - 1] for band in self.bands)
        self._scaled = scaled
        if scaled:
            self._check_scaling()
        self._blocks = Blocks(source, self.bands)
        self._held: tuple[Window, tuple[Pixels, Mask | None]] | None = None

    @property
    def path(self) -> str:
        return self.raster.path

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32) if self._scaled else self._stored

    @property
    def nbytes(self) -> int:
        """Of all its pixels."""
        return self.raster.height * self.raster.width * len(self.bands) * self.dtype.itemsize

    @property
    def names(self) -> tuple[str | None, ...]:
        """What the file calls the bands."""
        return tuple(self.raster.descriptions[band - 1] for band in self.bands)

    @property
    def foreign_nodata(self) -> float | None:
        """A nodata value that none of its pixels can hold, and so masks nothing; None: there is none."""
        return first_foreign((value for values in self._nodata for value in values), self._stored)

    def read(
        self, row0: int, row1: int, col0: int = 0, col1: int | None = None
    ) -> tuple[Pixels, Mask | None]:
        """Pixels (C, H, W) of the window and their mask (H, W), None where all of it is valid.

        A pixel is valid where no band holds nodata, NaN or infinity, and where neither a mask, an
        alpha band nor an absent block (of a sparse TIFF) says otherwise. Of a scaled scene invalid
        pixels are NaN.
        """
        col1 = self.raster.width if col1 is None else col1
        window = ((row0, row1), (col0, col1))
        if self._held is not None and self._held[0] == window:
            return self._held[1]
        pixels = self._read(list(self.bands), window)
        valid: Mask | None = None
        for layer, own in zip(pixels, self._fills, strict=True):
            for fill in own:
                valid = _both(valid, ~fill.masks(layer))
            if layer.dtype.kind == "f":
                valid = _both(valid, np.isfinite(layer))
        if self.alpha == "mask":
            valid = _both(valid, self._read([self.raster.alpha], window)[0] != 0)
        if self.raster.has_mask:
            with reading(self.path, row0, row1):
                valid = _both(valid, self._source.read_masks(1, window=window) != 0)
        valid = self._blocks.without(valid, row0, row1, col0, col1)
        if valid is not None and valid.all():
            valid = None
        if self._scaled:
            pixels = self._in_units(pixels)
            if valid is not None:
                pixels[:, ~valid] = np.nan
        return pixels, valid

    @property
    def is_held(self) -> bool:
        return self._held is not None

    def hold(self, row0: int, row1: int) -> None:
        """Read these rows now: `read` then has them when the raster is closed again."""
        self._held = ((row0, row1), (0, self.raster.width)), self.read(row0, row1)

    def raw(self, row0: int, row1: int, col0: int, col1: int) -> Pixels:
        """Pixels (C, H, W) of the window, valid or not: as they are stored, or scaled."""
        pixels = self._read(list(self.bands), ((row0, row1), (col0, col1)))
        return self._in_units(pixels) if self._scaled else pixels

    def _in_units(self, stored: Pixels) -> Pixels:
        """float32: what each band's scale and offset make of stored numbers."""
        units = np.empty(stored.shape, np.float32)
        with np.errstate(over="ignore"):  # fill values may grow too large
            for layer, own, (scale, offset) in zip(stored, units, self.scaling, strict=True):
                own[:] = layer * np.float64(scale) + offset
        return units

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
        if self._stored.kind not in "uif":
            raise DataError(f"{self.path}: its pixels are {self._stored}; integer or real pixels are needed.")

    def _check_scaling(self) -> None:
        for band, (scale, offset) in zip(self.bands, self.scaling, strict=True):
            if not math.isfinite(scale) or not math.isfinite(offset) or scale == 0:
                raise DataError(
                    f"{self.path}: band {band} has scale {scale:g} and offset {offset:g}; --scaled needs "
                    "numbers, and a scale other than 0. Repair them, or leave --scaled out."
                )


@contextmanager
def open_scene(
    path: str,
    *,
    bands: Sequence[int] | None = None,
    alpha: str = "auto",
    nodata: float | None = None,
    scaled: bool = False,
    facts: Facts | None = None,
    raster: Raster | None = None,
) -> Iterator[Scene]:
    """Open a raster for reading.

    Raises InputError when it does not exist, DataError when it is no raster or has no such bands.
    """
    with opened(path, facts) as source:
        chosen = bands if facts is None else facts.chosen(bands)
        how: dict[str, Any] = {"bands": chosen, "alpha": alpha, "nodata": nodata, "scaled": scaled}
        yield Scene(path, source, **how, facts=facts, raster=raster)


def _numbers(*values: float | None) -> list[float]:
    return [value for value in dict.fromkeys(values) if value is not None]


def _fills(values: Iterable[float], dtype: np.dtype[Any]) -> list[Fill]:
    fills = (Fill.of(value, dtype) for value in values)
    return list({fill for fill in fills if fill is not None})


def _both(valid: Mask | None, also: Mask) -> Mask:
    return also if valid is None else np.logical_and(valid, also, out=valid)


def sample(path: str, lonlat: Floats, band: int = 1, alpha: str = "auto") -> tuple[Pixels, Mask]:
    """Values (N,) of a band at the nearest pixel to each of (N, 2) places, and whether each is valid.

    alpha: as for a scene. Reads strips of whole blocks in order, so memory stays bounded and a block is
    decoded once.
    """
    with open_scene(path, bands=(band,), alpha=alpha) as scene:
        raster = scene.raster
        if raster.crs is None:
            raise DataError(f"{path}: has no CRS; labels need one. Assign it with `rio edit-info --crs`.")
        if scene.foreign_nodata is not None:
            fills.remark([f"{scene.foreign_nodata:g} in {path}"], "--label-nodata")
        values = np.zeros(len(lonlat), scene.dtype)
        valid = np.zeros(len(lonlat), bool)
        row, col = _pixels_at(raster, lonlat)
        inside = np.flatnonzero((row >= 0) & (row < raster.height) & (col >= 0) & (col < raster.width))
        strip = max(raster.block[0], (1 << 22) // raster.width, 1)
        strip = -(-strip // raster.block[0]) * raster.block[0]
        inside = inside[np.argsort(row[inside] // strip, kind="stable")]
        numbers = row[inside] // strip
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        for start, stop in zip(starts, np.append(starts, len(inside))[1:], strict=True):
            here = inside[start:stop]
            row0, row1 = int(row[here].min()), int(row[here].max()) + 1
            col0, col1 = int(col[here].min()), int(col[here].max()) + 1
            pixels, mask = scene.read(row0, row1, col0, col1)
            values[here] = pixels[0, row[here] - row0, col[here] - col0]
            valid[here] = True if mask is None else mask[row[here] - row0, col[here] - col0]
    return values, valid


def _pixels_at(raster: Raster, lonlat: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    a, b, c, d, e, f = raster.transform
    middle = a * raster.width / 2 + b * raster.height / 2 + c
    xy = from_lonlat(raster.crs, lonlat, raster.path, middle)
    x, y = xy[:, 0] - c, xy[:, 1] - f
    area = a * e - b * d
    with np.errstate(invalid="ignore"):  # 0 times infinity
        col, row = (e * x - b * y) / area, (a * y - d * x) / area
    # A place on the edge of a pixel must not fall out of it by rounding; unreachable ones are infinite.
    edge = 1e-6
    col = np.where(np.isfinite(col), np.clip(np.floor(col + edge), -1, raster.width), -1)
    row = np.where(np.isfinite(row), np.clip(np.floor(row + edge), -1, raster.height), -1)
    return row.astype(np.int64), col.astype(np.int64)

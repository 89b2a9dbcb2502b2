"""Pixels of tiles that still lie in their scene.

They are read in the strips by which `tile` reads, each of whole rows of tiles (see `strips`). Who
asks in order (embed, baselines, tiles that go to the device for training) has every block of the
scene decoded once. Of a strip of which only some tiles are wanted, just their windows are read
where these, with the blocks around them, come to less than a quarter of the strip.

The strips read last stay in memory, 128 MiB of them, as do some blocks in GDAL's cache; 32 scenes
stay open. Random batches of tiles of few scenes therefore come from memory; of many scenes, each
tile costs the blocks around it, and its scene may have to be opened again.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tile2vec_cli.errors import DataError, InputError, Tile2VecError
from tile2vec_cli.geo import geoparquet, raster_files, rasters
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.scene_facts import Facts
from tile2vec_cli.geo.scenes import Pixels, Scene
from tile2vec_cli.job.resources import usable_cpus
from tile2vec_cli.tiling import strips

_STRIPS_BYTES = 128 << 20
_OPEN_SCENES = 32
_DENSE = 4  # a strip is read whole where the windows wanted of it decode more than a quarter of it


class Held:
    """What is kept of the scenes read last, for all parts of a tile set; used by one thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.readable: set[Path] = set()  # parts that have been opened
        self._scenes: OrderedDict[Path, _Opened] = OrderedDict()
        self._strips: OrderedDict[tuple[Path, int], Pixels] = OrderedDict()

    def __reduce__(self) -> tuple[type[Held], tuple[()]]:
        return Held, ()  # another process begins with nothing

    def opened(self, source: Source) -> _Opened:
        found = self._scenes.get(source.part) or _Opened(source)
        self._scenes[source.part] = found
        self.readable.add(source.part)
        self._scenes.move_to_end(source.part)
        while len(self._scenes) > _OPEN_SCENES:
            self._scenes.popitem(last=False)[1].close()
        return found

    def strip(self, part: Path, number: int) -> Pixels | None:
        key = (part, number)
        if key in self._strips:
            self._strips.move_to_end(key)
        return self._strips.get(key)

    def keep(self, part: Path, number: int, pixels: Pixels) -> None:
        self._strips[part, number] = pixels
        while sum(strip.nbytes for strip in self._strips.values()) > _STRIPS_BYTES and len(self._strips) > 1:
            self._strips.popitem(last=False)


@dataclass(frozen=True)
class Source:
    """The scene that holds the pixels of one part's tiles."""

    part: Path
    shape: tuple[int, int, int, int]  # (N, C, S, S) of the part
    dtype: np.dtype[Any]
    info: dict[str, Any] = field(repr=False)  # part.json
    held: Held = field(repr=False, compare=False)

    def read(self, rows: Ints | slice) -> Pixels:
        """(B, C, S, S) pixels of these tiles of the part; a slice is read in whole strips.

        Raises DataError where the scene is not what it was when its tiles were indexed, InputError
        where it is gone.
        """
        numbers = np.arange(*rows.indices(self.shape[0])) if isinstance(rows, slice) else rows
        with self.held.lock:
            opened = self.held.opened(self)
            out = np.empty((len(numbers), *self.shape[1:]), self.dtype)
            strip_of = opened.strip_of[numbers]
            read = False
            for number in np.unique(strip_of):
                where = np.flatnonzero(strip_of == number)
                strip = self.held.strip(self.part, number)
                read = read or strip is None
                if strip is None and (isinstance(rows, slice) or opened.is_dense(number, len(where))):
                    strip = opened.strip(number)
                    self.held.keep(self.part, number, strip)
                if strip is None:
                    out[where] = opened.windows(numbers[where])
                else:
                    out[where] = opened.cut(number, strip, numbers[where])
            if read:  # it has to have stayed as it was until here
                self.require_unchanged(opened.path)
        return out

    def require_readable(self) -> None:
        """Raise InputError or DataError where pixels of this shape and type cannot be read."""
        with self.held.lock:
            if self.part not in self.held.readable:
                self.held.opened(self)

    def located(self) -> str:
        """Where the scene lies: where it lay, or there as seen from the tile set, if both have moved.

        Whichever is still the same file. Raises InputError and DataError, naming it.
        """
        paths, beside = [str(self.info["source"])], self.info.get("source_relative")
        if isinstance(beside, str) and not is_remote(paths[0]):
            paths.append(os.path.normpath(self.part.parent.parent.resolve() / beside))
        errors: list[Tile2VecError] = []
        for path in paths:
            try:
                self.require_unchanged(path)
            except Tile2VecError as error:
                errors.append(error)
            else:
                return path
        raise next((error for error in errors if isinstance(error, DataError)), errors[0])

    def require_unchanged(self, path: str) -> None:
        """Raise DataError where what lies there is not the scene of which the tiles were indexed."""
        if not raster_files.is_there(path):
            raise InputError(
                f"{path}: no such file; the pixels of part {self.part.name} lie in it. "
                "Put it back, or run `tile2vec tile` on where it lies now."
            )
        found = raster_files.identity(path)
        changed = [key for key in found if found[key] != self.info.get(key)]
        if changed:
            was, now = self.info.get(changed[0]), found[changed[0]]
            raise DataError(
                f"{path}: has changed since its tiles were indexed ({changed[0]} {now}, was {was}); the "
                "pixels that were indexed are needed. Run `tile2vec tile` again."
            )


class _Opened:
    """An open scene, and where the tiles of a part lie in it."""

    def __init__(self, source: Source) -> None:
        """Raises InputError and DataError, the latter too where part.json or the index say what cannot be."""
        self.path = source.located()
        self._size, count = source.shape[-1], source.shape[0]
        index, _ = geoparquet.read(source.part / "tiles.parquet", ["row", "col"])
        self.rows, self.cols = (np.asarray(index[name], dtype=np.int64) for name in ("row", "col"))
        bands = _band_numbers(source)
        facts = Facts.of_json(source.info.get("item"))
        with rasters.environment(self.path):
            self._dataset = rasters.open_dataset(self.path, facts, threads=usable_cpus())
            # The bands are known, and so is what is valid of them: nothing is to be found out.
            scaled = "scaling" in source.info
            how: dict[str, Any] = {"bands": bands, "alpha": "data", "scaled": scaled, "facts": facts}
            self._scene = Scene(self.path, self._dataset, **how)
        raster, dtype = self._scene.raster, self._scene.dtype
        low = min(self.rows.min(initial=0), self.cols.min(initial=0))
        if (
            (len(self.rows), len(bands), dtype) != (count, source.shape[1], source.dtype)
            or low < 0
            or self.rows.max(initial=0) + self._size > raster.height
            or self.cols.max(initial=0) + self._size > raster.width
        ):
            raise DataError(
                f"{source.part}: its tiles are not those of {self.path} ({len(bands)} bands of {dtype}, "
                f"{raster.height} × {raster.width}); the part is damaged. Run `tile2vec tile` again."
            )
        groups = strips.groups(self._scene, np.unique(self.rows), self._size)
        self.strip_of: Ints = np.searchsorted([group[0] for group in groups], self.rows, side="right") - 1
        self._extents = [self._extent(number) for number in range(len(groups))]

    def close(self) -> None:
        self._dataset.close()

    def is_dense(self, number: int, count: int) -> bool:
        """Whether `count` windows of a strip, with the blocks around them, come to a quarter of it."""
        row0, row1, col0, col1 = self._extents[number]
        high, wide = (self._size + block - 1 for block in self._scene.raster.block)
        decoded = min(high, row1 - row0) * min(wide, self._scene.raster.width)
        return _DENSE * count * decoded >= (row1 - row0) * (col1 - col0)

    def strip(self, number: int) -> Pixels:
        """(C, H, W) pixels of the strip, as far as the part has tiles in it."""
        with rasters.environment(self.path):
            return self._scene.raw(*self._extents[number])

    def cut(self, number: int, strip: Pixels, tiles: Ints) -> Pixels:
        """(B, C, S, S) pixels of these tiles of the strip."""
        row0, _, col0, _ = self._extents[number]
        view = sliding_window_view(strip, (self._size, self._size), axis=(1, 2)).transpose(1, 2, 0, 3, 4)
        return np.asarray(view[self.rows[tiles] - row0, self.cols[tiles] - col0])

    def windows(self, tiles: Ints) -> Pixels:
        """(B, C, S, S) pixels of these tiles, each read by itself."""
        size = self._size
        places = zip(self.rows[tiles].tolist(), self.cols[tiles].tolist(), strict=True)
        with rasters.environment(self.path):
            return np.stack([self._scene.raw(row, row + size, col, col + size) for row, col in places])

    def _extent(self, number: int) -> tuple[int, int, int, int]:
        """Half-open rows and columns that hold the part's tiles of the strip."""
        inside = self.strip_of == number
        rows, cols = self.rows[inside], self.cols[inside]
        ends = int(rows.max()) + self._size, int(cols.max()) + self._size
        return int(rows.min()), ends[0], int(cols.min()), ends[1]


def _band_numbers(source: Source) -> list[int]:
    bands = [band.get("band") if isinstance(band, dict) else None for band in source.info["bands"]]
    if not all(type(band) is int and band > 0 for band in bands):
        raise DataError(
            f"{source.part / 'part.json'}: its 'bands' are {bands!r}; numbers from 1 are needed. "
            "Run `tile2vec tile` again."
        )
    return [int(band) for band in bands if band is not None]

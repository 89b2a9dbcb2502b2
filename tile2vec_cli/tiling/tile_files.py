"""One part of a tile set as it lies on disk, and the descriptions beside it, which anyone may have edited."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import geoparquet
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.outputs.parts import dump_json, fingerprint, read_json, sha256_file
from tile2vec_cli.tiling.sources import Held, Source

FORMAT = "tile2vec-tiles/1"
PART_FORMAT = "tile2vec-part/1"
MANIFEST = "manifest.json"
PART = "part.json"
PIXELS = "pixels.npy"
INDEX = ("tile_id", "scene", "row", "col", "valid_share", "datetime", "geometry", "bbox")
DATETIME = pa.field("datetime", pa.timestamp("ms", tz="UTC"))
_CHUNK = 1024  # tiles looked at at a time
_MANIFEST_KEYS = {"settings": dict, "settings_fingerprint": str, "bands": list, "dtype": str}
_PART_KEYS = {
    "scene": str,
    "source": str,
    "settings": str,
    "fingerprint": str,
    "crs": str,
    "tiles": int,
    "blocks": int,
    "skipped": dict,
    "sha256": dict,
    "transform": list,
    "bands": list,
}

Pixels = NDArray[Any]
Scaling = tuple[tuple[float, float], ...]  # scale and offset a band; empty: none are declared
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """One scene's tiles, or a block of them, as they lie on disk."""

    path: Path
    shape: tuple[int, int, int, int]  # (N, C, S, S) of its pixels
    dtype: np.dtype[Any]
    info: dict[str, Any] = field(repr=False)  # part.json
    source: Source | None = field(default=None, repr=False)  # of the pixels; None: they lie in the part

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def scene(self) -> str:
        return str(self.info["scene"])

    @property
    def count(self) -> int:
        return self.shape[0]

    @property
    def fingerprint(self) -> str:
        """Of the tiles' content: the same for the same pixels, whenever and wherever they were cut."""
        return str(self.info["fingerprint"])

    @cached_property
    def pixels(self) -> np.memmap[Any, Any]:
        """(N, C, S, S) as stored, memory-mapped; what is invalid holds what the scene holds there.

        Of a part that has pixels of its own: see `raw` for any part.
        """
        path = self.path / PIXELS
        pixels = _load(path)
        if pixels.shape != self.shape or pixels.dtype != self.dtype:
            raise DataError(
                f"{path}: holds {pixels.dtype} {pixels.shape}; {self.dtype} {self.shape} is needed. "
                "Delete the part and run `tile2vec tile` again."
            )
        return pixels

    def raw(self, rows: Ints | slice) -> Pixels:
        """(B, C, S, S) pixels of these tiles as they were cut, from the part or from the scene."""
        if self.source is None:
            return self.pixels[rows]
        pixels = self.source.read(rows)
        if "scaling" in self.info and self.packed_valid is not None:
            valid = self.valid(np.arange(self.count)[rows])
            pixels[~np.broadcast_to(valid[:, None], pixels.shape)] = np.nan
        return pixels

    def require_readable(self) -> None:
        """Raise InputError or DataError where there are no pixels of this shape and type."""
        if self.source is None:
            self.pixels  # noqa: B018 - compares shape and type with part.json
        else:
            self.source.require_readable()

    @cached_property
    def packed_valid(self) -> NDArray[np.uint8] | None:
        """(N, ceil(S S / 8)) bits of the pixels' validity; None where all are valid."""
        path = self.path / "valid.npy"
        if not path.exists():
            return None
        bits, shape = _load(path), (self.count, -(-(self.shape[-1] ** 2) // 8))
        if bits.shape != shape or bits.dtype != np.uint8:
            raise self._damaged(path.name)
        return bits

    def verify(self) -> None:
        """Raise DataError where the part's files, or its pixels in the scene, are not those that were cut.

        InputError where the scene is gone.
        """
        self._verify_files()
        if self.source is None:
            return
        digest = hashlib.sha256()
        for start in range(0, self.count, _CHUNK):
            digest.update(self.raw(slice(start, start + _CHUNK)).data.cast("B"))
        if digest.hexdigest() != self.info["sha256"].get(PIXELS):
            raise DataError(
                f"{self.info['source']}: its pixels are not those that were indexed, though its size and "
                "date are. Run `tile2vec check --remove` on the tile set, then `tile2vec tile` again."
            )

    def _verify_files(self) -> None:
        wanted = self.info["sha256"]
        if self.source is None:
            self.require_readable()
        for name in sorted({*self._own_files, *(path.name for path in self.path.iterdir())} - {PART}):
            path = self.path / name
            # The header of pixels.npy is written last, so the digest is of what follows.
            skip = self.pixels.offset if name == PIXELS and self.source is None else 0
            if not path.exists() or sha256_file(path, skip) != wanted.get(name):
                raise self._damaged(name)
        if part_fingerprint(self.info) != self.fingerprint:
            raise self._damaged(PART)

    @property
    def _own_files(self) -> set[str]:
        return set(self.info["sha256"]) - (set() if self.source is None else {PIXELS})

    def is_intact(self) -> bool:
        """Whether the files are those that were written, as far as a quick look tells.

        Files that are younger than part.json, which is written last, have been touched and are verified.
        """
        if part_fingerprint(self.info) != self.fingerprint:
            return False
        written = (self.path / PART).stat().st_mtime_ns
        files = {path.name: path.stat().st_mtime_ns for path in self.path.iterdir()}
        if self._own_files <= set(files) and max(files.values()) == written:
            return True
        try:
            self._verify_files()
        except DataError:
            return False
        return True

    def _damaged(self, name: str) -> DataError:
        return DataError(
            f"{self.path / name}: not what was written; the part is damaged. Run `tile2vec tile` again."
        )

    def index(self, columns: Sequence[str] | None = None) -> pa.Table:
        """tile_id, scene, row, col, valid_share, datetime, geometry (WKB), bbox; or these columns only.

        `datetime` is null where it is not known: the file itself has no such column then.
        """
        path, names = self.path / "tiles.parquet", list(INDEX if columns is None else columns)
        # Without any column there would be no rows.
        wanted = [*names, "row"] if names == [DATETIME.name] else names
        table, _ = geoparquet.read(path, wanted, optional=[DATETIME.name])
        if DATETIME.name in names and DATETIME.name not in table.column_names:
            table = table.append_column(DATETIME, pa.nulls(len(table), DATETIME.type))
        return table.select(names)

    def valid(self, rows: Ints) -> Mask:
        """(B, S, S) which pixels of these tiles of the part are valid."""
        side = self.shape[-1]
        if self.packed_valid is None:
            return np.ones((len(rows), side, side), bool)
        bits = np.unpackbits(self.packed_valid[rows], axis=1, count=side * side)
        return bits.reshape(-1, side, side).astype(bool)

    def filled(self, rows: Ints | slice) -> Pixels:
        """(B, C, S, S) pixels of these tiles, with each tile's own mean of a band where it is invalid.

        So a network meets neither fill values nor NaN, and sees nothing special there.
        """
        pixels = self.raw(rows)
        if self.packed_valid is None:
            return pixels
        numbers = np.arange(self.count)[rows]
        valid = self.valid(numbers)
        partly = np.flatnonzero(~valid.all(axis=(1, 2)))
        if self.source is None:
            pixels = np.array(pixels)  # not a view of the map
        pixels[partly] = filled(pixels[partly], valid[partly])
        return pixels


def is_dated(index: pa.Table) -> bool:
    """Whether any tile of an index has a date."""
    return bool(index[DATETIME.name].null_count < len(index))


def _load(path: Path) -> np.memmap[Any, Any]:
    try:
        loaded: np.memmap[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return loaded
    except Exception as error:  # numpy parses the header as Python: what is no header fails in many ways
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"{path}: cannot be read ({reason}). Delete the part and run `tile2vec tile` again."
        ) from error


def filled(pixels: Pixels, valid: Mask) -> Pixels:
    """Pixels (B, C, S, S) with each tile's own mean of a band where `valid` (B, S, S) is not."""
    mask = valid[:, None]
    count = np.maximum(mask.sum(axis=(2, 3), keepdims=True), 1)
    means = np.where(mask, pixels, 0).sum(axis=(2, 3), keepdims=True, dtype=np.float64) / count
    if pixels.dtype.kind in "ui":
        means = np.rint(means)
    return np.where(mask, pixels, means.astype(pixels.dtype))


def part_fingerprint(info: dict[str, Any]) -> str:
    """Of all that part.json says but where and when the scene lay, and so of the tiles.

    They are the same tiles wherever their pixels lie.
    """
    aside = {"fingerprint", "source", "source_relative", "size", "mtime", "etag", "virtual", "item"}
    return fingerprint(dump_json({key: value for key, value in info.items() if key not in aside}))


def read_manifest(path: Path) -> dict[str, Any]:
    """manifest.json of the tile set at `path`. Raises InputError and DataError."""
    found = read_json(path / MANIFEST, FORMAT, _MANIFEST_KEYS)
    size, virtual = found["settings"].get("size"), found["settings"].setdefault("virtual", False)
    bands = len(found["bands"])
    try:
        np.dtype(found["dtype"])
        names = found.get("band_names", [None] * bands)
        sound = type(size) is int and size > 0 and type(virtual) is bool
        sound = sound and type(found["settings"].get("scaled", False)) is bool
        sound = sound and len(names) == bands and all(isinstance(name, str | None) for name in names)
        sound = sound and len(scaling_of(found)) in (0, bands)
    except (TypeError, ValueError):
        sound = False
    if not sound:
        raise DataError(
            f"{path / MANIFEST}: says size {size!r}, dtype {found['dtype']!r}; a {FORMAT} file is needed. "
            "Cut the scenes again."
        )
    return found


def scaling_of(manifest: dict[str, Any]) -> Scaling:
    """Scale and offset that the first scene declares, and that are not applied."""
    return tuple((float(scale), float(offset)) for scale, offset in manifest.get("scaling", ()))


def read_part(folder: Path) -> dict[str, Any]:
    """part.json of the part in `folder`. Raises InputError and DataError."""
    return read_json(folder / PART, PART_FORMAT, _PART_KEYS)


def settings_fingerprint(settings: dict[str, Any]) -> str:
    """Of the settings that decide which tiles there are: not of where their pixels lie."""
    return fingerprint(dump_json({key: value for key, value in settings.items() if key != "virtual"}))


def belongs(info: dict[str, Any], manifest: dict[str, Any]) -> bool:
    """Whether a part was made with the settings of the tile set it lies in."""
    virtual = info.get("virtual", False) is True
    made_alike = info["settings"] == manifest["settings_fingerprint"]
    return bool(made_alike and virtual == manifest["settings"]["virtual"])


def part_of(folder: Path, info: dict[str, Any], manifest: dict[str, Any], held: Held | None = None) -> Part:
    """A part of the tile set of this manifest, of this part.json; `held`: what parts without pixels share."""
    size = int(manifest["settings"]["size"])
    shape, dtype = (int(info["tiles"]), len(manifest["bands"]), size, size), np.dtype(manifest["dtype"])
    virtual = info.get("virtual", False) is True
    source = Source(folder.absolute(), shape, dtype, info, held or Held()) if virtual else None
    return Part(folder, shape, dtype, info, source)

"""A tile set: memory-mapped pixels and an index, part by part. It alone knows where pixels lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tile2vec_cli import geoparquet
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.grid import Floats, Ints, ecef, footprints
from tile2vec_cli.parts import dump_json, fingerprint, read_json, sha256_file
from tile2vec_cli.places import ground_m, to_lonlat

FORMAT = "tile2vec-tiles/1"
PART_FORMAT = "tile2vec-part/1"
MANIFEST = "manifest.json"

Pixels = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """One scene's tiles, or a block of them, as they lie on disk."""

    path: Path
    shape: tuple[int, int, int, int]  # (N, C, S, S) of its pixels
    dtype: np.dtype[Any]
    info: dict[str, Any] = field(repr=False)  # part.json

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
        """(N, C, S, S) as stored, memory-mapped; what is invalid holds what the scene holds there."""
        path = self.path / "pixels.npy"
        pixels = _load(path)
        if pixels.shape != self.shape or pixels.dtype != self.dtype:
            raise DataError(
                f"{path}: holds {pixels.dtype} {pixels.shape}; {self.dtype} {self.shape} is needed. "
                "Delete the part and run `tile2vec tile` again."
            )
        return pixels

    @cached_property
    def packed_valid(self) -> NDArray[np.uint8] | None:
        """(N, ceil(S S / 8)) bits of the pixels' validity; None where all are valid."""
        path = self.path / "valid.npy"
        return _load(path) if path.exists() else None

    def verify(self) -> None:
        """Raise DataError where the part's files are not those that were written."""
        wanted = self.info["sha256"]
        self.pixels  # noqa: B018 - compares shape and type with part.json
        for name in sorted({*wanted, *(path.name for path in self.path.iterdir())} - {"part.json"}):
            path = self.path / name
            # The header of pixels.npy is written last, so the digest is of what follows.
            skip = self.pixels.offset if name == "pixels.npy" else 0
            if not path.exists() or sha256_file(path, skip) != wanted.get(name):
                raise self._damaged(name)
        if part_fingerprint(self.info) != self.fingerprint:
            raise self._damaged("part.json")

    def is_intact(self) -> bool:
        """Whether the files are those that were written, as far as a quick look tells.

        Files that are younger than part.json, which is written last, have been touched and are verified.
        """
        written = (self.path / "part.json").stat().st_mtime_ns
        files = {path.name: path.stat().st_mtime_ns for path in self.path.iterdir()}
        if set(self.info["sha256"]) <= set(files) and max(files.values()) == written:
            return True
        try:
            self.verify()
        except DataError:
            return False
        return True

    def _damaged(self, name: str) -> DataError:
        return DataError(
            f"{self.path / name}: not what was written; the part is damaged. Run `tile2vec tile` again."
        )

    def index(self, columns: Sequence[str] | None = None) -> pa.Table:
        """tile_id, scene, row, col, valid_share, datetime, geometry (WKB), bbox; or these columns only."""
        table, _ = geoparquet.read(self.path / "tiles.parquet", columns)
        return table

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
        pixels = self.pixels[rows]
        if self.packed_valid is None:
            return pixels
        numbers = np.arange(self.count)[rows]
        valid = self.valid(numbers)
        partly = np.flatnonzero(~valid.all(axis=(1, 2)))
        pixels = np.array(pixels)  # not a view of the map
        pixels[partly] = _filled(pixels[partly], valid[partly])
        return pixels


def _load(path: Path) -> np.memmap[Any, Any]:
    try:
        loaded: np.memmap[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return loaded
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"{path}: cannot be read ({reason}). Delete the part and run `tile2vec tile` again."
        ) from error


def _filled(pixels: Pixels, valid: Mask) -> Pixels:
    mask = valid[:, None]
    count = np.maximum(mask.sum(axis=(2, 3), keepdims=True), 1)
    means = np.where(mask, pixels, 0).sum(axis=(2, 3), keepdims=True, dtype=np.float64) / count
    if pixels.dtype.kind in "ui":
        means = np.rint(means)
    return np.where(mask, pixels, means.astype(pixels.dtype))


@dataclass(frozen=True)
class TileSet:
    """An opened tile set. A tile is a row number in the concatenation of its parts."""

    path: Path
    manifest: dict[str, Any] = field(repr=False)
    parts: tuple[Part, ...] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> TileSet:
        """Raises InputError where nothing is, DataError where it is no tile set or holds no tiles."""
        if not path.is_dir():
            raise InputError(f"{path}: no such folder; a tile set is needed. Make one with `tile2vec tile`.")
        manifest = read_json(path / MANIFEST, FORMAT)
        folders = sorted(p for p in (path / "parts").glob("*") if not p.name.startswith("."))
        parts = tuple(open_part(folder, manifest) for folder in folders)
        parts = tuple(part for part in parts if part.info["settings"] == manifest["settings_fingerprint"])
        if not any(part.count for part in parts):
            raise DataError(f"{path}: holds no tiles; at least one is needed. Run `tile2vec tile` again.")
        return cls(path, manifest, parts)

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.manifest["settings"])

    @property
    def bands(self) -> tuple[int, ...]:
        """1-based numbers of the scenes' bands that were cut."""
        return tuple(self.manifest["bands"])

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(str(self.manifest["dtype"]))

    @property
    def size(self) -> int:
        return int(self.settings["size"])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, S, S)"""
        return len(self), len(self.bands), self.size, self.size

    @cached_property
    def offsets(self) -> Ints:
        """(P + 1,) where each part begins in the concatenation."""
        return np.cumsum([0, *(part.count for part in self.parts)], dtype=np.int64)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(*(f"{part.name}={part.fingerprint}" for part in self.parts))

    def pixels(self, ids: Ints) -> Pixels:
        """(B, C, S, S) pixels of the tiles, in the order of `ids`; see `Part.filled` for invalid ones."""
        ids = np.asarray(ids, dtype=np.int64)
        out = np.empty((len(ids), *self.shape[1:]), self.dtype)
        for part, where, rows in self._by_part(ids):
            out[where] = part.filled(rows)
        return out

    def valid(self, ids: Ints) -> Mask:
        """(B, S, S) which pixels are valid in every band."""
        ids = np.asarray(ids, dtype=np.int64)
        out = np.empty((len(ids), self.size, self.size), bool)
        for part, where, rows in self._by_part(ids):
            out[where] = part.valid(rows)
        return out

    def _by_part(self, ids: Ints) -> list[tuple[Part, Ints, Ints]]:
        """For each part that holds some of `ids`: the part, their places in `ids`, their rows in the part."""
        numbers = np.searchsorted(self.offsets, ids, side="right") - 1
        order = np.argsort(numbers, kind="stable")
        present, starts = np.unique(numbers[order], return_index=True)
        groups = np.split(order, starts[1:])[: len(present)]
        return [
            (self.parts[k], where, ids[where] - self.offsets[k])
            for k, where in zip(present, groups, strict=True)
        ]

    def index(self) -> pa.Table:
        """All parts' rows; columns as in `Part.index`."""
        return pa.concat_tables([part.index() for part in self.parts if part.count])

    @cached_property
    def lonlat(self) -> Floats:
        """(N, 2) tile centres, degrees on WGS 84: the centroids of the footprints."""
        return np.concatenate([np.empty((0, 2)), *(_centres(part) for part in self.parts if part.count)])

    @cached_property
    def ecef(self) -> Floats:
        """(N, 3) tile centres in earth-centred coordinates, metres."""
        return ecef(self.lonlat)

    @cached_property
    def side_m(self) -> float:
        """Median ground side of a tile in metres."""
        sides = [_side_m(part) for part in self.parts if part.count]
        counts = [part.count for part in self.parts if part.count]
        return float(np.median(np.repeat(sides, counts)))

    @cached_property
    def scenes(self) -> list[str]:
        return sorted({part.scene for part in self.parts})

    @cached_property
    def scene_codes(self) -> NDArray[np.int32]:
        """(N,) position of each tile's scene in `scenes`."""
        code = {name: number for number, name in enumerate(self.scenes)}
        codes = [code[part.scene] for part in self.parts]
        return np.repeat(codes, [part.count for part in self.parts]).astype(np.int32)

    def positions(self, tile_ids: Sequence[str]) -> Ints:
        """(M,) positions of the tiles of these ids, -1 where there is none."""
        own = pa.concat_arrays([c for p in self.parts for c in p.index()["tile_id"].chunks])
        found = pc.index_in(pa.array(tile_ids, own.type), value_set=own)
        return np.asarray(found.fill_null(-1), dtype=np.int64)


def part_fingerprint(info: dict[str, Any]) -> str:
    """Of all that part.json says but where and when the scene lay, and so of the part's files."""
    aside = {"fingerprint", "source", "size", "mtime", "etag"}
    return fingerprint(dump_json({key: value for key, value in info.items() if key not in aside}))


def open_part(folder: Path, manifest: dict[str, Any]) -> Part:
    """One part of the tile set of this manifest."""
    return part_of(folder, read_json(folder / "part.json", PART_FORMAT), manifest)


def part_of(folder: Path, info: dict[str, Any], manifest: dict[str, Any]) -> Part:
    """The same, where its part.json has been read."""
    size = int(manifest["settings"]["size"])
    shape = (int(info["tiles"]), len(manifest["bands"]), size, size)
    return Part(folder, shape, np.dtype(manifest["dtype"]), info)


def _centres(part: Part) -> Floats:
    return geoparquet.centres(shapely.from_wkb(part.index(["geometry"])["geometry"].to_numpy()))


def _side_m(part: Part) -> float:
    """The ground side of the part's middle tile: the root of its area."""
    table = part.index(["row", "col"])
    middle = part.count // 2
    row, col = (np.array([table[name][middle].as_py()]) for name in ("row", "col"))
    corners = footprints(tuple(part.info["transform"]), row, col, part.shape[-1])[0]
    places = to_lonlat(part.info["crs"], corners, str(part.path))
    across, up = ground_m(places[[0]], places[[1]]), ground_m(places[[1]], places[[2]])
    return float(np.sqrt(across[0] * up[0]))

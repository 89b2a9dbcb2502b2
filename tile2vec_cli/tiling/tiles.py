"""A tile set: pixels, memory-mapped or still in the scenes, and an index, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError, Failure, InputError, Tile2VecError
from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.grid import Floats, Ints, ecef, footprints
from tile2vec_cli.geo.places import ground_m, to_lonlat
from tile2vec_cli.outputs.parts import fingerprint
from tile2vec_cli.tiling.sources import Held
from tile2vec_cli.tiling.tile_files import (
    Mask,
    Part,
    Pixels,
    Scaling,
    belongs,
    part_of,
    read_manifest,
    read_part,
    scaling_of,
)

if TYPE_CHECKING:
    import geopandas

Ids = Ints | NDArray[np.bool_] | Sequence[int] | int
_Read = Callable[[Part, Ints], NDArray[Any]]


@dataclass(frozen=True)
class TileSet:
    """An opened tile set. A tile is a row number in the concatenation of its parts."""

    path: Path
    manifest: dict[str, Any] = field(repr=False)
    parts: tuple[Part, ...] = field(repr=False)
    report: dict[str, Any] = field(default_factory=dict, repr=False)  # of the call of `tile` that made it
    failed: tuple[Failure, ...] = ()  # parts that it lacks, as their descriptions cannot be read

    @classmethod
    def open(cls, path: str | Path, *, strict: bool = True) -> TileSet:
        """Raises InputError where nothing is, DataError where it is not a tile set or holds no tiles.

        strict: also where one of its parts cannot be read.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"{path}: no such folder; a tile set is needed. Make one with `tile2vec tile`.")
        manifest = read_manifest(path)
        folders = sorted(p for p in (path / "parts").glob("*") if not p.name.startswith("."))
        held = Held()
        found, failed = [], []
        for folder in folders:
            try:
                found.append((folder, read_part(folder)))
            except Tile2VecError as error:
                if strict:
                    raise
                failed.append(Failure.of(folder.name, error))
        parts = tuple(part_of(*one, manifest, held) for one in found if belongs(one[1], manifest))
        if not any(part.count for part in parts):
            if failed:
                raise failed[0].error()
            raise DataError(f"{path}: holds no tiles; at least one is needed. Run `tile2vec tile` again.")
        return cls(path, manifest, parts, failed=tuple(failed))

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
    def band_names(self) -> tuple[str | None, ...]:
        """What the scenes call these bands; empty where they call them nothing."""
        return tuple(self.manifest.get("band_names", ()))

    @property
    def is_scaled(self) -> bool:
        """Whether scale and offset of the scenes are applied to the pixels."""
        return bool(self.settings.get("scaled", False))

    @property
    def scaling(self) -> Scaling:
        """Scale and offset a band that the first scene declares, where they are not applied."""
        return scaling_of(self.manifest)

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

    def part_of(self, ids: Ints) -> Ints:
        """(N,) number of the part that holds each tile."""
        return np.searchsorted(self.offsets, ids, side="right") - 1

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(*(f"{part.name}={part.fingerprint}" for part in self.parts))

    def pixels(self, ids: Ids) -> Pixels:
        """(B, C, S, S) pixels of the tiles, in the order of `ids`; see `Part.filled` for invalid ones.

        ids: positions, or (N,) bool. Raises IndexError for tiles that are not there.
        """
        return self._gathered(ids, self.shape[1:], self.dtype, Part.filled)

    def valid(self, ids: Ids) -> Mask:
        """(B, S, S) which pixels are valid in every band; `ids` as for `pixels`."""
        return self._gathered(ids, (self.size, self.size), np.dtype(bool), Part.valid)

    def _gathered(self, ids: Ids, shape: tuple[int, ...], dtype: np.dtype[Any], read: _Read) -> NDArray[Any]:
        ids = self._chosen(ids)
        found = self._by_part(ids)
        out = np.empty((len(ids), *shape), dtype)
        for part, where, rows in found:
            out[where] = read(part, rows)
        return out

    def _chosen(self, ids: Ids) -> Ints:
        """Which tiles are meant: a mask read as numbers would mean the first two, over and over."""
        chosen = np.atleast_1d(np.asarray(ids))
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise IndexError(f"a mask of shape {chosen.shape}; one of ({len(self)},) is needed.")
            return np.flatnonzero(chosen)
        chosen = chosen.astype(np.int64) if not len(chosen) else chosen.astype(np.int64, casting="safe")
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < len(self):
            raise IndexError(f"tiles {chosen.min()} to {chosen.max()}; there are {len(self)}, from 0.")
        return chosen

    def _by_part(self, ids: Ints) -> list[tuple[Part, Ints, Ints]]:
        """For each part that holds some of `ids`: the part, their places in `ids`, their rows in the part."""
        numbers = self.part_of(ids)
        order = np.argsort(numbers, kind="stable")
        present, starts = np.unique(numbers[order], return_index=True)
        groups = np.split(order, starts[1:])[: len(present)]
        for k in present:
            self.parts[k].require_readable()  # before memory is taken for pixels that could not be there
        return [
            (self.parts[k], where, ids[where] - self.offsets[k])
            for k, where in zip(present, groups, strict=True)
        ]

    @cached_property
    def index(self) -> geopandas.GeoDataFrame:
        """A row for each tile, numbered as its pixels are: tile_id, scene, row, col, …, and its footprint."""
        import geopandas

        frame = self.table().drop_columns(["geometry", "bbox"]).to_pandas()
        return geopandas.GeoDataFrame(frame, geometry=self.footprints(), crs="OGC:CRS84")

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All parts' rows; columns as in `Part.index`."""
        return pa.concat_tables([part.index(columns) for part in self.parts if part.count])

    def footprints(self, ids: Ints | slice = slice(None)) -> NDArray[np.object_]:
        """(N,) polygons of the tiles at these positions, in longitude and latitude."""
        return np.asarray(shapely.from_wkb(self.table(["geometry"])["geometry"].to_numpy()[ids]))

    @cached_property
    def lonlat(self) -> Floats:
        """(N, 2) tile centres, degrees on WGS 84: the centroids of the footprints."""
        return np.concatenate([np.empty((0, 2)), *(_centres(part) for part in self.parts if part.count)])

    @cached_property
    def ecef(self) -> Floats:
        """(N, 3) tile centres in earth-centred coordinates, metres."""
        return ecef(self.lonlat)

    @cached_property
    def datetime(self) -> NDArray[np.datetime64]:
        """(N,) when each tile was taken, in milliseconds UTC; NaT where that is not known."""
        naive = pa.timestamp("ms")
        times = [part.index(["datetime"])["datetime"].cast(naive) for part in self.parts if part.count]
        return np.concatenate([np.asarray(column, dtype="datetime64[ms]") for column in times])

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
        own = pa.concat_arrays([c for p in self.parts for c in p.index(["tile_id"])["tile_id"].chunks])
        found = pc.index_in(pa.array(tile_ids, own.type), value_set=own)
        return np.asarray(found.fill_null(-1), dtype=np.int64)


def _centres(part: Part) -> Floats:
    return outlines.centres(shapely.from_wkb(part.index(["geometry"])["geometry"].to_numpy()))


def _side_m(part: Part) -> float:
    """The ground side of the part's middle tile: the root of its area."""
    table = part.index(["row", "col"])
    middle = part.count // 2
    row, col = (np.array([table[name][middle].as_py()]) for name in ("row", "col"))
    corners = footprints(tuple(part.info["transform"]), row, col, part.shape[-1])[0]
    places = to_lonlat(part.info["crs"], corners, str(part.path))
    across, up = ground_m(places[[0]], places[[1]]), ground_m(places[[1]], places[[2]])
    return float(np.sqrt(across[0] * up[0]))

"""One part of a tile set, written whole."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import geoparquet, signed_urls
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.raster_files import identity
from tile2vec_cli.geo.raster_headers import Raster
from tile2vec_cli.geo.scenes import Mask, Pixels, Scene, open_scene
from tile2vec_cli.outputs import parts
from tile2vec_cli.outputs.parts import sha256_file
from tile2vec_cli.outputs.provenance import relative
from tile2vec_cli.tiling import known_scenes, strips
from tile2vec_cli.tiling.planning import Plan
from tile2vec_cli.tiling.strips import Tiles
from tile2vec_cli.tiling.tile_files import DATETIME, PART, PART_FORMAT, PIXELS, part_fingerprint
from tile2vec_cli.workers.work import Advance

_STATS_TILES = 100  # tiles whose sums are taken at a time, so that they stay in the cache


def cut(
    plan: Plan, advance: Advance, *, folder: Path, config: TileConfig, settings: str, aoi: Any
) -> dict[str, Any]:
    """Make one part in `folder` and return its part.json.

    Where the part that is there turns out to hold these very tiles, it stays, and its part.json says where
    and when they were read. `settings` is the fingerprint of the tile set's settings, `aoi` a shapely area
    or None; it advances by windows.
    """
    for address in plan.signed:
        signed_urls.admit(address)
    if plan.before is not None:
        with parts.scratch(folder) as temporary:
            info = _written(plan, temporary, advance, config, settings, aoi, pixels=False)
        if info["fingerprint"] == plan.before:
            parts.write_json(folder / plan.name / PART, info)
            return info
        if plan.rival is not None:
            raise known_scenes.same_name(plan.source, plan.rival)
        advance = partial(_uncounted, advance)
    with parts.new_folder(folder / plan.name) as temporary:
        info = _written(plan, temporary, advance, config, settings, aoi, pixels=not config.virtual)
        (temporary / PART).write_text(parts.dump_json(info), encoding="utf-8")
    return info


def _uncounted(advance: Advance, _windows: int) -> None:
    """For windows that were counted when they were read before: only a signal is looked for."""
    advance(0)


def _written(
    plan: Plan, folder: Path, advance: Advance, config: TileConfig, settings: str, aoi: Any, *, pixels: bool
) -> dict[str, Any]:
    """part.json of the part, whose other files are written to `folder`, with its pixels or without."""
    how = {**config.reading(), "alpha": plan.alpha or config.alpha}
    opened = open_scene(plan.source, **how, facts=plan.facts, raster=plan.raster)
    with opened if plan.held is None else nullcontext(plan.held) as scene:
        part = PartWriter(folder, scene, config, pixels=pixels)
        try:
            found = strips.read(scene, plan.grid, config, aoi, part.skipped, first=plan.first, last=plan.last)
            for tiles, looked_at in found:
                if tiles is not None and len(tiles):
                    part.append(tiles)
                advance(looked_at)
        finally:
            part.close()
        if identity(plan.source) != plan.identity:
            kind = InputError if is_remote(plan.source) else DataError
            raise kind(f"{plan.source}: changed while it was read; it has to stay as it is. Run again.")
        return part.finish(plan, settings)


class PartWriter:
    """Appends tiles to the files of one part."""

    def __init__(self, folder: Path, scene: Scene, config: TileConfig, *, pixels: bool) -> None:
        self.skipped: Counter[str] = Counter()
        self._folder, self._scene, self._config = folder, scene, config
        self._shape = (len(scene.bands), config.size, config.size)
        self._file: BinaryIO | None = None
        if pixels:
            self._file = (folder / PIXELS).open("wb")
            self._write_header(self._file, 0)
        self._digest = hashlib.sha256()
        self._rows: list[Ints] = []
        self._cols: list[Ints] = []
        self._corners: list[Floats] = [np.empty((0, 4, 2))]
        self._shares: list[NDArray[np.float32]] = []
        self._bits: list[NDArray[np.uint8] | None] = []
        self._sums = np.zeros((2, len(scene.bands)))
        self._valid_pixels = 0

    def append(self, tiles: Tiles) -> None:
        data = tiles.pixels.data.cast("B")
        if self._file is not None:
            self._file.write(data)
        self._digest.update(data)
        valid = None if tiles.valid is None or tiles.valid.all() else tiles.valid
        self._bits.append(None if valid is None else np.packbits(valid.reshape(len(tiles), -1), axis=1))
        self._rows.append(tiles.rows)
        self._cols.append(tiles.cols)
        self._corners.append(tiles.corners)
        self._shares.append(tiles.shares)
        for start in range(0, len(tiles), _STATS_TILES):
            some = slice(start, start + _STATS_TILES)
            self._add_sums(tiles.pixels[some], None if valid is None else valid[some])

    def _add_sums(self, tiles: Pixels, valid: Mask | None) -> None:
        values: NDArray[Any] = tiles.astype(np.float32 if tiles.dtype.itemsize == 1 else np.float64)
        if valid is not None:
            values = np.where(valid[:, None], values, 0)
        values = values.reshape(*values.shape[:2], -1)
        self._sums[0] += np.einsum("nck->nc", values).sum(axis=0, dtype=np.float64)
        self._sums[1] += np.einsum("nck,nck->nc", values, values).sum(axis=0, dtype=np.float64)
        self._valid_pixels += int(valid.sum()) if valid is not None else values.shape[0] * values.shape[2]

    def _write_header(self, file: BinaryIO, count: int) -> None:
        # numpy pads the header so that its length does not depend on the first axis.
        header = {"descr": np.lib.format.dtype_to_descr(self._scene.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (count, *self._shape)})

    def close(self) -> None:
        if self._file is not None and not self._file.closed:
            # On an error the file goes anyway; what matters is that it is no longer open.
            with suppress(OSError):
                self._file.close()

    def finish(self, plan: Plan, settings: str) -> dict[str, Any]:
        raster = self._scene.raster
        if not np.isfinite(self._sums).all():
            band = self._scene.bands[int(np.argmin(np.isfinite(self._sums).all(axis=0)))]
            raise DataError(
                f"{raster.path}: the numbers in band {band} are too large to be summed up; they are fill "
                "values perhaps. Name them with --nodata."
            )
        rows, cols = _joined(self._rows, np.int64), _joined(self._cols, np.int64)
        shares = _joined(self._shares, np.float32)
        if self._file is not None:
            with (self._folder / PIXELS).open("r+b") as file:
                self._write_header(file, len(rows))
        if any(bits is not None for bits in self._bits):
            np.save(self._folder / "valid.npy", self._packed_valid())
        table = _index(plan.scene, raster, rows, cols, shares)
        table = geoparquet.with_footprints(table, np.concatenate(self._corners))
        geoparquet.write(self._folder / "tiles.parquet", table)
        others = [self._folder / name for name in ("valid.npy", "tiles.parquet")]
        digests = {path.name: sha256_file(path) for path in others if path.exists()}
        info = {
            "format": PART_FORMAT,
            "scene": plan.scene,
            "source": plan.source,
            **plan.identity,
            "settings": settings,
            "blocks": len(plan.names),
            "tiles": len(rows),
            "skipped": {reason: count for reason, count in self.skipped.items() if count},
            "crs": raster.crs,
            "transform": list(raster.transform),
            "nodata": [_as_json(value) for value in (raster.nodata[band - 1] for band in self._scene.bands)],
            "alpha": self._scene.alpha,
            "bands": [
                {"band": band, "sum": float(total), "sum_of_squares": float(squares)}
                for band, total, squares in zip(self._scene.bands, *self._sums, strict=True)
            ],
            "valid_pixels": self._valid_pixels,
            "sha256": {PIXELS: self._digest.hexdigest(), **digests},
        }
        if plan.facts is not None:
            info["item"] = plan.facts.as_json()
        if self._config.scaled:
            info["scaling"] = [list(pair) for pair in self._scene.scaling]
        if self._config.virtual:
            # Both may move together, so that one of the two paths still leads to the scene.
            tile_set = self._folder.parent.parent
            info |= {"virtual": True, "source_relative": relative(plan.source, tile_set)}
        return {**info, "fingerprint": part_fingerprint(info)}

    def _packed_valid(self) -> NDArray[np.uint8]:
        full = np.packbits(np.ones(self._config.size**2, bool))
        return np.concatenate(
            [
                np.broadcast_to(full, (len(rows), len(full))) if bits is None else bits
                for bits, rows in zip(self._bits, self._rows, strict=True)
            ]
        )


def _joined(pieces: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *pieces])


def _index(scene: str, raster: Raster, rows: Ints, cols: Ints, shares: NDArray[np.float32]) -> pa.Table:
    ids = [f"{scene}/{row}/{col}" for row, col in zip(rows.tolist(), cols.tolist(), strict=True)]
    table = pa.table(
        {
            "tile_id": pa.array(ids, pa.string()),
            "scene": pa.array([scene] * len(ids), pa.string()),
            "row": pa.array(rows, pa.int32()),
            "col": pa.array(cols, pa.int32()),
            "valid_share": pa.array(shares, pa.float32()),
            "datetime": pa.array([raster.datetime] * len(ids), DATETIME.type),
        }
    )
    # A column of nulls would stop readers that look for a date in each row, such as torchgeo's.
    return table.drop_columns("datetime") if raster.datetime is None else table


def _as_json(value: float | None) -> float | str | None:
    return str(value) if value is not None and not np.isfinite(value) else value

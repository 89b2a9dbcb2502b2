"""The tiles nearest to something, and from a search to files: a table, a contact sheet and a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tile2vec_cli import figures
from tile2vec_cli.embedding.embeddings import Embeddings, TileId
from tile2vec_cli.errors import UsageError
from tile2vec_cli.geo import feature_files, outlines
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.provenance import content
from tile2vec_cli.outputs.records import Keys, Maker, Output, Report
from tile2vec_cli.views import contact_sheets, exemplars, value_maps
from tile2vec_cli.views.contact_sheets import SHOWN, Group, Source
from tile2vec_cli.views.value_maps import Maps

Row = dict[str, Any]
HEADER = ("rank", "tile_id", "distance", "longitude", "latitude")


@dataclass(frozen=True)
class Near:
    """One tile of the result."""

    tile_id: TileId
    distance: float
    lonlat: tuple[float, float]
    geometry: Any  # shapely, in lon/lat


def nearest(embeddings: Embeddings, distance: Floats, top: int) -> tuple[Near, ...]:
    """The `top` tiles of the least distance (N,), nearest first; infinite for what is left out."""
    bound = np.partition(distance, top - 1)[top - 1] if len(distance) > top else np.inf
    rows = np.flatnonzero((distance <= bound) & np.isfinite(distance))
    ids = embeddings.ids(rows)
    picked = sorted(range(len(rows)), key=lambda one: (distance[rows[one]], exemplars.order(ids[one])))[:top]
    rows, ids = rows[picked], [ids[one] for one in picked]
    geometry = embeddings.shapes(rows)
    return tuple(
        Near(tile_id, float(away), (float(lon), float(lat)), shape)
        for tile_id, away, (lon, lat), shape in zip(
            ids, distance[rows], outlines.centres(geometry), geometry, strict=True
        )
    )


# --- as rows and pictures ----------------------------------------------------------------------


def cells(row: Row) -> list[object]:
    """A row as people read it: ids and degrees as text, for numbers have four digits there, which is a
    hundred metres."""
    place = (f"{row['longitude']:.6f}", f"{row['latitude']:.6f}")
    return [row["rank"], str(row["tile_id"]), row["distance"], *place]


def rows(near: Sequence[Near]) -> list[Row]:
    return [
        {
            "rank": rank,
            "tile_id": one.tile_id,
            "distance": one.distance,
            "longitude": one.lonlat[0],
            "latitude": one.lonlat[1],
        }
        for rank, one in enumerate(near, 1)
    ]


def batch(rows: Sequence[Row], near: Sequence[Near]) -> feature_files.Batch:
    """The rows, each with the footprint of its tile."""
    geometry = np.array([one.geometry for one in near], dtype=object)
    return pa.Table.from_pylist(list(rows)), geometry


def group(heading: str, near: Sequence[Near], source: Source) -> Group:
    """The first of them, with their ranks and distances."""
    near = near[:SHOWN]
    captions = [f"{rank}   d = {one.distance:#.3g}".rstrip(".") for rank, one in enumerate(near, 1)]
    return source.group(heading, [one.tile_id for one in near], captions)


# --- files -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """What a search came to."""

    table: feature_files.Batch
    keys: Keys  # of the report
    groups: Callable[[Source], list[Group]]  # of the contact sheet
    maps: Maps | None = None  # where they are asked for


@dataclass(frozen=True)
class Outputs:
    """Where a search goes: a table by its suffix, a picture of the tiles' pixels, a map of all tiles."""

    out: Path | None = None
    tiles: Path | None = None
    picture: Path | None = None
    rgb: tuple[int, ...] | None = None
    overwrite: bool = False
    raster: Path | None = None

    def __post_init__(self) -> None:
        only_maps = self.raster is not None and self.picture is None
        if not only_maps and (self.tiles is None) != (self.picture is None):
            raise UsageError("--picture and --tiles: each needs the other. Give both or neither.")


def run(
    command: str,
    settings: Keys,
    inputs: Mapping[str, records.Input],
    outputs: Outputs,
    find: Callable[[], Finding],
) -> Report:
    """Search, unless all outputs are there and made from these inputs with these settings.

    Raises UsageError for an output that cannot be meant, InputError and DataError for what cannot be read
    or used, DataError where an output was made otherwise, OutputError where it cannot be written.
    """
    wanted: list[tuple[Output, Callable[[Finding], Mapping[Path, Maker]]]] = []
    out, tiles, picture, raster = outputs.out, outputs.tiles, outputs.picture, outputs.raster
    known: dict[str, str | None] = {}
    if out or picture or raster:  # taken once, for all of them
        known = {name: content(source) for name, source in inputs.items() if source is not None}
    if out is not None:
        feature_files.require_suffix(out)
        wanted.append(
            (
                records.output(out, command, settings, inputs, **known),
                lambda found: {out: lambda path: feature_files.write(path, [found.table])},
            )
        )
    source = None if tiles is None else Source.of(tiles, outputs.rgb)
    read = {**inputs, "tiles": tiles}
    if source is not None:
        known["tiles"] = source.tiles.fingerprint
    if picture is not None and source is not None:
        figures.require_format("--picture", picture)
        more = {**settings, "rgb": source.bands}
        wanted.append(
            (
                records.output(picture, command, more, read, **known),
                lambda found: {picture: lambda path: contact_sheets.write(path, found.groups(source))},
            )
        )
    if raster is not None:
        if not value_maps.is_map(raster):
            raise UsageError(f"--raster {raster}: is no map; needs {', '.join(value_maps.SUFFIXES)}.")
        wanted.append(
            (
                records.output(raster, command, settings, read, **known),
                lambda found: {} if found.maps is None else found.maps.makers(raster),
            )
        )
    before = [records.current(output, outputs.overwrite) for output, _ in wanted]
    keys = records.joined(before)
    up_to_date = keys is not None
    if keys is None:
        found = find()
        keys = dict(found.keys)
        for (output, makers), own in zip(wanted, before, strict=True):
            files = makers(found)
            if value_maps.is_map(output.path):
                keys["maps"] = [file.name for file in files]
            if own is None:
                records.write(output, files, keys, outputs.overwrite)
    written = tuple(file for output, _ in wanted for file in value_maps.files(output, keys))
    return Report(keys, written, up_to_date)

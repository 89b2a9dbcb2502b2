"""A search for similar tiles from files to files: a table of them, and a contact sheet.

Beside each output lies OUTPUT.json, which says what it was made from: CSV has no place for that, and
so all kinds are told up to date in one way. It is written before its output, with the output's
fingerprint; an output without it, or of another fingerprint, is somebody else's.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from tile2vec_cli import contact_sheets, geoparquet, parts, similarity
from tile2vec_cli.config import SimilarConfig
from tile2vec_cli.contact_sheets import Group
from tile2vec_cli.errors import DataError, OutputError, Tile2VecError, UsageError
from tile2vec_cli.parts import Progress, silent
from tile2vec_cli.provenance import content, relative
from tile2vec_cli.similarity import Found, TileId
from tile2vec_cli.tiles import TileSet

FORMAT = "tile2vec-similar/1"

_SHOWN = 100  # nearest tiles on a contact sheet at most, and a tenth of that of either kind of examples

Keys = dict[str, Any]
Writer = Callable[[Path, Found], None]


@dataclass(frozen=True)
class Report:
    """What was found, as JSON, and the files that hold it."""

    keys: Keys
    files: tuple[Path, ...]
    up_to_date: bool


@dataclass(frozen=True)
class _Output:
    path: Path
    made_from: Keys
    write: Writer

    @property
    def record(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")


def run(
    embeddings: Path,
    config: SimilarConfig,
    *,
    out: Path | None = None,
    tiles: Path | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Report:
    """Find the tiles; write what is not up to date of `out` (by its suffix) and of `picture`.

    Raises UsageError for an output that cannot be meant, InputError and DataError for what cannot be read
    or used, DataError where an output was made otherwise, OutputError where it cannot be written.
    """
    outputs = _outputs(embeddings, config, out, tiles, picture)
    files = tuple(output.path for output in outputs)
    found_keys = [_current(output, overwrite) for output in outputs]
    if outputs and all(keys is not None for keys in found_keys):
        return Report(found_keys[0] or {}, files, True)
    found = similarity.search(embeddings, config, on_progress)
    keys = _keys(found)
    for output, current in zip(outputs, found_keys, strict=True):
        if current is None:
            _write(output, found, keys)
    return Report(keys, files, False)


def _keys(found: Found) -> Keys:
    similar = [
        {
            "rank": rank,
            "tile_id": one.tile_id,
            "distance": one.distance,
            "longitude": one.lonlat[0],
            "latitude": one.lonlat[1],
        }
        for rank, one in enumerate(found.near, 1)
    ]
    return {
        "similar": similar,
        "examples": list(found.examples),
        "counter_examples": list(found.counter_examples),
        "ruled_out": found.ruled_out,
    }


# --- outputs ---------------------------------------------------------------------------------


def _outputs(
    embeddings: Path, config: SimilarConfig, out: Path | None, tiles: Path | None, picture: Path | None
) -> list[_Output]:
    for path in filter(None, (out, picture)):
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; a file is written here. Give it another name.")
        if embeddings.resolve() in (path.resolve(), path.resolve().parent):
            raise UsageError(f"{path}: lies where the embeddings do; a place of its own is needed.")
    if out is None and picture is None:
        return []
    found = []
    state = content(str(embeddings))

    def made_from(path: Path, **more: Any) -> Keys:
        settings = {"embeddings": relative(str(embeddings), path.parent), **config.settings(), **more}
        return {"settings": json.loads(json.dumps(settings)), "content": {"embeddings": state}}

    if out is not None:
        if out.suffix.lower() not in WRITERS:
            raise UsageError(f"--out {out}: its suffix names no format; needs {', '.join(WRITERS)}.")
        found.append(_Output(out, made_from(out), WRITERS[out.suffix.lower()]))
    if picture is not None and tiles is not None:
        if picture.suffix.lower() != ".png":
            raise UsageError(f"--picture {picture}: a contact sheet is a PNG; needs a name ending in .png.")
        tile_set = TileSet.open(tiles)
        bands = _bands(tile_set, config)
        more = {"tiles": relative(str(tiles), picture.parent), "rgb": bands}
        wanted = made_from(picture, **more)
        wanted["content"]["tiles"] = tile_set.fingerprint
        found.append(_Output(picture, wanted, lambda path, near: _picture(path, near, tile_set, bands)))
    return found


def _current(output: _Output, overwrite: bool) -> Keys | None:
    """What the output's record says was found, where the output is up to date; None where it is not.

    Raises DataError where the output was made otherwise and is not to be replaced.
    """
    path = output.path
    record = _record(output.record)
    if not (record or overwrite) and output.record.exists():
        raise _unrelated(output.record)
    if not path.exists():
        return None
    is_ours = record.get("sha256") == parts.sha256_file(path)
    if overwrite and not (is_ours and record["made_from"] == output.made_from):
        return None
    if not is_ours:
        raise _unrelated(path)
    parts.require_same_settings(path, record["made_from"]["settings"], output.made_from["settings"])
    return dict(record["found"]) if record["made_from"] == output.made_from else None


def _unrelated(path: Path) -> DataError:
    return DataError(
        f"{path}: exists and is not what `similar` wrote; nothing else is replaced. "
        "Choose another output, or --overwrite to replace it."
    )


def _record(path: Path) -> Keys:
    """{} where it is missing or none of ours: then nothing tells that the output is."""
    try:
        return parts.read_json(path, FORMAT)
    except Tile2VecError:
        return {}


def _write(output: _Output, found: Found, keys: Keys) -> None:
    """The old output goes first and the new one comes last: wherever this ends, it can be run again."""
    parts.make_folder(output.path.parent)
    parts.sweep(output.path.parent)
    with parts.new_file(output.path) as path:
        output.write(path, found)
        parts.remove(output.path)
        record = {
            "format": FORMAT,
            "made_from": output.made_from,
            "sha256": parts.sha256_file(path),
            "found": keys,
        }
        parts.write_json(output.record, record)


# --- formats ---------------------------------------------------------------------------------


def _geoparquet(path: Path, found: Found) -> None:
    table = pa.Table.from_pylist(_keys(found)["similar"])
    geometry = np.array([one.geometry for one in found.near], dtype=object)
    geoparquet.write(path, geoparquet.with_shapes(table, geometry))


def _geojson(path: Path, found: Found) -> None:
    features = [
        {"type": "Feature", "properties": row, "geometry": shapely.geometry.mapping(one.geometry)}
        for row, one in zip(_keys(found)["similar"], found.near, strict=True)
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _csv(path: Path, found: Found) -> None:
    rows = _keys(found)["similar"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


WRITERS: dict[str, Writer] = {".parquet": _geoparquet, ".geojson": _geojson, ".csv": _csv}


# --- the picture -----------------------------------------------------------------------------


def _bands(tiles: TileSet, config: SimilarConfig) -> list[int]:
    """1-based numbers, in the tile set, of the bands that are shown: three, or one for grey."""
    count = len(tiles.bands)
    chosen = list(config.rgb or ((1, 2, 3) if count >= 3 else (1,)))
    if max(chosen) > count:
        raise DataError(
            f"{tiles.path}: holds {count} bands; --rgb asks for band {max(chosen)}. Choose others."
        )
    return chosen


def _picture(path: Path, found: Found, tiles: TileSet, bands: list[int]) -> None:
    few = _SHOWN // 10
    near = found.near[:_SHOWN]

    def group(heading: str, ids: list[TileId], captions: list[str], colour: str = "") -> Group:
        return Group(heading, _pixels(tiles, ids, bands), captions, colour)

    groups = []
    for heading, ids, colour in (
        ("Example", found.examples[:few], "blue"),
        ("Counter-example", found.counter_examples[:few], "orange"),
    ):
        if ids:
            plural = "s" * (len(ids) > 1)
            groups.append(group(heading + plural, list(ids), [""] * len(ids), colour))
    captions = [f"{rank}   d = {one.distance:#.3g}".rstrip(".") for rank, one in enumerate(near, 1)]
    groups.append(group("Nearest tiles", [one.tile_id for one in near], captions))
    contact_sheets.write(path, groups)


def _pixels(tiles: TileSet, ids: list[TileId], bands: list[int]) -> Any:
    positions = tiles.positions([str(tile_id) for tile_id in ids])
    for tile_id, position in zip(ids, positions, strict=True):
        if position < 0:
            raise DataError(
                f"{tiles.path}: holds no tile {tile_id}; the tile set that was embedded is needed. "
                "Give that one with --tiles."
            )
    return tiles.pixels(positions)[:, [band - 1 for band in bands]]

"""Triplets: an anchor, a neighbor within its neighborhood and a distant tile beyond it.

Jean et al. 2019, "Tile2Vec: Unsupervised representation learning for spatially distributed data"
(arXiv:1805.02855), section 3.1; here the distant tile does lie beyond, which the published code
does not check.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import TripletConfig
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo import geoparquet
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.outputs.parts import Progress, is_version_of, require_format, silent
from tile2vec_cli.outputs.stamps import Stamp, refusal
from tile2vec_cli.tiling.shells import Shell, distance_m, nearest_m
from tile2vec_cli.tiling.tiles import TileSet

FORMAT = "tile2vec-triplets/1"
COLUMNS = ("anchor", "neighbor", "distant")
_KEY = "tile2vec"  # of the footer
_HEADER_KEYS = {"settings": dict, "asked": dict, "parts": list}
_DRAWN_AT_ONCE = 65_536  # what the processor's cache holds


@dataclass(frozen=True)
class Triplets:
    """T triplets and what they were drawn from."""

    ids: Ints = field(repr=False)  # (T, 3) anchor, neighbor, distant: positions in the tile set
    neighbor_m: NDArray[np.float32] = field(repr=False)  # (T,) metres from the anchor
    distant_m: NDArray[np.float32] = field(repr=False)  # (T,)
    settings: dict[str, Any]  # neighborhood_m, distant_min_m, … as used
    asked: dict[str, Any] = field(repr=False)  # the same as asked for; None: the default
    parts: tuple[tuple[str, str, int], ...] = field(repr=False)  # name, fingerprint and count of each part
    side_m: float  # median ground side of a tile
    anchors_without_neighbor: int
    anchors_without_distant: int  # tiles that have a neighbor and still are no anchors
    path: Path | None = None  # None: not written
    report: dict[str, Any] = field(default_factory=dict, repr=False)  # of the call that drew them

    @classmethod
    def open(cls, path: str | Path) -> Triplets:
        """A file's triplets, as they were drawn. Raises InputError and DataError."""
        return replace(read(Path(path)), path=Path(path))

    def __len__(self) -> int:
        return len(self.ids)


def resolve(config: TripletConfig, side_m: float) -> dict[str, Any]:
    """The settings with their defaults for tiles of this side. Raises UsageError where they clash."""
    settings = config.settings()
    if settings["neighborhood_m"] is None:
        settings["neighborhood_m"] = 2 * side_m
    if settings["distant_min_m"] is None:
        settings["distant_min_m"] = settings["neighborhood_m"]
    most, least = settings["distant_max_m"], settings["distant_min_m"]
    if most is not None and most <= least:
        raise UsageError(f"--distant-max {most:g}: needs to exceed --distant-min ({least:g} m).")
    return settings


def draw(tiles: TileSet, config: TripletConfig, on_progress: Progress = silent, workers: int = 1) -> Triplets:
    """Draw `config.count` triplets.

    Anchors are uniform over the tiles that have a neighbor and a distant; neighbors uniform over
    the anchor's neighborhood; distants uniform over all tiles that qualify. Drawn with replacement.
    `workers` threads look for neighbors; they do not change what is drawn.
    Raises DataError when no tile has a neighbor, or none that has one has a distant.
    """
    settings = resolve(config, tiles.side_m)
    if len(tiles) < 3:
        raise DataError(f"{tiles.path}: holds {len(tiles)} tiles; a triplet needs three. Add scenes.")
    near = Shell(tiles.ecef, tiles.scene_codes, up_to_m=settings["neighborhood_m"], rule=config.neighbors)
    far = Shell(
        tiles.ecef,
        tiles.scene_codes,
        above_m=settings["distant_min_m"],
        up_to_m=np.inf if config.distant_max_m is None else config.distant_max_m,
    )
    nearest = nearest_m(near.places, near.scenes, near.rule, near.up_to_m, workers)
    with_neighbor = np.flatnonzero(nearest <= near.up_to_m)
    if not len(with_neighbor):
        raise _no_neighbor(tiles, near, nearest)
    rng = np.random.default_rng(config.seed)
    has_distant = far.pick(rng, with_neighbor) >= 0
    anchors = with_neighbor[has_distant]
    if not len(anchors):
        raise _no_distant(tiles, far, with_neighbor)

    ids = np.empty((config.count, 3), dtype=np.int64)
    away = np.empty((config.count, 2), dtype=np.float32)
    for start in range(0, config.count, _DRAWN_AT_ONCE):
        stop = min(start + _DRAWN_AT_ONCE, config.count)
        anchor = anchors[rng.integers(len(anchors), size=stop - start)]
        neighbor, distant = near.pick(rng, anchor), far.pick(rng, anchor)
        ids[start:stop] = np.column_stack([anchor, neighbor, distant])
        away[start:stop, 0] = _stored_m(near, anchor, neighbor)
        away[start:stop, 1] = _stored_m(far, anchor, distant)
        on_progress(stop, config.count)
    return Triplets(
        ids,
        away[:, 0],
        away[:, 1],
        settings,
        config.settings(),
        _parts(tiles),
        tiles.side_m,
        anchors_without_neighbor=len(tiles) - len(with_neighbor),
        anchors_without_distant=len(with_neighbor) - len(anchors),
    )


def _stored_m(shell: Shell, anchors: Ints, others: Ints) -> NDArray[np.float32]:
    """Distances as float32, rounded so that they still lie in the shell."""
    places = shell.places.take(anchors, axis=0), shell.places.take(others, axis=0)
    away = distance_m(*places).astype(np.float32)
    exact = away.astype(np.float64)
    away = np.where(exact > shell.up_to_m, np.nextafter(away, np.float32(0)), away)
    return np.where(exact <= shell.above_m, np.nextafter(away, np.float32(np.inf)), away)


def _parts(tiles: TileSet) -> tuple[tuple[str, str, int], ...]:
    return tuple((part.name, part.fingerprint, part.count) for part in tiles.parts)


def _no_neighbor(tiles: TileSet, near: Shell, nearest: Floats) -> DataError:
    whose = {"any": "", "same-scene": " of the same scene", "other-scene": " of another scene"}[near.rule]
    found = f"no tile has another{whose} within {near.up_to_m:g} m"
    if len(tiles.scenes) == 1 and near.rule == "other-scene":
        return DataError(
            f"{tiles.path}: holds one scene only; --neighbors other-scene needs two. Use any or same-scene."
        )
    if np.isfinite(nearest).any():
        found += f" (the nearest two are {nearest.min():.6g} m apart)"
    return DataError(f"{tiles.path}: {found}; an anchor needs a neighbor. Raise --neighborhood.")


def _no_distant(tiles: TileSet, far: Shell, anchors: Ints) -> DataError:
    beyond = f"more than {far.above_m:g} m"
    if np.isfinite(far.up_to_m):
        beyond += f" and at most {far.up_to_m:g} m"
    return DataError(
        f"{tiles.path}: no tile lies {beyond} from one that has a neighbor (the farthest lies about "
        f"{_farthest_m(far.places, anchors):.6g} m away); an anchor needs a distant. "
        f"{'Raise --distant-max' if np.isfinite(far.up_to_m) else 'Lower --distant-min'}, or add scenes."
    )


def _farthest_m(places: Floats, anchors: Ints) -> float:
    """About the largest distance of a tile from an anchor: among those outermost in 26 directions."""
    directions = np.array([d for d in np.ndindex(3, 3, 3) if d != (1, 1, 1)]) - 1.0
    outermost = np.unique((places @ directions.T).argmax(axis=0))
    return max(float(distance_m(places[anchors], places[tile]).max()) for tile in outermost)


# --- the file ----------------------------------------------------------------------------------


def save(path: Path, triplets: Triplets) -> None:
    """Write to the very path: for whole-or-absent output give it a temporary one (parts.new_file)."""
    header = {
        "format": FORMAT,
        "settings": triplets.settings,
        "asked": triplets.asked,
        "side_m": triplets.side_m,
        "anchors_without_neighbor": triplets.anchors_without_neighbor,
        "anchors_without_distant": triplets.anchors_without_distant,
        "parts": [
            {"name": name, "fingerprint": fingerprint, "count": count}
            for name, fingerprint, count in triplets.parts
        ],
    }
    columns = [*triplets.ids.T, triplets.neighbor_m, triplets.distant_m]
    names = [*COLUMNS, "neighbor_m", "distant_m"]
    table = pa.table([pa.array(np.ascontiguousarray(column)) for column in columns], names=names)
    table = table.replace_schema_metadata({_KEY: json.dumps(header, allow_nan=False)})
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def read(path: Path) -> Triplets:
    """Read a triplets file as it was drawn. Raises InputError and DataError."""
    header = _header(path)
    table, _ = geoparquet.read(path)
    try:
        ids = np.column_stack([np.asarray(table[name], dtype=np.int64) for name in COLUMNS])
        parts = tuple((str(p["name"]), str(p["fingerprint"]), int(p["count"])) for p in header["parts"])
        found = Triplets(
            ids,
            np.asarray(table["neighbor_m"], dtype=np.float32),
            np.asarray(table["distant_m"], dtype=np.float32),
            dict(header["settings"]),
            dict(header["asked"]),
            parts,
            float(header["side_m"]),
            int(header["anchors_without_neighbor"]),
            int(header["anchors_without_distant"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error}); a {FORMAT} file is needed. Draw it again.") from error
    total = sum(count for _, _, count in parts)
    if len(ids) == 0 or ids.min() < 0 or ids.max() >= total:
        raise DataError(f"{path}: names tiles outside its {total} tiles, or none. Draw it again.")
    return found


def load(path: Path, tiles: TileSet) -> Triplets:
    """Read a triplets file; its ids become positions in the tile set as it is now.

    Raises InputError and DataError; the latter too where a part has changed or is missing.
    """
    found = read(path)
    now = {part.name: (part, start) for part, start in zip(tiles.parts, tiles.offsets, strict=False)}
    counts = [count for _, _, count in found.parts]
    shifts = []
    for (name, fingerprint, count), start in zip(found.parts, np.cumsum([0, *counts]), strict=False):
        if name not in now:
            raise DataError(
                f"{path}: drawn from part {name}, which {tiles.path} does not hold; all parts are needed. "
                "Draw the triplets again."
            )
        part, new_start = now[name]
        if (part.fingerprint, part.count) != (fingerprint, count):
            raise DataError(
                f"{path}: drawn from part {name} as it was before it changed in {tiles.path}; the same tiles "
                "are needed. Draw the triplets again."
            )
        shifts.append(new_start - start)
    which = np.searchsorted(np.cumsum(counts), found.ids, side="right")
    moved = {**vars(found), "ids": found.ids + np.array(shifts, dtype=np.int64)[which]}
    return Triplets(**{**moved, "parts": _parts(tiles)})


def is_current(path: Path, tiles: TileSet, config: TripletConfig, *, overwrite: bool = False) -> bool:
    """Whether the file at `path` is what `draw` would make now; False where the tile set has changed.

    Raises DataError where the file was made with other settings or is none of ours, unless it is to
    be overwritten then.
    """
    if not path.exists():
        return False
    settings, asked = resolve(config, tiles.side_m), config.settings()
    try:
        header = _header(path)
    except DataError as error:
        if overwrite:
            return False
        raise refusal(f"{path}: exists and holds no triplets; only triplets are replaced.") from error
    # A default follows the tile set: where neither run set a value, it is the same setting.
    default = {key for key, value in asked.items() if value is None and header["asked"].get(key, "") is None}
    before, wanted = (
        {key: value for key, value in found.items() if key not in default}
        for found in (header["settings"], settings)
    )
    drawn_from = tuple((p["name"], p["fingerprint"], p["count"]) for p in header["parts"])
    was = Stamp(before, contents={"tiles": drawn_from})
    return Stamp(wanted, contents={"tiles": _parts(tiles)}).stays(path, was, overwrite)


def is_triplets(path: Path) -> bool:
    """Whether a Parquet file holds triplets. Raises InputError and DataError where it cannot be read."""
    return f'"{FORMAT.partition("/")[0]}/' in geoparquet.read_metadata(path).get(_KEY, "")


def _header(path: Path) -> dict[str, Any]:
    try:
        header = json.loads(geoparquet.read_metadata(path).get(_KEY, "null"))
    except ValueError:
        header = None
    if isinstance(header, dict) and is_version_of(header.get("format"), FORMAT):
        require_format(path, header["format"], FORMAT)
    else:
        raise DataError(
            f"{path}: not a {FORMAT} file; triplets are needed. Make them with `tile2vec sample-triplets`."
        )
    if not all(isinstance(header.get(key), kind) for key, kind in _HEADER_KEYS.items()):
        raise DataError(f"{path}: its header is damaged; a {FORMAT} file is needed. Draw it again.")
    return header

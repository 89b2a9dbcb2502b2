"""Changes from files to files: tables, maps and a contact sheet of the places that changed most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tile2vec_cli import figures
from tile2vec_cli.config.views import ChangeConfig
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo import feature_files
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.provenance import content
from tile2vec_cli.outputs.records import Keys, Maker, Output, Report
from tile2vec_cli.views import changes, contact_sheets, value_maps
from tile2vec_cli.views.changes import Changes
from tile2vec_cli.views.contact_sheets import SHOWN, Group, Source
from tile2vec_cli.views.value_maps import Maps, is_map

Write = Callable[[Changes, Path], None]


def run(
    before: Path,
    after: Path,
    config: ChangeConfig,
    *,
    out: Sequence[Path] = (),
    tiles: tuple[Path, Path] | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Report:
    """Compare the dates; write what is not up to date of `out` (by suffix, one map at most) and `picture`.

    tiles: the tile sets of either date, for the picture and for the maps' CRSs. Raises UsageError for an
    output that cannot be meant, InputError and DataError for what cannot be read or compared, DataError
    where an output was made otherwise, OutputError where it cannot be written.
    """
    if sum(map(is_map, out)) > 1:
        raise UsageError(f"--out: {', '.join(map(str, filter(is_map, out)))} are maps; needs one at most.")
    sources = None if tiles is None else [Source.of(path, config.rgb) for path in tiles]
    wanted = _wanted(before, after, config, out, sources, picture)
    known = [records.current(output, overwrite) for output, _ in wanted]
    keys = records.joined(known)
    if keys is not None:
        return Report(keys, _files(wanted, keys), True)
    found = changes.compare(before, after, config, on_progress)
    keys = _keys(found, config.top)
    maps: dict[Path, Maker] = {}
    for path in filter(is_map, out):
        tags = {"TILE2VEC_FORMAT": "tile2vec-change/1", "TILE2VEC_MEDIAN_DISTANCE": repr(found.unit)}
        own = found.mosaics(None if sources is None else sources[1].tiles)
        maps = Maps(own, found.distance, tags).makers(path)
        keys["maps"] = [file.name for file in maps]
    for (output, write), old in zip(wanted, known, strict=True):
        if old is None:
            makers = maps if is_map(output.path) else {output.path: partial(write, found)}
            records.write(output, makers, keys, overwrite)
    return Report(keys, _files(wanted, keys), False)


def _keys(found: Changes, top: int) -> Keys:
    apart = np.quantile(found.apart_m, [0, 0.5, 1])
    rows = feature_files.rows(found.table(0, top))
    return {
        "changed": list(rows),
        "pairs": len(found),
        "centred": found.centred,
        "shift": found.shift,
        "distance": _summary(found.distance),
        "apart_m": dict(zip(("min", "median", "max"), apart.tolist(), strict=True)),
        "unmatched_before": found.unmatched[0],
        "unmatched_after": found.unmatched[1],
        "spare_before": found.spare[0],
        "spare_after": found.spare[1],
    }


def _summary(distance: Floats) -> Keys:
    names = ("min", "median", "p90", "p99", "max")
    return dict(zip(names, np.quantile(distance, [0, 0.5, 0.9, 0.99, 1]).tolist(), strict=True))


# --- outputs ---------------------------------------------------------------------------------


def _wanted(
    before: Path,
    after: Path,
    config: ChangeConfig,
    out: Sequence[Path],
    sources: Sequence[Source] | None,
    picture: Path | None,
) -> list[tuple[Output, Write]]:
    wanted: list[tuple[Output, Write]] = []
    inputs: dict[str, str | Path | None] = {"before": before, "after": after}
    known = {name: content(str(path)) for name, path in (("before", before), ("after", after))}
    for path in out:
        feature_files.require_suffix(path, *value_maps.SUFFIXES)
        own, states = dict(inputs), dict(known)
        if sources is not None and is_map(path):
            own["tiles_after"], states["tiles_after"] = sources[1].tiles.path, sources[1].tiles.fingerprint
        output = records.output(path, "change", config.settings(), own, **states)
        wanted.append((output, lambda found, path: feature_files.write(path, found.batches())))
    if picture is not None and sources is not None:
        figures.require_format("--picture", picture)
        one, other = sources
        if len(one.bands) != len(other.bands) or one.tiles.size != other.tiles.size:
            raise DataError(
                f"{other.tiles.path}: its tiles differ from those of {one.tiles.path} in bands or size; "
                "the tile sets that were embedded with one model are needed. Give those."
            )
        for name, source in zip(("tiles_before", "tiles_after"), sources, strict=True):
            inputs[name], known[name] = source.tiles.path, source.tiles.fingerprint
        settings = {**config.settings(), "rgb": [source.bands for source in sources]}
        output = records.output(picture, "change", settings, inputs, **known)
        wanted.append((output, lambda found, path: _picture(found, config.top, sources, path)))
    return wanted


def _files(wanted: Sequence[tuple[Output, Write]], keys: Keys) -> tuple[Path, ...]:
    return tuple(file for output, _ in wanted for file in value_maps.files(output, keys))


def _picture(found: Changes, top: int, sources: Sequence[Source], path: Path) -> None:
    rows = found.table(0, min(top, SHOWN // 2))
    before, after = (
        source.group("", rows[name].to_pylist())
        for source, name in zip(sources, ("tile_id_before", "tile_id_after"), strict=True)
    )
    captions = [
        f"{rank}   d = {distance:#.3g}, {relative:.1f} × the median"
        for rank, distance, relative in zip(
            *(rows[name].to_pylist() for name in ("rank", "distance", "relative")), strict=True
        )
    ]
    heading = "Changed most: before | after"
    contact_sheets.write(path, [Group(heading, before.pixels, captions, beside=after.pixels)])

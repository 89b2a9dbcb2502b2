"""Classes from files to files: tables, polygons, maps and a picture, or a folder with a table a part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tile2vec_cli import figures
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import ClassifyConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo import feature_files
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.parts import Progress, make_folder, silent
from tile2vec_cli.outputs.provenance import content
from tile2vec_cli.outputs.records import Keys, Maker, Output, Report
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import class_outputs, classes, mosaics
from tile2vec_cli.views.classes import Classified
from tile2vec_cli.views.mosaics import Placing
from tile2vec_cli.views.value_maps import SUFFIXES, is_map

_Makers = Callable[[Classified, Keys], dict[Path, Maker]]


def run(
    path: Path,
    labels: LabelSource | None,
    config: ClassifyConfig,
    *,
    out: Sequence[Path],
    tiles: Path | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Report:
    """Classify the tiles of `path`; write what is not up to date of `out` (by suffix) and `picture`.

    labels: None where `config` has examples. tiles: the tile set that was embedded; maps are in its CRSs.
    Raises UsageError for an output that cannot be meant, InputError and DataError for what cannot be read
    or used, DataError where an output was made otherwise, OutputError where it cannot be written.
    """
    tile_set = None if tiles is None else TileSet.open(tiles)
    wanted = _wanted(path, labels, config, out, tile_set, picture)
    known = [records.current(output, overwrite) for output, _ in wanted]
    keys = records.joined(known)
    if keys is not None:
        return Report(keys, _files(wanted, keys), True)
    every = Embeddings.open(path, part=config.part, on_rows=lambda done: on_progress(done, total))
    total = 2 * len(every)
    learned = classes.learn(every, labels, config)
    keys = learned.keys()
    if config.probability is not None and config.probability not in learned.names:
        raise DataError(
            f"--probability {config.probability}: no class of the labels; they have "
            f"{', '.join(learned.names[:20])}. Choose one of these."
        )
    needs_map = any(is_map(output.path) or output.path == picture for output, _ in wanted)
    placing = Placing(tile_set) if needs_map else None
    folder = make_folder(wanted[0][0].path.parent)
    found = classes.classify(
        every,
        learned,
        folder=folder,
        placing=placing,
        on_rows=lambda done: on_progress(len(every) + done, total),
    )
    keys = {**keys, "tiles": len(found.classes), "counts": found.counts}
    for map_path in filter(is_map, out):
        classes.require_grid(found)
        keys.setdefault("maps", {})[str(map_path.name)] = [
            file.name for file in mosaics.names(found.mosaics, map_path)
        ]
    for (output, makers), old in zip(wanted, known, strict=True):
        if old is None:
            records.write(output, makers(found, keys), keys, overwrite)
    return Report(keys, _files(wanted, keys), False)


def _wanted(
    path: Path,
    labels: LabelSource | None,
    config: ClassifyConfig,
    out: Sequence[Path],
    tiles: TileSet | None,
    picture: Path | None,
) -> list[tuple[Output, _Makers]]:
    found: list[tuple[Output, _Makers]] = []
    inputs: dict[str, records.Input] = {"embeddings": path, "labels": labels}
    known = {"embeddings": content(path), "labels": None if labels is None else content(labels)}
    on_map = dict(inputs), dict(known)
    if tiles is not None:
        on_map[0]["tiles"], on_map[1]["tiles"] = tiles.path, tiles.fingerprint
    for one in out:
        settings = config.settings()
        if is_map(one):
            settings["probability"] = config.probability
            output = records.output(one, "classify", settings, on_map[0], **on_map[1])
            found.append((output, partial(_maps, one, config.probability)))
            continue
        settings["dissolve"] = config.dissolve
        write = class_outputs.dissolved if config.dissolve else class_outputs.table
        output = records.output(one, "classify", settings, inputs, **known)
        found.append((output, partial(_one_file, one, write)))
    if picture is not None:
        figures.require_format("--picture", picture)
        output = records.output(picture, "classify", config.settings(), on_map[0], **on_map[1])
        found.append((output, partial(_one_file, picture, class_outputs.picture)))
    return found


def require_outputs(out: Sequence[Path], config: ClassifyConfig) -> None:
    """Raise UsageError for outputs that no run could write."""
    for one in out:
        feature_files.require_suffix(one, *SUFFIXES)
        if config.dissolve and one.suffix.lower() == ".csv":
            raise UsageError(f"--dissolve: {one} holds no polygons. Write .geojson or .parquet.")
    if config.probability is not None and not any(map(is_map, out)):
        raise UsageError("--probability: is of a map. Give --out map.tif as well.")
    if config.dissolve and all(map(is_map, out)):
        raise UsageError("--dissolve: is of polygons. Give --out classes.geojson or .parquet as well.")


def _one_file(
    path: Path, write: Callable[[Classified, Path], None], found: Classified, _: Keys
) -> dict[Path, Maker]:
    return {path: partial(write, found)}


def _maps(path: Path, probability: str | None, found: Classified, keys: Keys) -> dict[Path, Maker]:
    """One for each CRS, and what GDAL reads beside one of classes."""
    if probability is not None:
        return class_outputs.probability_maps(found, probability).makers(path)
    makers: dict[Path, Maker] = {}
    for name, one in zip(keys["maps"][path.name], found.mosaics, strict=True):
        file = path.with_name(name)
        makers[file] = partial(class_outputs.class_map, found, one)
        makers[file.with_name(f"{name}.aux.xml")] = partial(class_outputs.legend_file, found.names)
    return makers


def _files(wanted: Sequence[tuple[Output, _Makers]], keys: Keys) -> tuple[Path, ...]:
    """Those that the outputs become: a map is one for each CRS."""
    maps = keys.get("maps", {})
    paths = [output.path for output, _ in wanted]
    return tuple(path.with_name(name) for path in paths for name in maps.get(path.name, [path.name]))

"""Whether what lies on disk is what was written: every fingerprint, taken again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.embedding import embedding_files, embedding_outputs
from tile2vec_cli.errors import Failure, FormatError, InputError, Tile2VecError
from tile2vec_cli.geo import geoparquet
from tile2vec_cli.neural import DESCRIPTION
from tile2vec_cli.outputs import parts
from tile2vec_cli.outputs.parts import Progress, read_json, silent
from tile2vec_cli.tiling import tile_files, triplets

Verify = Callable[[Path], None]


def check(path: Path, *, remove: bool = False, on_progress: Progress = silent) -> Outcome[None]:
    """Verify every fingerprint of a tile set, triplets, a model or embeddings.

    remove: take away what is damaged, so that the command that made it makes it again. What is of another
    command or version stays.
    Raises InputError where nothing is, DataError where it is nothing of ours.
    """
    kind, units = _units(path)
    damaged = []
    for number, (unit, verify) in enumerate(units, start=1):
        try:
            verify(unit)
        except Tile2VecError as error:
            damaged.append(Failure.of(str(unit), error))
            # A scene that is away has not harmed the index of it, which could not be made again.
            away = isinstance(error, InputError) and (unit / "part.json").exists()
            if remove and not away and not isinstance(error, FormatError):
                (_remove_model if kind == "model" else parts.remove)(unit)
        on_progress(number, len(units))
    names = [failure.name for failure in damaged]
    keys = {"kind": kind, "checked": len(units), "damaged": len(damaged), "failed": names}
    return Outcome("check", keys, [path], [], failed=damaged)


def _units(path: Path) -> tuple[str, list[tuple[Path, Verify]]]:
    """What lies at `path`, its parts, and how each of them is verified."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; output of tile2vec is needed. Check the path.")
    if path.is_file():
        if triplets.is_triplets(path):
            return "triplets", [(path, _verify_triplets)]
        return "embeddings", [(path, _verify_embeddings)]
    if (path / DESCRIPTION).exists():
        return "model", [(path, _verify_model)]
    if (path / "parts").is_dir():
        manifest = tile_files.read_manifest(path)
        folders = sorted(one for one in (path / "parts").glob("[!.]*") if one.is_dir())
        read, opened = tile_files.read_part, tile_files.part_of
        return "tiles", [(folder, lambda f: opened(f, read(f), manifest).verify()) for folder in folders]
    read_json(path / embedding_outputs.MANIFEST, embedding_files.FORMAT)
    return "embeddings", [(file, _verify_embeddings) for file in sorted(path.glob("[!.]*.parquet"))]


def _verify_model(path: Path) -> None:
    from tile2vec_cli.neural import models  # and torch, which all else is checked without

    models.verify(path)


def _remove_model(path: Path) -> None:
    """With the report of a segmenter, but not with what else has been put there."""
    from tile2vec_cli.neural import models
    from tile2vec_cli.segmentation import weak_reports

    for name in weak_reports.FILES if weak_reports.is_reported(path) else models.FILES:
        parts.remove(path / name)
    with suppress(OSError):  # it holds other files
        path.rmdir()


def _verify_triplets(path: Path) -> None:
    geoparquet.verify(path)
    triplets.read(path)


def _verify_embeddings(path: Path) -> None:
    geoparquet.verify(path)
    if not embedding_files.header(geoparquet.read_metadata(path), path):
        raise FormatError(
            f"{path}: not made by `tile2vec embed`; a {embedding_files.FORMAT} file is needed. Move it away."
        )

"""What lies at the paths that are to be catalogued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tile2vec_cli.catalogs import embedding_items, map_items, model_items
from tile2vec_cli.catalogs.items import Item
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.neural import models


@dataclass(frozen=True)
class Source:
    """A file or model folder, and what makes an item of it."""

    path: Path
    describe: Callable[[Path], Item]


_KINDS = {".parquet": embedding_items.item, ".tif": map_items.item, ".tiff": map_items.item}


def found(paths: Sequence[Path]) -> list[Source]:
    """All there is, in the order of the paths, in folders by name; what is named twice, once.

    Raises InputError for what is missing, DataError for what holds nothing for a catalog.
    """
    return list({source.path.resolve(): source for path in paths for source in _at(path)}.values())


def _at(path: Path) -> list[Source]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder. Check the path.")
    if path.is_dir() and (path / models.DESCRIPTION).exists():
        return [Source(path, model_items.item)]
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    own = [
        Source(file, _KINDS[file.suffix.lower()])
        for file in files
        if file.suffix.lower() in _KINDS and not file.name.startswith(".") and file.is_file()
    ]
    if not own:
        raise DataError(
            f"{path}: holds nothing for a catalog; embeddings (a .parquet file of `embed`, or a folder of "
            "them), maps (.tif, or a folder of them) or a model folder are needed. Check the path."
        )
    return own

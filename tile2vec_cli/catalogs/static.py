"""A self-contained static STAC catalog: catalog.json, a collection for each kind, an item for each file.

Assets are copied into the catalog and all links are relative, so that it can be moved or put on a
server as it is.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tile2vec_cli.catalogs import embedding_items, map_items, model_items
from tile2vec_cli.catalogs.items import STAC_VERSION, Item, Json
from tile2vec_cli.config.catalogs import StacConfig
from tile2vec_cli.embedding import embedding_outputs
from tile2vec_cli.errors import DataError, InputError, OutputError, Remark, UsageError
from tile2vec_cli.neural import models
from tile2vec_cli.outputs import parts
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.provenance import content

FORMAT = "tile2vec-stac/1"
CATALOG = "catalog.json"
ITEM = "item.json"  # not ID.json: a model called "model" holds a model.json of its own
RECORD = "tile2vec.json"  # what the catalog was made from; no link leads to it

KINDS = {"embeddings": "Embeddings of tiles", "maps": "Maps", "models": "Models"}
_TIFFS = {".tif", ".tiff"}
_EMB = ("emb:type", "emb:dimensions", "data_type", "emb:chip_layout")

Describe = Callable[[Path], Item]


@dataclass(frozen=True)
class CatalogReport:
    """How many items of each kind the catalog holds."""

    counts: dict[str, int]
    up_to_date: bool


def write(
    paths: Sequence[Path], out: Path, config: StacConfig, *, overwrite: bool, on_progress: Progress = silent
) -> CatalogReport:
    """Put what lies at `paths` into a catalog.

    Raises InputError for what is missing, DataError for what is no kind of output that belongs into a
    catalog, two items of one name, or a catalog made with other settings.
    """
    sources = [source for path in paths for source in _sources(path)]
    _require_distinct(sources, out)
    settings = asdict(config)
    contents = {f"{kind}/{_name(path)}": content(path) for kind, path, _ in sources}
    before = _before(out, settings, overwrite)
    if before is not None and before["content"] == contents and _is_whole(out, before["files"]):
        return CatalogReport(before["counts"], up_to_date=True)

    items = []
    for number, (_, path, describe) in enumerate(sources, start=1):
        items.append(describe(path))
        on_progress(number, 2 * len(sources))
    _dated_all(items, config)
    counts = {kind: sum(item.kind == kind for item in items) for kind in KINDS}
    parts.make_folder(out.parent)
    parts.sweep(out.parent)
    with parts.new_folder(out) as folder:
        _write_catalog(folder, items, config, lambda done: on_progress(len(items) + done, 2 * len(items)))
        files = {
            str(file.relative_to(folder)): file.stat().st_size
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        record = {"format": FORMAT, "settings": settings, "content": contents, "counts": counts}
        _dump(folder / RECORD, {**record, "files": files})
    return CatalogReport(counts, up_to_date=False)


# --- what is given ----------------------------------------------------------------------------


def _sources(path: Path) -> list[tuple[str, Path, Describe]]:
    """The items at a path, in the order of their names: kind, where each lies, what says what it is."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder. Check the path.")
    if path.is_file():
        if path.suffix.lower() in _TIFFS:
            return [("maps", path, map_items.item)]
        if path.suffix.lower() == ".parquet":
            return [("embeddings", path, embedding_items.item)]
    elif (path / models.DESCRIPTION).exists():
        return [("models", path, model_items.item)]
    else:
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        maps = [file for file in files if file.suffix.lower() in _TIFFS]
        tables = [file for file in files if file.suffix.lower() == ".parquet"]
        if maps:
            return [("maps", file, map_items.item) for file in maps]
        if tables and (path / embedding_outputs.MANIFEST).exists():
            return [("embeddings", file, embedding_items.item) for file in tables]
    raise DataError(
        f"{path}: holds nothing for a catalog; embeddings (a .parquet file or a folder of `embed`), maps "
        "(.tif, or a folder of them) or a model folder are needed. Check the path."
    )


def _name(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem


def _require_distinct(sources: Sequence[tuple[str, Path, Describe]], out: Path) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for kind, path, _ in sources:
        if out.resolve() in (path.resolve(), *path.resolve().parents):
            raise UsageError(f"{out}: holds {path}, which it would replace; a folder of its own is needed.")
        other = seen.setdefault((kind, _name(path)), path)
        if other is not path:
            raise DataError(
                f"{path}: {kind} called {_name(path)!r}, as {other} is; ids are needed that differ. "
                "Rename one of them."
            )


def _dated_all(items: list[Item], config: StacConfig) -> None:
    """Give --date to what has none; say what is left."""
    undated = []
    for at, item in enumerate(items):
        if item.times[0] is not None or item.kind == "models":
            continue
        if config.when is not None:
            items[at] = replace(item, times=(config.when, config.when))
        else:
            undated.append(item.id)
    if undated:
        more = f" and {len(undated) - 1} more" if len(undated) > 1 else ""
        said = f"{undated[0]}{more}: no date is known; the catalog says 1900 to 9999. Give one with --date."
        warnings.warn(said, Remark, stacklevel=2)


# --- what is there already --------------------------------------------------------------------


def _before(out: Path, settings: Json, overwrite: bool) -> Json | None:
    """What the catalog at `out` was made from; None where none is there or it is to be replaced."""
    if out.is_file():
        raise OutputError(f"{out}: is a file; a folder is written here. Choose another.")
    if not out.exists() or not any(out.iterdir()):
        return None
    if not (out / RECORD).exists():
        raise DataError(
            f"{out}: holds other files; a catalog is written to a folder of its own. Choose another."
        )
    if overwrite:
        return None
    found = parts.read_json(
        out / RECORD, FORMAT, {"settings": dict, "content": dict, "counts": dict, "files": dict}
    )
    parts.require_same_settings(out, found["settings"], settings)
    return found


def _is_whole(out: Path, files: dict[str, int]) -> bool:
    return all((out / name).is_file() and (out / name).stat().st_size == size for name, size in files.items())


# --- what is written --------------------------------------------------------------------------


def _write_catalog(
    folder: Path, items: Sequence[Item], config: StacConfig, on_item: Callable[[int], None]
) -> None:
    kinds = [kind for kind in KINDS if any(item.kind == kind for item in items)]
    made_by = {item.fingerprint: item for item in items if item.kind == "models"}
    catalog = {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": config.id,
        "title": config.title or config.id,
        "description": config.description,
        "links": [
            _link("root", "./catalog.json", config.title),
            *(_link("child", f"./{kind}/collection.json", KINDS[kind]) for kind in kinds),
        ],
    }
    _dump(folder / CATALOG, catalog)
    done = 0
    for kind in kinds:
        of_kind = [item for item in items if item.kind == kind]
        (folder / kind).mkdir()
        _dump(folder / kind / "collection.json", _collection(kind, of_kind, config, made_by))
        for item in of_kind:
            home = folder / kind / item.id
            home.mkdir()
            for asset in item.assets.values():
                shutil.copyfile(asset.path, home / asset.path.name)
            _dump(home / ITEM, item.to_json(config.id, _item_links(item, made_by)))
            done += 1
            on_item(done)


def _collection(
    kind: str, items: Sequence[Item], config: StacConfig, made_by: dict[str | None, Item]
) -> Json:
    boxes = [item.bbox for item in items]
    crossing = any(box[0] > box[2] for box in boxes)
    west = -180.0 if crossing else min(box[0] for box in boxes)
    east = 180.0 if crossing else max(box[2] for box in boxes)
    around = [west, min(box[1] for box in boxes), east, max(box[3] for box in boxes)]
    starts, ends = zip(*(item.interval for item in items), strict=True)
    alike: Json = {}
    if kind == "embeddings":  # what one collection can say of all its files
        alike = {
            key: items[0].properties[key]
            for key in _EMB
            if all(item.properties[key] == items[0].properties[key] for item in items)
        }
    extensions = [embedding_items.EMBEDDINGS] if len(alike) == len(_EMB) else []
    makers = {item.fingerprint for item in items} & made_by.keys() if kind == "embeddings" else set()
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": extensions,
        "id": f"{config.id}-{kind}",
        "title": KINDS[kind],
        "description": f"{KINDS[kind]} of {config.title or config.id}.",
        "license": config.license,
        "extent": {"spatial": {"bbox": [around]}, "temporal": {"interval": [[min(starts), max(ends)]]}},
        **(alike if extensions else {}),
        "links": [
            _link("root", "../catalog.json", None),
            _link("parent", "../catalog.json", None),
            *(_link("item", f"./{item.id}/{ITEM}", None, "application/geo+json") for item in items),
            *(_model_link("emb:model", "..", made_by[maker].id) for maker in sorted(map(str, makers))),
        ],
    }


def _item_links(item: Item, made_by: dict[str | None, Item]) -> list[Json]:
    links = [
        _link("root", "../../catalog.json", None),
        _link("parent", "../collection.json", None),
        _link("collection", "../collection.json", None),
    ]
    maker = made_by.get(item.fingerprint) if item.kind != "models" else None
    if maker:
        rel = "emb:model" if item.kind == "embeddings" else "derived_from"
        links.append(_model_link(rel, "../..", maker.id))
    return links


def _model_link(rel: str, root: str, name: str) -> Json:
    return _link(rel, f"{root}/models/{name}/{ITEM}", None, "application/geo+json")


def _link(rel: str, href: str, title: str | None, media_type: str = "application/json") -> Json:
    return {"rel": rel, "href": href, "type": media_type, **({"title": title} if title else {})}


def _dump(path: Path, value: Json) -> None:
    path.write_text(parts.dump_json(value), encoding="utf-8")

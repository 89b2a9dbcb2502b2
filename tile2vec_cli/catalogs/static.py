"""A self-contained static STAC catalog: catalog.json, a collection for each kind, an item for each file.

Assets are copied into the catalog and all links are relative, so that it can be moved or put on a
server as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tile2vec_cli.catalogs import entries
from tile2vec_cli.catalogs.items import STAC_VERSION, Item, Json
from tile2vec_cli.config.pipeline import StacConfig
from tile2vec_cli.errors import DataError, OutputError, UsageError
from tile2vec_cli.outputs import parts
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.provenance import content
from tile2vec_cli.outputs.records import Report
from tile2vec_cli.outputs.stamps import Stamp

FORMAT = "tile2vec-stac/1"
CATALOG = "catalog.json"
RECORD = "tile2vec.json"  # what the catalog was made from; no link leads to it
ITEM = "item.json"
COLLECTION = "collection.json"
MADE_FROM = "made-from.json"  # the model and the parts of a tile set that embeddings are of

KINDS = {"embeddings": "Embeddings of tiles", "maps": "Maps", "models": "Models"}


@dataclass(frozen=True)
class _Collection:
    """Items of one kind of which the same can be said, in a folder of the catalog."""

    kind: str
    folder: str
    items: list[Item]


def write(
    paths: Sequence[Path], out: Path, config: StacConfig, *, overwrite: bool, on_progress: Progress = silent
) -> Report:
    """Put what lies at `paths` into a catalog; report the items of each kind, and the ids of the undated.

    Raises InputError for what is missing, DataError for what is no kind of output that belongs into a
    catalog, two items of one id, or a catalog made with other settings or of items that are not given.
    """
    found = entries.found(paths)
    for source in found:
        if out.resolve() in (source.path.resolve(), *source.path.resolve().parents):
            raise UsageError(f"{out}: holds {source.path}; a folder of its own is needed. Choose another.")
    items = [source.describe(source.path) for source in found]
    _require_distinct(items)
    counts = {kind: sum(item.kind == kind for item in items) for kind in KINDS}
    undated = [item.id for item in items if item.times[0] is None and item.kind != "models"]
    keys, catalog = {**counts, "undated": undated}, (out / CATALOG,)
    settings = asdict(config)
    contents: Json = {
        f"{item.kind}/{item.id}": [content(asset.path) for asset in item.assets.values()] for item in items
    }
    before = _existing(out, overwrite)
    if before and _is_up_to_date(out, before, settings, contents, overwrite):
        return Report(keys, catalog, up_to_date=True)
    parts.sweep(out.parent)
    with parts.new_folder(out, [RECORD, *before.get("files", ())]) as folder:
        _write_catalog(folder, items, config, lambda done: on_progress(done, len(items)))
        files = {
            str(file.relative_to(folder)): file.stat().st_size
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        _dump(folder / RECORD, {"format": FORMAT, "settings": settings, "content": contents, "files": files})
    return Report(keys, catalog, up_to_date=False)


def _require_distinct(items: Iterable[Item]) -> None:
    seen: dict[tuple[str, str], Item] = {}
    for item in items:
        other = seen.setdefault((item.kind, item.id), item)
        if other is not item:
            raise DataError(
                f"{item.source}: {item.kind} called {item.id!r}, as {other.source} is; ids are needed that "
                "differ. Rename one of them."
            )


# --- what is there already --------------------------------------------------------------------


def _existing(out: Path, overwrite: bool) -> Json:
    """What the catalog that is there says of itself; {} where none is, or a damaged one that may be replaced.

    Raises OutputError and DataError where something else is.
    """
    if out.is_file():
        raise OutputError(f"{out}: is a file; a folder is written here. Choose another.")
    if not out.exists() or not any(out.iterdir()):
        return {}
    if not (out / RECORD).exists():
        raise DataError(
            f"{out}: holds other files; a catalog is written to a folder of its own. Choose another."
        )
    try:
        return parts.read_json(out / RECORD, FORMAT, {"settings": dict, "content": dict, "files": dict})
    except DataError:
        if overwrite:
            return {}
        raise


def _is_up_to_date(out: Path, found: Json, settings: Json, contents: Json, overwrite: bool) -> bool:
    """Whether the catalog found is this very one. Raises DataError where it is not to be replaced."""
    if Stamp(settings, contents=contents).stays(
        out, Stamp(found["settings"], contents=found["content"]), overwrite
    ):
        files = ((out / name, size) for name, size in found["files"].items())
        return all(file.is_file() and file.stat().st_size == size for file, size in files)
    gone = sorted(found["content"].keys() - contents.keys())
    if gone and not overwrite:
        raise DataError(
            f"{out}: holds {gone[0]}, which this run is not given ({len(gone)} such); all that it is to "
            "hold is needed. Name it, too, choose another output, or --overwrite to replace it."
        )
    return False


# --- what is written --------------------------------------------------------------------------


def _write_catalog(
    folder: Path, items: Sequence[Item], config: StacConfig, on_item: Callable[[int], None]
) -> None:
    collections = _collections(items)
    models = {item.fingerprint: item.id for item in items if item.kind == "models"}
    children = [
        _link("child", f"./{one.folder}/{COLLECTION}", title=_title(one, collections)) for one in collections
    ]
    catalog = {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": config.id,
        "title": config.title or config.id,
        "description": config.description,
        "links": [_link("root", f"./{CATALOG}"), *children],
    }
    _dump(folder / CATALOG, catalog)
    done = 0
    for one in collections:
        home = folder / one.folder
        home.mkdir()
        said = _collection(one, _title(one, collections), config, models)
        _dump(home / COLLECTION, said)
        if one.kind == "embeddings":
            _dump(home / MADE_FROM, _made_from(one.items))
        for item in one.items:
            (home / item.id).mkdir()
            for asset in item.assets.values():
                shutil.copyfile(asset.path, home / item.id / asset.path.name)
            _dump(home / item.id / ITEM, item.to_json(said["id"], _item_links(item, models)))
            done += 1
            on_item(done)


def _collections(items: Sequence[Item]) -> list[_Collection]:
    """One for each kind; of embeddings, one for each model, number of dimensions and so on."""
    found = []
    for kind in KINDS:
        alike: dict[str, list[Item]] = {}
        for item in items:
            if item.kind == kind:
                key = parts.dump_json([item.shared, item.made_from.get("model")])
                alike.setdefault(key, []).append(item)
        for number, own in enumerate(alike.values(), 1):
            found.append(_Collection(kind, f"{kind}-{number}" if len(alike) > 1 else kind, own))
    return found


def _title(one: _Collection, collections: Sequence[_Collection]) -> str:
    count = sum(other.kind == one.kind for other in collections)
    return KINDS[one.kind] + (f" {one.folder.rpartition('-')[2]}" if count > 1 else "")


def _collection(one: _Collection, title: str, config: StacConfig, models: dict[str | None, str]) -> Json:
    boxes = [item.bbox for item in one.items]
    crossing = any(west > east for west, _, east, _ in boxes)
    wests, souths, easts, norths = zip(*boxes, strict=True)
    around = [-180.0 if crossing else min(wests), min(souths), 180.0 if crossing else max(easts), max(norths)]
    starts, ends = zip(*(item.interval for item in one.items), strict=True)
    links = [
        _link("root", f"../{CATALOG}"),
        _link("parent", f"../{CATALOG}"),
        *(_link("item", f"./{item.id}/{ITEM}", "application/geo+json") for item in one.items),
    ]
    if one.kind == "embeddings":  # both links are asked for by the extension
        maker = one.items[0].fingerprint
        links.append(
            _model_link("emb:model", "..", models[maker])
            if maker in models
            else _link("emb:model", f"./{MADE_FROM}")
        )
        links.append(_link("emb:source-data", f"./{MADE_FROM}"))
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [entries.EMBEDDINGS] if one.kind == "embeddings" else [],
        "id": f"{config.id}-{one.folder}",
        "title": title,
        "description": f"{title} of {config.title or config.id}.",
        "license": config.license,
        "extent": {"spatial": {"bbox": [around]}, "temporal": {"interval": [[min(starts), max(ends)]]}},
        **one.items[0].shared,
        "links": links,
    }


def _made_from(items: Sequence[Item]) -> Json:
    of_all = [part for item in items for part in item.made_from["parts"]]
    return {"model": items[0].made_from["model"], "parts": sorted(of_all, key=lambda part: str(part["name"]))}


def _item_links(item: Item, models: dict[str | None, str]) -> list[Json]:
    links = [
        _link("root", f"../../{CATALOG}"),
        _link("parent", f"../{COLLECTION}"),
        _link("collection", f"../{COLLECTION}"),
    ]
    if item.kind != "models" and item.fingerprint in models:
        rel = "emb:model" if item.kind == "embeddings" else "derived_from"
        links.append(_model_link(rel, "../..", models[item.fingerprint]))
    return links


def _model_link(rel: str, root: str, model: str) -> Json:
    return _link(rel, f"{root}/models/{model}/{ITEM}", "application/geo+json")


def _link(rel: str, href: str, media_type: str = "application/json", title: str | None = None) -> Json:
    return {"rel": rel, "href": href, "type": media_type, **({"title": title} if title else {})}


def _dump(path: Path, value: Json) -> None:
    path.write_text(parts.dump_json(value), encoding="utf-8")

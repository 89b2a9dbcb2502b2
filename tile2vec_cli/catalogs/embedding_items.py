"""A file of embeddings as a STAC item (embeddings extension 0.0.1, table 1.2.0)."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import shapely

from tile2vec_cli.catalogs.items import FILE, Item, Times, asset, extension
from tile2vec_cli.embedding import embedding_files
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import geoparquet

EMBEDDINGS = extension("embeddings", "0.0.1")
TABLE = extension("table", "1.2.0")
PARQUET = "application/vnd.apache.parquet"

_MEANINGS = {
    "tile_id": "scene/row/col of the tile",
    "scene": "name of the scene",
    "row": "first pixel row of the tile in its scene",
    "col": "first pixel column of the tile in its scene",
    "datetime": "when the scene was taken",
    "valid_share": "share of the tile's pixels that hold data",
    "embedding": "the tile's vector",
    "geometry": "footprint of the tile, WKB in OGC:CRS84",
    "bbox": "bounding box of the footprint",
}


def item(path: Path) -> Item:
    """Raises DataError where the file is none of ours or holds no tiles."""
    footer = geoparquet.read_metadata(path)
    header, emb = embedding_files.header(footer, path), json.loads(footer.get("emb", "{}"))
    box = json.loads(footer.get("geo", "{}")).get("columns", {}).get("geometry", {}).get("bbox")
    if not header or not emb:
        raise DataError(f"{path}: no embeddings of ours; output of `tile2vec embed` is needed.")
    if not box:
        raise DataError(f"{path}: holds no tiles; a STAC item needs a place. Leave it out.")
    types = geoparquet.types(path)
    return Item(
        kind="embeddings",
        id=path.stem,
        source=path,
        geometry=_place(path, box),
        times=_times(path, "datetime" in types),
        properties={
            # The extension takes no other fields of its own in an item: the rest is the collection's.
            "emb:quantization": emb["quantization"],
            "emb:runtime_parameters": header["settings"],
            "data_type": emb["data_type"],
            "table:columns": [
                {
                    "name": name,
                    "type": kind,
                    **({"description": _MEANINGS[name]} if name in _MEANINGS else {}),
                }
                for name, kind in types.items()
            ],
            "table:primary_geometry": "geometry",
            "table:row_count": geoparquet.count(path),
        },
        assets={"embeddings": asset(path, PARQUET, "data")},
        extensions=(EMBEDDINGS, TABLE, FILE),
        fingerprint=header["model"],
        shared={
            "emb:type": emb["type"],
            "emb:dimensions": emb["dimensions"],
            "data_type": emb["data_type"],
            "emb:chip_layout": emb["chip_layout"],
        },
        made_from={"model": emb["model"], "parts": header["parts"]},
    )


def _place(path: Path, box: list[float]) -> shapely.Geometry:
    """The bounding box, in two parts where the tiles lie on both sides of the antimeridian."""
    west, south, east, north = box
    if (west, east) == (-180, 180):
        table, _ = geoparquet.read(path, ["geometry"])
        sides = shapely.bounds(shapely.get_parts(shapely.from_wkb(table["geometry"].to_numpy())))
        beyond = sides[:, 0] < 0
        west, east = sides[~beyond, 0].min(initial=180), sides[beyond, 2].max(initial=-180)
        if west - east > 180:
            halves = shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)
            return shapely.MultiPolygon(halves)
    return shapely.box(*box)


def _times(path: Path, dated: bool) -> Times:
    if not dated:
        return None, None
    table, _ = geoparquet.read(path, ["datetime"])
    found = pc.min_max(table["datetime"]).as_py()
    return found["min"], found["max"]

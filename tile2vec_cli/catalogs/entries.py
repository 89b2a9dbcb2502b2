"""What lies at the paths that are to be catalogued, as STAC items: embeddings, maps, models."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyproj
import shapely

from tile2vec_cli.catalogs.items import FILE, WORLD, Item, Json, Times, asset, class_of, extension
from tile2vec_cli.embedding import embedding_files
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.exports import metadata
from tile2vec_cli.exports.metadata import Tensor
from tile2vec_cli.geo import geoparquet, outlines, rasters
from tile2vec_cli.geo.raster_headers import Raster
from tile2vec_cli.labelling import legends
from tile2vec_cli.neural import DESCRIPTION

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

PROJECTION = extension("projection", "2.0.0")
RASTER = extension("raster", "2.0.0")
CLASSIFICATION = extension("classification", "2.0.0")
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
GEOTIFF = "image/tiff; application=geotiff"
_CLASS = "TILE2VEC_CLASS_"  # tags of a map: what each value is called
_LEGEND = "TILE2VEC_CLASSES"  # the same in one, as JSON

MLM = extension("mlm", "1.4.0")
_PIXELS = "Pixels as the scenes hold them: the network's first layer standardises them."


@dataclass(frozen=True)
class Entry:
    """A file or model folder, and what makes an item of it."""

    path: Path
    describe: Callable[[Path], Item]


def found(paths: Sequence[Path]) -> list[Entry]:
    """All there is, in the order of the paths, in folders by name; what is named twice, once.

    Raises InputError for what is missing, DataError for what holds nothing for a catalog.
    """
    return list({entry.path.resolve(): entry for path in paths for entry in _at(path)}.values())


def _at(path: Path) -> list[Entry]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder. Check the path.")
    if path.is_dir() and (path / DESCRIPTION).exists():
        return [Entry(path, model_item)]
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    own = [
        Entry(file, _KINDS[file.suffix.lower()])
        for file in files
        if file.suffix.lower() in _KINDS and not file.name.startswith(".") and file.is_file()
    ]
    if not own:
        raise DataError(
            f"{path}: holds nothing for a catalog; embeddings (a .parquet file of `embed`, or a folder of "
            "them), maps (.tif, or a folder of them) or a model folder are needed. Check the path."
        )
    return own


def embedding_item(path: Path) -> Item:
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


def map_item(path: Path) -> Item:
    """Raises DataError where the file is no georeferenced raster."""
    with rasters.opened(str(path)) as source:
        raster, tags = rasters.described(str(path), source), dict(source.tags())
        is_cog = source.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    if not raster.is_georeferenced or raster.crs is None:
        raise DataError(f"{path}: lies nowhere on the Earth; a georeferenced map is needed. Leave it out.")
    classes = _classes(raster, tags)
    bands = [_band(raster, number) for number in range(raster.count)]
    fields = {"bands": bands, **({"classification:classes": classes} if classes else {})}
    assets = {"map": asset(path, COG if is_cog else GEOTIFF, "data", **fields)}
    sidecar = Path(f"{path}.aux.xml")
    if sidecar.is_file():  # in which GDAL and QGIS find the names of the classes
        assets["legend"] = asset(sidecar, "application/xml", "metadata")
    crs = pyproj.CRS(raster.crs)
    authority = crs.to_authority()
    return Item(
        kind="maps",
        id=path.stem,
        source=path,
        geometry=_footprint(raster),
        times=(raster.datetime, raster.datetime),
        properties={
            "proj:code": ":".join(authority) if authority else None,
            **({} if authority else {"proj:wkt2": crs.to_wkt()}),
            "proj:shape": [raster.height, raster.width],
            "proj:transform": list(raster.transform),
        },
        assets=assets,
        extensions=(PROJECTION, RASTER, FILE, *((CLASSIFICATION,) if classes else ())),
        fingerprint=tags.get("TILE2VEC_MODEL"),
    )


def _band(raster: Raster, number: int) -> Json:
    nodata = raster.nodata[number]
    said: Json = {
        "name": raster.descriptions[number] or f"band{number + 1}",
        "data_type": raster.dtype,
        "raster:spatial_resolution": round(raster.resolution_m, 6),
    }
    if nodata is not None:
        whole = np.dtype(raster.dtype).kind in "iu"
        said["nodata"] = int(nodata) if whole else nodata if np.isfinite(nodata) else str(nodata)
    return said


def _classes(raster: Raster, tags: dict[str, str]) -> list[Json]:
    """What the values of a map of one band of whole numbers are called."""
    if raster.count != 1 or np.dtype(raster.dtype).kind not in "iu":
        return []
    named = dict(legends.Table.of(raster, 1).names) or _tagged(tags)
    found = [class_of(value, named[value], raster.colours.get(value)) for value in sorted(named)]
    nodata = raster.nodata[0]
    if found and nodata is not None and int(nodata) not in named:
        found.append({**class_of(int(nodata), "nodata"), "nodata": True})
    return found


def _tagged(tags: dict[str, str]) -> dict[int, str]:
    said = {key.removeprefix(_CLASS): name for key, name in tags.items() if key.startswith(_CLASS)}
    with suppress(TypeError, ValueError):  # names are a kindness
        said |= json.loads(tags.get(_LEGEND, "{}"))
    return {int(value): str(name) for value, name in said.items() if value.isdecimal()}


def _footprint(raster: Raster) -> shapely.Geometry:
    rows = np.array([0.0, raster.height, raster.height, 0.0])
    cols = np.array([0.0, 0.0, raster.width, raster.width])
    corners = raster.lonlat(rows, cols)
    if not np.isfinite(corners).all():  # a corner beyond the Earth's edge
        return shapely.box(*raster.bounds_lonlat)
    return outlines.polygons(corners[None])[0]


def model_item(path: Path) -> Item:
    """Errors as for `models.describe`."""
    from tile2vec_cli.neural import models  # and torch, which all else is catalogued without

    model = models.describe(path)
    size = model.size
    given = Tensor("pixels", [-1, len(model.bands), size, size], metadata.IMAGE, model.dtype)
    if model.kind == "encoder":
        made = Tensor("embedding", [-1, model.dim], ("batch", "embedding"))
    else:
        made = Tensor("probability", [-1, size, size], ("batch", "height", "width"))
    said = metadata.mlm(model, "PyTorch", given, made, _PIXELS)
    if model.kind != "encoder":
        title = str(model.provenance.get("class") or "positive")
        said["mlm:output"][0]["classification:classes"] = [class_of(0, "other"), class_of(1, title)]
    bands = said["mlm:input"][0]["bands"]
    weights, description = path / models.WEIGHTS, path / DESCRIPTION
    return Item(
        kind="models",
        id=path.resolve().name,
        source=path,
        geometry=WORLD,
        times=(None, None),
        properties={
            **said,
            "mlm:accelerator_constrained": False,
            # Without them here the extension takes no names of bands in its input; with them here
            # alone STAC takes no item.
            "bands": bands,
        },
        assets={
            "model": asset(
                weights,
                "application/octet-stream",
                "mlm:model",
                "mlm:weights",
                **{"mlm:artifact_type": "safetensors.torch.save_file", "bands": bands},
            ),
            "description": asset(description, "application/json", "metadata"),
        },
        extensions=(MLM, FILE),
        fingerprint=models.fingerprint(path),
    )


_KINDS = {".parquet": embedding_item, ".tif": map_item, ".tiff": map_item}

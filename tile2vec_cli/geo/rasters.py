"""What rasters are: opened and described. With `cogs.py`, the only file that touches rasterio."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import rasterio
from rasterio import shutil
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from tile2vec_cli.errors import DataError, InputError, Tile2VecError
from tile2vec_cli.geo import locations, scene_facts, signed_urls, stacks
from tile2vec_cli.geo.locations import is_remote
from tile2vec_cli.geo.raster_files import exists, lacks_nodata, listing
from tile2vec_cli.geo.raster_headers import Raster
from tile2vec_cli.geo.scene_facts import Facts
from tile2vec_cli.geo.stack_readers import StackReader
from tile2vec_cli.job import resources

# A scene without georeferencing is refused in one line of ours.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2")

_DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".vrt": "VRT"}
_MOST_SIDE = 1 << 24  # pixels; more is a damaged header, whose numbers would be taken for memory
_ENTRY_BYTES = 4  # at the least, of a block in a TIFF's table of blocks, absent blocks too
_CACHE_BYTES = (64 << 20, 256 << 20)  # GDAL's default is a share of the node's memory, not of the job's


def describe(path: str, facts: Facts | None = None) -> Raster:
    """What the raster says of itself, and a catalog of it, without reading its pixels.

    Raises InputError when it does not exist, DataError when it is no raster.
    """
    with opened(path, facts) as source:
        return described(path, source, facts)


# --- rasterio ---------------------------------------------------------------------------------


@contextmanager
def opened(path: str, facts: Facts | None = None) -> Iterator[Any]:
    """rasterio's dataset; errors as for `describe`."""
    if facts is not None:
        facts.require()
    exists(path)
    with environment(path):
        source = open_dataset(path, facts)
        yield source
        # Not after an error or a signal: another thread may still be reading, perhaps slowly from afar,
        # and closing would pull the file from under it. Whoever holds it last then closes it.
        source.close()


@contextmanager
def environment(path: str) -> Iterator[None]:
    """GDAL's settings for opening and reading this raster."""
    options = {**locations.GDAL_OPTIONS} if is_remote(path) else listing(path)
    asked = os.environ.get("GDAL_NUM_THREADS")
    if asked and (is_remote(path) or any(map(_is_virtual, stacks.files(path)))):  # see `_open_one`
        files_at_a_time = os.environ.get("VRT_NUM_THREADS", asked)
        options |= {"GDAL_NUM_THREADS": "1", "VRT_NUM_THREADS": files_at_a_time}
    with rasterio.Env(GDAL_VRT_ENABLE_PYTHON="NO", GDAL_CACHEMAX=_cache_of_this_job(), **options):
        yield


def open_dataset(path: str, facts: Facts | None = None, *, threads: int = 1) -> Any:
    """rasterio's dataset, for the caller to close; needs an `environment`. Errors as for `describe`.

    Of a stack, what reads as one. A local TIFF decodes so many blocks at a time as there are `threads`.
    """
    stack = stacks.parse(path)
    if stack is not None:
        chosen = (stack.bands, None) if facts is None else (facts.names, facts.picks)
        return StackReader([(file, _open_one(file, threads)) for file in stack.files], *chosen)
    return _open_one(path, threads)


def _open_one(path: str, threads: int) -> Any:
    driver = _DRIVERS.get(Path(path).suffix.lower())
    options = {}
    if driver == "GTiff" and is_remote(path):
        # With several threads GDAL reads ahead: it asks the server once, and takes for zeros what does not
        # come. Said to the file as well: rasterio's settings hold until any thread leaves its own.
        options = {"NUM_THREADS": "1"}
    elif driver == "GTiff" and threads > 1:
        options = {"NUM_THREADS": str(threads)}
    try:
        # A file ending in .tif opens as a TIFF or not at all: a VRT in disguise reads other files.
        source = rasterio.open(signed_urls.signed(path), driver=driver, **options)
    except UnicodeError as error:
        raise DataError(f"{path}: its name is not UTF-8, which GDAL needs. Rename the file.") from error
    except (RasterioError, ValueError) as error:
        kind = InputError if is_remote(path) else DataError
        raise kind(f"{path}: cannot be opened as a raster ({_reason(error)}). Check the file.") from error
    if source.driver == "VRT" and not _is_virtual(path):
        source.close()
        raise DataError(f"{path}: is a virtual raster in disguise. Name it .vrt if you trust it.")
    if source.count == 0:
        inside = source.subdatasets
        advice = f"Name one of its {len(inside)}, such as '{inside[0]}'." if inside else "Check the file."
        raise DataError(f"{path}: holds no bands of its own; a raster with bands is needed. {advice}")
    _require_plausible(path, source)
    return source


def _is_virtual(path: str) -> bool:
    return path.partition("?")[0].lower().endswith(".vrt")


@contextmanager
def reading(path: str, row0: int, row1: int) -> Iterator[None]:
    """Turn what goes wrong while these rows are read into an error of ours."""
    try:
        yield
    except (RasterioError, ValueError, MemoryError) as error:
        kind: type[Tile2VecError] = InputError if is_remote(path) else DataError
        raise kind(
            f"{path}: rows {row0} to {row1} cannot be read ({_reason(error)}). It is damaged or cut short."
        ) from error


def _reason(error: BaseException) -> str:
    """GDAL's own words, which rasterio keeps as the cause."""
    words = signed_urls.scrubbed(str(error.__cause__ or error))
    return " ".join(words.split()).rstrip(".") or type(error).__name__


def cache_bytes() -> int:
    """For GDAL's cache of blocks: a small share of what this job may use."""
    low, high = _CACHE_BYTES
    return max(low, min(high, resources.granted_memory() // 32))


@cache
def _cache_of_this_job() -> int:
    """The same, asked for once: it takes as long as reading a small raster."""
    return cache_bytes()


def described(path: str, source: Any, facts: Facts | None = None) -> Raster:
    """What an opened dataset says of itself, and a catalog of it."""
    found = _described(path, source)
    if facts is None:
        return found
    origins = source.origins if isinstance(source, StackReader) else [(0, band) for band in source.indexes]
    return replace(found, **facts.of_raster(found, origins))


def _described(path: str, source: Any) -> Raster:
    a, b, c, d, e, f = tuple(source.transform)[:6]
    if not math.isfinite(c + f) or not math.isfinite(a * e - b * d) or a * e == b * d:
        raise DataError(f"{path}: its transform gives pixels no area. Repair its georeferencing.")
    interpretations = [source.colorinterp[band - 1] for band in source.indexes]
    alpha = [
        band for band, kind in zip(source.indexes, interpretations, strict=True) if kind == ColorInterp.alpha
    ]
    flags = source.mask_flag_enums[0]
    nodata = _nodata(source)
    return Raster(
        path=path,
        height=source.height,
        width=source.width,
        count=source.count,
        dtype=source.dtypes[0],
        crs=sys.intern(source.crs.to_wkt()) if source.crs else None,  # many scenes share one
        transform=tuple(source.transform)[:6],
        nodata=nodata,
        declared=_declared_nodata(source, nodata),
        block=source.block_shapes[0],
        alpha=alpha[-1] if alpha else None,
        meanings=tuple(kind.name for kind in interpretations),
        has_mask=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
        descriptions=tuple(source.descriptions),
        scaling=tuple(zip(source.scales, source.offsets, strict=True)),
        datetime=scene_facts.taken(path, {**source.tags(), **source.tags(ns="IMAGERY")}),
        colours=_colours(source),
    )


def _nodata(source: Any) -> tuple[float | None, ...]:
    with np.errstate(over="ignore"):  # rasterio asks whether the pixels can hold it by casting it
        return tuple(source.nodatavals)


def _declared_nodata(source: Any, known: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """Each band's nodata as the file declares it, from GDAL's description of the dataset as a virtual one.

    rasterio tells neither what the pixels cannot hold nor integers of 64 bits.
    """
    if isinstance(source, StackReader):
        return tuple(_declared_nodata(file, _nodata(file))[band - 1] for file, band in source.members)
    if source.driver == "GTiff" and all(one is None for one in known) and lacks_nodata(source.name):
        return known
    try:
        with rasterio.MemoryFile(ext=".vrt") as file:
            shutil.copy(source, file.name, driver="VRT")
            root = ElementTree.fromstring(file.read())
        texts = [band.findtext("NoDataValue") for band in root.findall("VRTRasterBand")]
        return tuple(None if text is None else _number(text) for text in texts)
    except (RasterioError, SystemError, ValueError, ElementTree.ParseError):  # of other metadata, or silent
        return known


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _require_plausible(path: str, source: Any) -> None:
    """Raise DataError for a header that claims what no file, or not this one, can hold."""
    height, width = source.height, source.width
    (high, wide), held = source.block_shapes[0], None
    if source.driver == "GTiff" and not is_remote(path):
        held = Path(path).stat().st_size if Path(path).is_file() else None  # else in an archive
    blocks = -(-height // high) * -(-width // wide)
    if max(height, width) > _MOST_SIDE:
        what = f"sides up to {_MOST_SIDE:,} are read"
    elif held is not None and blocks * _ENTRY_BYTES > held:
        what = f"a file of {held:,} bytes cannot hold so many"
    else:
        return
    raise DataError(
        f"{path}: its header claims {height:,} rows of {width:,} pixels; {what}. Check the file, or cut it."
    )


def _colours(source: Any) -> dict[int, tuple[int, int, int]]:
    try:
        return {int(code): tuple(colour[:3]) for code, colour in source.colormap(1).items()}
    except ValueError:  # no palette
        return {}

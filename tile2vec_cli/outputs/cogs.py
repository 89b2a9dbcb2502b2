"""Writing Cloud-Optimized GeoTIFFs, with GDAL's own COG driver."""

from __future__ import annotations

import ctypes
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what `copy` lets through, though no other call does
from rasterio.errors import RasterioError

from tile2vec_cli.errors import OutputError
from tile2vec_cli.geo.grid import Transform
from tile2vec_cli.geo.rasters import cache_bytes, opened
from tile2vec_cli.outputs.parts import new_file_from

Write = Callable[[int, int, NDArray[Any]], None]
"""Called with row, column, and pixels (H, W), or (H, W, bands), whose upper left corner lies there."""

_BLOCK = 512
_PIXELS = "pixels.raw"
_lock = threading.Lock()
_listening = 0  # writers at work
_loud: int | None = None  # C's stderr, meanwhile
_CANNOT_WRITE = re.compile(r"_tiff(Write|Seek)Proc|[Ww]rit")


class Grid(Protocol):
    """Where the pixels of a map lie; a raster says it of itself."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def crs(self) -> str | None: ...
    @property
    def transform(self) -> Transform: ...


@dataclass(frozen=True)
class Layer:
    """What the bands of a map hold: one, or red, green, blue and alpha, which says where there is data."""

    dtype: str
    nodata: float | None
    overviews: str  # how pixels are resampled into overviews
    tags: Mapping[str, str]
    colours: Mapping[int, tuple[int, int, int, int]] = field(default_factory=dict)
    bands: tuple[str, ...] = ("",)  # GDAL's colour interpretations; "": none

    @property
    def pixel_bytes(self) -> int:
        return np.dtype(self.dtype).itemsize * len(self.bands)


@contextmanager
def new_cog(path: Path, grid: Grid, layer: Layer) -> Iterator[Write]:
    """Yield a function that writes pixels on a grid; at the end `path` is a whole COG.

    In between they lie in a scratch file near it, as they are. Where nothing was written are zeros, which
    take no room in it. Raises OutputError.
    """
    with new_file_from(path) as (cog, room):
        dtype = np.dtype(layer.dtype).newbyteorder("<")
        with (room / _PIXELS).open("wb") as file:
            file.truncate(layer.pixel_bytes * grid.height * grid.width)

            def write(row: int, col: int, pixels: NDArray[Any]) -> None:
                for number, line in enumerate(pixels.astype(dtype, order="C"), row):
                    file.seek(layer.pixel_bytes * (number * grid.width + col))
                    file.write(line.data)

            yield write
        source = room / "pixels.vrt"
        source.write_bytes(_described(grid, layer, dtype))
        try:
            with _libtiff_heard(path), rasterio.Env(GDAL_CACHEMAX=cache_bytes()):
                rasterio.shutil.copy(source, cog, **_options(layer))
        except (RasterioError, CPLE_BaseError, SystemError) as error:
            # SystemError: GDAL gave up without a word.
            reason = " ".join(str(error.__cause__ or error).split())
            raise OutputError(f"{path}: cannot be written ({reason}). Is the disk full?") from error


def tags(path: Path) -> dict[str, str]:
    """The tags of a GeoTIFF; InputError and DataError as `rasters.describe`."""
    with opened(str(path)) as source:
        return dict(source.tags())


@contextmanager
def _libtiff_heard(path: Path) -> Iterator[None]:
    """Raise OutputError where libtiff could not write, which GDAL may pass over as if all were well.

    libtiff says it through C's `stderr`, which Python's is not: file descriptor 2 stays as it is. What
    it says of another thread's file ends this one too; neither is taken for whole.
    """
    if not hasattr(os, "memfd_create"):  # Linux has it, and no disk that could be full
        yield
        return
    global _listening, _loud
    heard, stream = _ear()
    with _lock:
        start = os.fstat(heard).st_size
        if not _listening:
            _loud, _c_stderr().value = _c_stderr().value, stream
        _listening += 1
    try:
        yield
    finally:
        with _lock:
            _listening -= 1
            if not _listening:
                _c_stderr().value = _loud
            ctypes.CDLL(None).fflush(ctypes.c_void_p(stream))
            end = os.fstat(heard).st_size
    said = os.pread(heard, end - start, start).decode(errors="replace").splitlines()
    for line in said:
        if _CANNOT_WRITE.search(line):
            raise OutputError(f"{path}: cannot be written ({line}). Is the disk full?")


@cache
def _ear() -> tuple[int, int]:
    """A file in memory and a C stream into it, for as long as the process lives."""
    heard = os.memfd_create("libtiff")
    fdopen = ctypes.CDLL(None).fdopen
    fdopen.restype = ctypes.c_void_p
    return heard, fdopen(heard, b"a")


def _c_stderr() -> ctypes.c_void_p:
    return ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr")


def _described(grid: Grid, layer: Layer, dtype: np.dtype[Any]) -> bytes:
    """A VRT that says what the raw pixels are.

    A scratch file of GDAL's own would need no such text, but libtiff can turn in circles for ever when
    it closes a file on a full disk.
    """
    root = Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs:
        SubElement(root, "SRS").text = grid.crs
    geotransform = rasterio.Affine(*grid.transform).to_gdal()
    SubElement(root, "GeoTransform").text = ", ".join(map(repr, geotransform))
    metadata = SubElement(root, "Metadata")
    for key, value in layer.tags.items():
        SubElement(metadata, "MDI", key=key).text = value
    kind = {"uint8": "Byte", "uint16": "UInt16", "float32": "Float32"}[layer.dtype]
    for number, colour in enumerate(layer.bands):
        band = SubElement(
            root, "VRTRasterBand", dataType=kind, band=str(number + 1), subClass="VRTRawRasterBand"
        )
        if layer.nodata is not None:
            SubElement(band, "NoDataValue").text = repr(layer.nodata)
        if layer.colours:
            _palette(band, layer.colours)
        elif colour:
            SubElement(band, "ColorInterp").text = colour
        SubElement(band, "SourceFilename", relativeToVRT="1").text = _PIXELS
        SubElement(band, "ImageOffset").text = str(dtype.itemsize * number)
        SubElement(band, "PixelOffset").text = str(layer.pixel_bytes)
        SubElement(band, "LineOffset").text = str(layer.pixel_bytes * grid.width)
        SubElement(band, "ByteOrder").text = "LSB"
    return tostring(root)


def _palette(band: Element, colours: Mapping[int, tuple[int, int, int, int]]) -> None:
    SubElement(band, "ColorInterp").text = "Palette"
    table = SubElement(band, "ColorTable")
    for number in range(max(256, max(colours) + 1)):
        colour = colours.get(number, (0, 0, 0, 255))
        SubElement(table, "Entry", {f"c{k}": str(c) for k, c in enumerate(colour, 1)})


def _options(layer: Layer) -> dict[str, str]:
    return {
        "driver": "COG",
        "compress": "DEFLATE",
        "predictor": "3" if np.dtype(layer.dtype).kind == "f" else "NO",
        "blocksize": str(_BLOCK),
        "overview_resampling": layer.overviews,
        "bigtiff": "IF_SAFER",
        "num_threads": "ALL_CPUS",
        # Zeros are nothing where there is an alpha band, and what lies far apart is mostly nothing.
        "sparse_ok": "TRUE" if "Alpha" in layer.bands else "FALSE",
    }

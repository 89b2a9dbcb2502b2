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
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what `copy` lets through, though no other call does
from rasterio.errors import RasterioError

from tile2vec_cli.errors import OutputError
from tile2vec_cli.parts import new_file_from
from tile2vec_cli.rasters import Raster, cache_bytes, opened

Write = Callable[[int, int, NDArray[Any]], None]
"""Called with row, column, and pixels (H, W) whose upper left corner lies there."""

_BLOCK = 512
_PIXELS = "pixels.raw"
_lock = threading.Lock()
_listening = 0  # writers at work
_loud: int | None = None  # C's stderr, meanwhile
_CANNOT_WRITE = re.compile(r"_tiff(Write|Seek)Proc|[Ww]rit")


@dataclass(frozen=True)
class Layer:
    """What the one band of a map holds."""

    dtype: str
    nodata: float
    overviews: str  # how pixels are resampled into overviews
    tags: Mapping[str, str]
    colours: Mapping[int, tuple[int, int, int, int]] = field(default_factory=dict)


@contextmanager
def new_cog(path: Path, scene: Raster, layer: Layer) -> Iterator[Write]:
    """Yield a function that writes pixels on the scene's grid; at the end `path` is a whole COG.

    In between they lie in a scratch file near it, as they are. Raises OutputError.
    """
    with new_file_from(path) as (cog, room):
        dtype = np.dtype(layer.dtype).newbyteorder("<")
        with (room / _PIXELS).open("wb") as file:
            file.truncate(dtype.itemsize * scene.height * scene.width)

            def write(row: int, col: int, pixels: NDArray[Any]) -> None:
                for number, line in enumerate(pixels.astype(dtype, order="C"), row):
                    file.seek(dtype.itemsize * (number * scene.width + col))
                    file.write(line.data)

            yield write
        source = room / "pixels.vrt"
        source.write_bytes(_described(scene, layer, dtype))
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


def _described(scene: Raster, layer: Layer, dtype: np.dtype[Any]) -> bytes:
    """A VRT that says what the raw pixels are.

    A scratch file of GDAL's own would need no such text, but libtiff can turn in circles for ever when
    it closes a file on a full disk.
    """
    root = Element("VRTDataset", rasterXSize=str(scene.width), rasterYSize=str(scene.height))
    if scene.crs:
        SubElement(root, "SRS").text = scene.crs
    geotransform = rasterio.Affine(*scene.transform).to_gdal()
    SubElement(root, "GeoTransform").text = ", ".join(map(repr, geotransform))
    metadata = SubElement(root, "Metadata")
    for key, value in layer.tags.items():
        SubElement(metadata, "MDI", key=key).text = value
    kind = {"uint8": "Byte", "float32": "Float32"}[layer.dtype]
    band = SubElement(root, "VRTRasterBand", dataType=kind, band="1", subClass="VRTRawRasterBand")
    SubElement(band, "NoDataValue").text = repr(layer.nodata)
    if layer.colours:
        SubElement(band, "ColorInterp").text = "Palette"
        table = SubElement(band, "ColorTable")
        for number in range(256):
            colour = layer.colours.get(number, (0, 0, 0, 255))
            SubElement(table, "Entry", {f"c{k}": str(c) for k, c in enumerate(colour, 1)})
    SubElement(band, "SourceFilename", relativeToVRT="1").text = _PIXELS
    SubElement(band, "PixelOffset").text = str(dtype.itemsize)
    SubElement(band, "LineOffset").text = str(dtype.itemsize * scene.width)
    SubElement(band, "ByteOrder").text = "LSB"
    return tostring(root)


def _options(layer: Layer) -> dict[str, str]:
    return {
        "driver": "COG",
        "compress": "DEFLATE",
        "predictor": "3" if np.dtype(layer.dtype).kind == "f" else "NO",
        "blocksize": str(_BLOCK),
        "overview_resampling": layer.overviews,
        "bigtiff": "IF_SAFER",
        "num_threads": "ALL_CPUS",
    }

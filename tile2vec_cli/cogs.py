"""Writing Cloud-Optimized GeoTIFFs, with GDAL's own COG driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from tile2vec_cli.errors import OutputError
from tile2vec_cli.parts import new_file, scratch_file
from tile2vec_cli.rasters import Raster, opened

Write = Callable[[int, int, NDArray[Any]], None]
"""Called with row, column, and pixels (H, W) whose upper left corner lies there."""

_BLOCK = 512


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

    In between they lie in an uncompressed scratch file beside it. Raises OutputError.
    """
    with scratch_file(path) as scratch:
        try:
            with _environment(), rasterio.open(scratch, "w", **_profile(scene, layer)) as target:
                target.update_tags(**layer.tags)
                if layer.colours:
                    target.write_colormap(1, dict(layer.colours))

                def write(row: int, col: int, pixels: NDArray[Any]) -> None:
                    height, width = pixels.shape
                    target.write(pixels.astype(layer.dtype), 1, window=Window(col, row, width, height))

                yield write
            with new_file(path) as temporary, _environment():
                rasterio.shutil.copy(scratch, temporary, **_options(layer))
        except (RasterioError, rasterio.errors.CRSError) as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise OutputError(f"{path}: cannot be written ({reason}). Is the disk full?") from error


def tags(path: Path) -> dict[str, str]:
    """The tags of a GeoTIFF; InputError and DataError as `rasters.describe`."""
    with opened(str(path)) as source:
        return dict(source.tags())


def _environment() -> rasterio.Env:
    return rasterio.Env(GDAL_CACHEMAX=128 << 20, GDAL_TIFF_INTERNAL_MASK=True)


def _profile(scene: Raster, layer: Layer) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "count": 1,
        "height": scene.height,
        "width": scene.width,
        "dtype": layer.dtype,
        "nodata": layer.nodata,
        "crs": scene.crs,
        "transform": rasterio.Affine(*scene.transform),
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "bigtiff": "IF_SAFER",
    }


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

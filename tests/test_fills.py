"""What is no data, by GDAL's own mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import SceneWriter

from tile2vec_cli.geo.fills import Fill, first_foreign
from tile2vec_cli.geo.scenes import open_scene

NAMES = {"uint8": "Byte", "int16": "Int16", "uint16": "UInt16", "int32": "Int32", "uint32": "UInt32"}
NAMES |= {"int64": "Int64", "uint64": "UInt64", "float32": "Float32", "float64": "Float64"}
REAL = (0, -0.0, 1, 0.1, -9999, -32768, 1e-38, 1e30, 1e31, 2e37, 1.7e38, 3.402e38, -3.4e38, -3.40282e38)
WHOLE = (0, -1, 1.5, 254.9999999, 255.5, 65535, -9999, -32768.2, 1e10, np.nan, np.inf, 4294967295)


def declaring(write_scene: SceneWriter, values: np.ndarray, nodata: str) -> Path:
    """A raster of one row, whose nodata is this text: rasterio itself writes none that does not fit."""
    path = write_scene("values.tif", values[None, None])
    virtual = path.with_name("declared.vrt")
    virtual.write_text(
        f'<VRTDataset rasterXSize="{len(values)}" rasterYSize="1"><SRS>EPSG:32614</SRS>'
        "<GeoTransform>500000,10,0,4400000,0,-10</GeoTransform>"
        f'<VRTRasterBand dataType="{NAMES[str(values.dtype)]}" band="1"><NoDataValue>{nodata}</NoDataValue>'
        '<SimpleSource><SourceFilename relativeToVRT="1">values.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return virtual


def masks(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Validity of the one row: ours, and GDAL's."""
    with open_scene(str(path)) as scene:
        pixels, valid = scene.read(0, 1)
    with rasterio.open(path) as source:
        gdal = source.read_masks(1)[0] != 0
    return np.ones(pixels.shape[1:], bool)[0] if valid is None else valid[0], gdal


def around(value: float, dtype: str) -> np.ndarray:
    """The value, its neighbours, what is a little and much larger, and the ends of the type's range."""
    near = np.array(value).astype(dtype) * np.linspace(1 - 4e-7, 1 + 4e-7, 41).astype(dtype)
    far = np.array(value).astype(dtype) * np.linspace(-1.2, 1.2, 25).astype(dtype)
    found = np.concatenate([near, far, [0, 1], [np.finfo(dtype).min, np.finfo(dtype).max]]).astype(dtype)
    return found[np.isfinite(found)]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # rasterio's own, in the oracle
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nodata", REAL)
def test_real_numbers(write_scene: SceneWriter, dtype: str, nodata: float) -> None:
    with np.errstate(over="ignore"):
        ours, gdal = masks(declaring(write_scene, around(nodata, dtype), repr(nodata)))
    assert (ours == gdal).all()
    assert not gdal.all()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32"])
@pytest.mark.parametrize("nodata", WHOLE)
def test_whole_numbers(write_scene: SceneWriter, dtype: str, nodata: float) -> None:
    held = np.iinfo(dtype)
    near = [int(nodata) + step for step in (-1, 0, 1)] if np.isfinite(nodata) else []
    values = np.clip([held.min, held.max, 0, 1, 2, 241, 254, *near], held.min, held.max).astype(dtype)
    path = declaring(write_scene, values, repr(nodata))
    ours, gdal = masks(path)
    assert (ours == gdal).all()
    with open_scene(str(path)) as scene:
        assert (scene.foreign_nodata is None) == (held.min <= nodata <= held.max)


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("int64", 2**63 - 1), ("int64", -(2**53) - 1), ("uint64", 2**64 - 1)]
)
def test_whole_numbers_beyond_what_floats_hold(write_scene: SceneWriter, dtype: str, nodata: int) -> None:
    step = 1 if nodata < 0 else -1
    ours, gdal = masks(declaring(write_scene, np.array([nodata, nodata + step, 0], dtype), str(nodata)))
    assert ours.tolist() == gdal.tolist() == [False, True, True]


def test_text_that_rounds_to_the_last_number_means_it(write_scene: SceneWriter) -> None:
    values = np.array([np.finfo("float32").min, -1e30, 0], "float32")
    path = write_scene("a.tif", values[None, None], nodata=-3.4028235e38)
    ours, gdal = masks(path)
    assert ours.tolist() == gdal.tolist() == [False, True, True]


def test_numbers_that_pixels_cannot_hold() -> None:
    for value, dtype in ((-9999, "uint8"), (65535, "int16"), (1e40, "float32"), (float("inf"), "uint8")):
        assert first_foreign([None, 0, value, 7], np.dtype(dtype)) == value
    assert first_foreign([float("nan"), float("inf"), None, -1e38], np.dtype("float32")) is None
    assert first_foreign([1e40], np.dtype("float64")) is None
    assert Fill.of(float("nan"), np.dtype("float32")) is None
    assert Fill.of(-3.4028235e38, np.dtype("float32")) == Fill(np.finfo("float32").min)


def test_the_same_rule_for_a_value_given_by_hand(write_scene: SceneWriter) -> None:
    values = np.array([np.finfo("float32").min, -9999.004, 0.5, 1e-3], "float32")
    path = write_scene("a.tif", values[None, None])
    for nodata, wanted in ((-3.4e38, [False, True, True, True]), (-9999, [True, False, True, True])):
        with open_scene(str(path), nodata=nodata) as scene:
            _, valid = scene.read(0, 1)
        assert valid is not None and valid[0].tolist() == wanted

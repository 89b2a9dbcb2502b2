from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from conftest import SceneWriter, real
from rasterio.warp import transform

from tile2vec_cli.errors import DataError, Remark
from tile2vec_cli.geo.scenes import sample


def test_values_agree_with_rasterio(write_scene: SceneWriter, noise: Callable[..., np.ndarray]) -> None:
    path = write_scene("a.tif", noise(1, 300, 200), nodata=3, tiled=True, blockxsize=16, blockysize=16)
    with rasterio.open(path) as source:
        rng = np.random.default_rng(0)
        x = rng.uniform(source.bounds.left - 100, source.bounds.right + 100, 500)
        y = rng.uniform(source.bounds.bottom - 100, source.bounds.top + 100, 500)
        expected = np.array([value[0] for value in source.sample(zip(x, y, strict=True))])
        inside = (x >= source.bounds.left) & (x < source.bounds.right)
        inside &= (y > source.bounds.bottom) & (y <= source.bounds.top)
        lonlat = np.stack(transform(source.crs, "OGC:CRS84", x, y), axis=1)
    values, valid = sample(str(path), lonlat)
    assert inside.sum() > 300
    assert not valid[~inside].any()
    assert (values[valid] == expected[valid]).all()
    assert (valid[inside] == (expected[inside] != 3)).all()


def test_another_crs_and_a_big_raster() -> None:
    path = real("cdl_kansas", "2021_30m_cdls.tif")
    with rasterio.open(path) as source:
        codes = source.read(1)
        rows, cols = np.random.default_rng(1).integers(0, 1000, (2, 300))
        x, y = rasterio.transform.xy(source.transform, rows, cols)
        lonlat = np.stack(transform(source.crs, "OGC:CRS84", x, y), axis=1)
    values, valid = sample(str(path), lonlat)
    assert valid.all()
    assert (values == codes[rows, cols]).all()


def test_labels_without_a_crs_are_refused(write_scene: SceneWriter) -> None:
    path = write_scene("a.tif", np.ones((1, 4, 4), np.uint8), crs=None)
    with pytest.raises(DataError, match="no CRS"):
        sample(str(path), np.zeros((1, 2)))


def test_fill_values_are_those_of_gdals_mask(write_scene: SceneWriter) -> None:
    """-3.4e+38 as text, and -3.4028235e+38 in the pixels."""
    codes = np.ones((1, 6, 6), np.float32)
    codes[:, :, 4:] = np.finfo(np.float32).min
    path = write_scene("labels.tif", codes, nodata=-3.4e38)
    rows, cols = (index.ravel() for index in np.indices((6, 6)))
    with rasterio.open(path) as source:
        wanted = source.read_masks(1)[rows, cols] != 0
        x, y = rasterio.transform.xy(source.transform, rows, cols)
        lonlat = np.stack(transform(source.crs, "OGC:CRS84", x, y), axis=1)
    values, valid = sample(str(path), lonlat)
    assert (valid == wanted).all() and valid.sum() == 24
    assert (values[valid] == 1).all()


def test_fill_values_that_label_pixels_cannot_hold_are_said(write_scene: SceneWriter) -> None:
    path = write_scene("labels.tif", np.ones((1, 4, 4), np.uint8))
    virtual = path.with_suffix(".vrt")
    rasterio.shutil.copy(path, virtual, driver="VRT")
    text = virtual.read_text()
    virtual.write_text(text.replace("<ColorInterp>", "<NoDataValue>-9999</NoDataValue><ColorInterp>", 1))
    with pytest.warns(Remark, match=r"-9999 in .*labels\.vrt.*--label-nodata"):
        sample(str(virtual), np.zeros((1, 2)))

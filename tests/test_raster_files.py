"""The files of a raster: what is told of them without GDAL, against what GDAL tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import SceneWriter

from tile2vec_cli.geo import raster_files, rasters

Noise = Callable[..., np.ndarray]
PAM = '<PAMDataset><PAMRasterBand band="2"><NoDataValue>-9999</NoDataValue></PAMRasterBand></PAMDataset>'
KINDS = [
    {},
    {"ENDIANNESS": "BIG"},
    {"BIGTIFF": "YES"},
    {"compress": "deflate", "tiled": True, "blockxsize": 16},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nodata", [None, 0, 7])
def test_a_tiff_lacks_nodata_where_gdal_finds_none(
    write_scene: SceneWriter, noise: Noise, kind: dict[str, object], nodata: int | None
) -> None:
    path = write_scene("a.tif", noise(2, 32, 32), nodata=nodata, **{**kind, "blockysize": 16})
    assert raster_files.lacks_nodata(str(path)) == (nodata is None)
    assert rasters.describe(str(path)).declared == (nodata, nodata)


def test_what_bytes_alone_do_not_tell_is_left_to_gdal(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_scene("a.tif", noise(2, 32, 32))
    assert raster_files.lacks_nodata(str(path))
    Path(f"{path}.aux.xml").write_text(PAM)
    assert not raster_files.lacks_nodata(str(path))
    assert rasters.describe(str(path)).declared == (None, -9999)
    assert not raster_files.lacks_nodata(str(tmp_path / "missing.tif"))
    assert not raster_files.lacks_nodata(f"/vsizip/{tmp_path}/a.zip/a.tif")
    large = write_scene("large.tif", noise(2, 32, 32))
    monkeypatch.setattr(raster_files, "_GLANCE_BYTES", large.stat().st_size - 1)
    assert not raster_files.lacks_nodata(str(large))


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder of more files than GDAL lists."""
    folder = tmp_path / "crowded"
    folder.mkdir()
    for number in range(1001):
        (folder / f"{number}.txt").touch()
    return folder


def test_a_crowded_folder_is_not_listed(
    crowded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE"}
    assert raster_files.listing(str(crowded / "a.tif")) == setting
    assert raster_files.listing(str(tmp_path / "a.tif")) == {}
    assert raster_files.listing(f"/vsizip/{crowded}/a.zip/a.tif") == {}
    monkeypatch.setenv("GDAL_READDIR_LIMIT_ON_OPEN", "5000")
    assert raster_files.listing(str(crowded / "a.tif")) == {}


def test_what_lies_beside_a_raster_is_found_in_a_crowded_folder(
    crowded: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    """As GDAL finds it in a folder that it lists: world file, overrides and mask."""
    found = []
    for folder in ("few", "crowded"):
        path = write_scene(f"{folder}/a.tif", noise(2, 32, 32), transform=None)
        path.with_suffix(".tfw").write_text("10\n0\n0\n-10\n500005\n4399995\n")
        Path(f"{path}.aux.xml").write_text(PAM)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as target:
            target.write_mask(np.eye(32, dtype=bool))
        assert Path(f"{path}.msk").exists()
        raster = rasters.describe(str(path))
        found.append((raster.transform, raster.declared, raster.has_mask))
    assert found[0] == found[1]
    assert found[0] == ((10, 0, 500_000, 0, -10, 4_400_000), (None, -9999), True)

"""Rasters in archives and subdatasets: opened as rasterio opens them."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import SceneWriter
from scipy.io import netcdf_file

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo.locations import pieces
from tile2vec_cli.geo.raster_files import identity
from tile2vec_cli.geo.rasters import describe
from tile2vec_cli.geo.scene_lists import expand
from tile2vec_cli.geo.scene_names import scene_name
from tile2vec_cli.geo.scenes import open_scene
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]


@pytest.fixture
def folder(tmp_path: Path, write_scene: SceneWriter, noise: Noise, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where one works: two rasters in a folder, in two.zip, two.tar, g.gpkg, and as variables in two.nc."""
    a, b = write_scene("a.tif", noise(1, 20, 20)), write_scene("b.tif", noise(1, 20, 20) // 2)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for path in (a, b):
            archive.write(path, f"product.SAFE/{path.name}")
        archive.writestr("product.SAFE/about.txt", "")
    with tarfile.open(tmp_path / "two.tar", "w") as tar:
        for path in (a, b):
            tar.add(path, path.name)
    for table in ("first", "second"):
        options = {"RASTER_TABLE": table, "APPEND_SUBDATASET": "YES" if table == "second" else "NO"}
        write_scene("g.gpkg", noise(1, 20, 20), driver="GPKG", **options)
    with netcdf_file(tmp_path / "two.nc", "w") as file:
        for name in ("y", "x"):
            file.createDimension(name, 20)
            file.createVariable(name, "f8", (name,))[:] = (
                np.arange(20.0) if name == "x" else np.arange(20.0)[::-1]
            )
        for name in ("red", "nir"):
            file.createVariable(name, "f4", ("y", "x"))[:] = noise(1, 20, 20)[0]
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "file", "name"),
    [
        ("netcdf:two.nc:red", "two.nc", "two_red"),
        ('NETCDF:"two.nc":nir', "two.nc", "two_nir"),
        ("GPKG:g.gpkg:second", "g.gpkg", "g_second"),
        ("GTIFF_DIR:1:a.tif", "a.tif", "a"),
        ("zip://two.zip!product.SAFE/a.tif", "two.zip", "a"),
        ("zip://two.zip!/product.SAFE/b.tif", "two.zip", "b"),
        ("/vsizip/two.zip/product.SAFE/b.tif", "two.zip", "b"),
        ("/vsizip/{two.zip}/product.SAFE/b.tif", "two.zip", "b"),
        ("/vsitar/two.tar/a.tif", "two.tar", "a"),
    ],
)
def test_they_open_as_rasterio_opens_them(folder: Path, path: str, file: str, name: str) -> None:
    (found,) = expand([path])
    assert pieces(found)[1] == str(folder / file) and scene_name(found) == name
    with rasterio.open(path.replace("zip://two.zip!", f"zip://{folder}/two.zip!/")) as source:
        expected = source.read()
    os.chdir("/")  # from everywhere
    with open_scene(found) as scene:
        assert (scene.raw(0, 20, 0, 20) == expected[: len(scene.bands)]).all()
    own = (folder / file).stat()
    assert identity(found) == {"size": own.st_size, "mtime": own.st_mtime}


def test_an_archive_is_read_as_a_folder_is(folder: Path) -> None:
    for archive in ("two.zip", "two.tar", "zip://two.zip"):
        found = expand([archive])
        assert [scene_name(path) for path in found] == ["a", "b"]
        assert cut(found, folder / "tiles" / archive.replace("/", "_"), TileConfig(size=10)).made == 2
    report = cut(expand(["two.zip"]), folder / "virtual", TileConfig(size=10, virtual=True))
    assert report.made == 2
    tiles = TileSet.open(folder / "virtual")
    with rasterio.open("a.tif") as source:
        assert (tiles.pixels(np.array([0]))[0] == source.read()[:, :10, :10]).all()


def test_what_is_missing_is_named_with_advice_that_works(folder: Path) -> None:
    for path in ("g.gpkg", "two.nc"):
        with pytest.raises(DataError, match=r"holds no bands of its own.* such as '(.+)'") as raised:
            describe(str(folder / path))
        advised = str(raised.value).split("such as '")[1].split("'")[0]
        assert describe(expand([advised])[0]).count
    for path in ("netcdf:none.nc:red", "zip://none.zip!a.tif"):
        with pytest.raises(InputError, match=rf"{folder}/none\.(nc|zip): no such file"):
            describe(expand([path])[0])
    with pytest.raises(DataError, match="cannot be opened as a raster"):
        describe(expand(["netcdf:two.nc:blue"])[0])
    (folder / "bad.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"bad\.zip: cannot be read as an archive"):
        expand(["bad.zip"])
    with zipfile.ZipFile("empty.zip", "w") as archive:
        archive.writestr("a.txt", "")
    with pytest.raises(InputError, match="no rasters in this archive"):
        expand(["empty.zip"])

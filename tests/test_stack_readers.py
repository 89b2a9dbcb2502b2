"""Stacks against rasterio's own nearest neighbour, file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import SceneWriter
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo.rasters import describe
from tile2vec_cli.geo.scenes import open_scene

Noise = Callable[..., np.ndarray]
X, Y = 500_000, 4_400_000


def stack(folder: Path, *names: str) -> str:
    return f"{folder}/{{{','.join(names)}}}.tif"


def grid(metres: float, right: float = 0, down: float = 0) -> rasterio.Affine:
    return from_origin(X + right, Y - down, metres, metres)


def nearest(path: Path, like: Path) -> np.ndarray:
    with rasterio.open(like) as first, rasterio.open(path) as source:
        grid_ = {"crs": first.crs, "transform": first.transform, "height": first.height, "width": first.width}
        with WarpedVRT(source, **grid_, resampling=rasterio.enums.Resampling.nearest) as warped:
            return np.asarray(warped.read())


@pytest.mark.parametrize("first", ["a", "b", "c"])
def test_bands_of_other_resolutions_come_by_nearest_neighbour(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise, first: str
) -> None:
    files = {
        "a": write_scene("a.tif", noise(1, 60, 72, "uint16"), transform=grid(10)),
        "b": write_scene("b.tif", noise(1, 30, 36, "uint16"), transform=grid(20)),
        "c": write_scene("c.tif", noise(1, 10, 12, "uint16"), transform=grid(60), nodata=65535),
    }
    names = [first, *sorted(files.keys() - {first})]
    path = stack(tmp_path, *names)
    expected = np.concatenate([nearest(files[name], files[first]) for name in names])
    with open_scene(path) as scene:
        assert scene.bands == (1, 2, 3) and scene.dtype == np.uint16
        pixels, valid = scene.read(0, scene.raster.height)
        assert (pixels == expected).all() and valid is None
        part, _ = scene.read(3, 9, 2, 11)
        assert (part == expected[:, 3:9, 2:11]).all()
    with open_scene(path, bands=(3, 1)) as scene:
        assert (scene.read(0, 5)[0] == expected[[2, 0], :5]).all()
    raster, own = describe(path), describe(str(files[first]))
    assert (raster.transform, raster.crs, raster.height) == (own.transform, own.crs, own.height)
    assert raster.descriptions == tuple(names) and raster.count == 3
    assert raster.nodata[names.index("c")] == 65535 and raster.nodata.count(None) == 2


def test_a_pixel_is_valid_where_every_file_says_so(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    pixels = noise(1, 64, 64)
    pixels[0, 5, 6] = 9
    write_scene("nodata.tif", pixels, nodata=9, transform=grid(10))
    mask = np.full((32, 32), 255, np.uint8)
    mask[3, 4] = 0
    write_scene("masked.tif", noise(1, 32, 32), mask=mask, transform=grid(20))
    write_scene("short.tif", noise(1, 30, 32), transform=grid(20))
    holes = {"tiled": True, "blockxsize": 16, "blockysize": 16, "SPARSE_OK": True, "transform": grid(20)}
    sparse = write_scene("sparse.tif", noise(1, 32, 32), **holes)
    with rasterio.open(sparse) as source:
        profile = source.profile
    with rasterio.open(sparse, "w", **profile, SPARSE_OK=True) as target:
        for row, col in ((0, 0), (0, 16), (16, 0)):  # not the last block
            target.write(noise(1, 16, 16), window=rasterio.windows.Window(col, row, 16, 16))
    with rasterio.open(tmp_path / "nodata.tif") as source:
        expected = source.read_masks(1) != 0
    expected[6:8, 8:10] = False
    expected[60:] = False
    expected[32:, 32:] = False
    with open_scene(stack(tmp_path, "nodata", "masked", "short", "sparse")) as scene:
        _, valid = scene.read(0, 64)
        assert valid is not None and (valid == expected).all()
        _, part = scene.read(2, 20, 5, 30)
        assert part is not None and (part == expected[2:20, 5:30]).all()


def test_what_cannot_be_one_scene_is_refused(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> None:
    write_scene("a.tif", noise(1, 20, 20), transform=grid(10))
    write_scene("crs.tif", noise(1, 20, 20), transform=grid(10), crs="EPSG:32615")
    write_scene("beside.tif", noise(1, 20, 20), transform=grid(10, right=1000))
    write_scene("turned.tif", noise(1, 20, 20), transform=grid(10) * rasterio.Affine.rotation(20))
    write_scene("type.tif", noise(1, 20, 20, "uint16"), transform=grid(10))
    for name, words in (
        ("crs", "another CRS"),
        ("beside", "lies beside"),
        ("turned", "is turned against"),
        ("type", "types uint16, uint8"),
    ):
        with (
            pytest.raises(DataError, match=rf"{name}.*{words}"),
            open_scene(stack(tmp_path, "a", name)) as scene,
        ):
            scene.read(0, 1)
    with pytest.raises(InputError, match=r"no file of band nir \(.*nir\.tif\)"):
        describe(stack(tmp_path, "a", "nir"))
    (tmp_path / "vrt.tif").write_text("<VRTDataset/>")
    with pytest.raises(DataError, match=r"vrt\.tif"):
        describe(stack(tmp_path, "a", "vrt"))


def test_a_damaged_file_is_named(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> None:
    write_scene("a.tif", noise(1, 200, 200))
    cut_short = write_scene("b.tif", noise(1, 200, 200))
    cut_short.write_bytes(cut_short.read_bytes()[:20_000])
    with (
        open_scene(stack(tmp_path, "a", "b")) as scene,
        pytest.raises(DataError, match=r"b\.tif.* cut short"),
    ):
        scene.read(0, 200)

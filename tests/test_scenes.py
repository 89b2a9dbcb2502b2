from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import SceneWriter, real
from rasterio.enums import ColorInterp

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo.scenes import open_scene

Noise = Callable[..., np.ndarray]


def test_windows_are_what_rasterio_reads(write_scene: SceneWriter, noise: Noise) -> None:
    pixels = noise(4, 90, 70)
    path = write_scene("a.tif", pixels, tiled=True, blockxsize=16, blockysize=32)
    with open_scene(str(path)) as scene:
        assert scene.bands == (1, 2, 3, 4)
        found, valid = scene.read(10, 50, 5, 60)
        assert valid is None
        assert (found == pixels[:, 10:50, 5:60]).all()
    with open_scene(str(path), bands=(3, 1)) as scene:
        assert (scene.read(0, 90)[0] == pixels[[2, 0]]).all()


def test_nodata_of_any_band_makes_a_pixel_invalid(write_scene: SceneWriter, noise: Noise) -> None:
    pixels = noise(2, 20, 20, "int16")
    pixels[0, 3, 4] = pixels[1, 7, 8] = -9999
    path = write_scene("a.tif", pixels, nodata=-9999)
    with open_scene(str(path)) as scene:
        _, valid = scene.read(0, 20)
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[3, 4], [7, 8]]


def test_an_undeclared_fill_value_counts_beside_the_declared_one(
    write_scene: SceneWriter, noise: Noise
) -> None:
    pixels = noise(1, 9, 9)
    pixels[0, 0, 0], pixels[0, 1, 1] = 0, 255
    path = write_scene("a.tif", pixels, nodata=0)
    with open_scene(str(path), nodata=255) as scene:
        _, valid = scene.read(0, 9)
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("declared", [None, np.nan, -1.0])
def test_what_is_not_finite_is_never_valid(
    write_scene: SceneWriter, noise: Noise, declared: float | None
) -> None:
    pixels = noise(2, 9, 9, "float32")
    pixels[0, 2, 2], pixels[1, 3, 3], pixels[0, 4, 4] = np.nan, np.inf, -np.inf
    path = write_scene("a.tif", pixels, nodata=declared)
    with open_scene(str(path)) as scene:
        _, valid = scene.read(0, 9)
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[2, 2], [3, 3], [4, 4]]


def test_a_mask_beside_the_bands_counts(write_scene: SceneWriter, noise: Noise) -> None:
    mask = np.full((20, 20), 255, np.uint8)
    mask[5, 6] = 0
    path = write_scene("a.tif", noise(3, 20, 20), mask=mask)
    with open_scene(str(path)) as scene:
        _, valid = scene.read(0, 20)
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[5, 6]]


def test_a_mask_counts_beside_an_alpha_band(write_scene: SceneWriter, noise: Noise) -> None:
    pixels, mask = noise(4, 20, 20), np.full((20, 20), 255, np.uint8)
    pixels[3], mask[5, 6] = 255, 0
    pixels[3, 7, 8] = 0
    path = write_scene("a.tif", pixels, mask=mask, photometric="RGB", alpha="yes")
    with open_scene(str(path)) as scene:
        assert scene.alpha == "mask"
        _, valid = scene.read(0, 20)
    assert valid is not None
    assert np.argwhere(~valid).tolist() == [[5, 6], [7, 8]]


@pytest.fixture
def tagged(write_scene: SceneWriter, noise: Noise) -> Callable[[bool], Path]:
    """A scene of four bands whose last one, tagged alpha, is a true mask or near-infrared."""

    def write(is_mask: bool) -> Path:
        pixels = noise(4, 40, 40)
        if is_mask:
            pixels[3] = np.where(pixels[3] < 20, 0, 255)
        path = write_scene("a.tif", pixels, photometric="RGB", alpha="yes")
        with rasterio.open(path) as source:
            assert source.colorinterp[3] == ColorInterp.alpha
        return path

    return write


@pytest.mark.parametrize(
    ("alpha", "is_mask", "bands", "use", "count"),
    [
        ("auto", True, None, "mask", 3),
        ("auto", False, None, "data", 4),
        ("mask", False, None, "mask", 3),
        ("data", True, None, "data", 4),
        ("auto", True, (4, 1), None, 2),
        ("auto", True, (1, 2), "mask", 2),
    ],
)
def test_a_band_tagged_alpha(
    tagged: Callable[[bool], Path],
    alpha: str,
    is_mask: bool,
    bands: tuple[int, ...] | None,
    use: str,
    count: int,
) -> None:
    path = tagged(is_mask)
    with open_scene(str(path), alpha=alpha, bands=bands) as scene, rasterio.open(path) as source:
        assert scene.alpha == use
        found, valid = scene.read(0, 40)
        assert len(found) == count
        if use == "mask" and is_mask:
            assert valid is not None
            assert (valid == (source.read(4) != 0)).all()
        else:
            assert valid is None


def test_near_infrared_tagged_alpha_in_real_files() -> None:
    with open_scene(str(real("naip_california", "chico_2018_0.tif"))) as scene:
        assert scene.alpha == "data"
        assert scene.read(0, 256)[0].shape == (4, 256, 256)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_blocks_that_a_sparse_file_does_not_hold_are_invalid(
    tmp_path: Path, noise: Noise, interleave: str
) -> None:
    path = tmp_path / "sparse.tif"
    profile = {"count": 2, "height": 64, "width": 64, "dtype": "uint8", "crs": "EPSG:32614"}
    profile |= {"tiled": True, "blockxsize": 32, "blockysize": 32, "sparse_ok": True}
    profile |= {"interleave": interleave, "transform": rasterio.transform.from_origin(5e5, 4e6, 1, 1)}
    with rasterio.open(path, "w", **profile) as target:
        target.write(noise(2, 32, 32), window=((0, 32), (32, 64)))
    with open_scene(str(path)) as scene:
        _, valid = scene.read(10, 60, 20, 64)
    expected = np.zeros((64, 64), bool)
    expected[:32, 32:] = True
    assert valid is not None
    assert (valid == expected[10:60, 20:64]).all()


def test_bad_files_are_said_in_one_line(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> None:
    good = write_scene("a.tif", noise(3, 64, 64), compress="deflate")
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "short.tif").write_bytes(good.read_bytes()[:4000])
    (tmp_path / "disguised.tif").write_text(
        f"<VRTDataset rasterXSize='1' rasterYSize='1'>{good}</VRTDataset>"
    )
    with pytest.raises(InputError, match="no such file"), open_scene(str(tmp_path / "none.tif")):
        pass
    for name in ("text.tif", "disguised.tif"):
        with pytest.raises(DataError, match=name), open_scene(str(tmp_path / name)):
            pass
    with pytest.raises(DataError, match="short"), open_scene(str(tmp_path / "short.tif")) as scene:
        scene.read(0, 64)
    with pytest.raises(DataError, match="has 3 bands, no band 7"), open_scene(str(good), bands=(1, 7)):
        pass


def test_complex_pixels_are_refused(write_scene: SceneWriter) -> None:
    path = write_scene("a.tif", np.ones((1, 4, 4), np.complex64))
    with pytest.raises(DataError, match="complex"), open_scene(str(path)):
        pass

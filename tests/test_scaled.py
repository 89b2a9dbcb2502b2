"""--scaled: what GDAL makes of numbers, their scale and their offset, from tiles to maps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fields
import numpy as np
import pytest
import rasterio
from conftest import SceneWriter
from segmented import SMALL, read, write_model
from segmented import run as map_

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.scenes import open_scene
from tile2vec_cli.neural import models
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]
SCALES, OFFSETS = (1e-4, 0.5), (-0.1, 3.0)
CONFIG = TileConfig(size=10, min_valid=0.0, nodata=7, scaled=True)


@pytest.fixture
def scene(write_scene: SceneWriter, noise: Noise) -> Path:
    """int16, with declared and undeclared nodata, and a scale and an offset a band."""
    pixels = noise(2, 40, 30, "int16")
    pixels[0, 3, 4], pixels[1, 15:18, 12] = -99, 7
    path = write_scene("a.tif", pixels, nodata=-99)
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = SCALES, OFFSETS
    return path


def in_units(path: Path, *undeclared: int) -> np.ndarray:
    """(C, H, W) float32 by rasterio, NaN where any band is no data."""
    with rasterio.open(path) as source:
        stored = source.read()
        pixels = np.stack(
            [
                band * scale + offset
                for band, scale, offset in zip(stored, source.scales, source.offsets, strict=True)
            ]
        ).astype(np.float32)
        valid = (source.read_masks() != 0).all(axis=0) & ~np.isin(stored, undeclared).any(axis=0)
    return np.where(valid, pixels, np.float32(np.nan))


def test_pixels_in_their_units(scene: Path) -> None:
    wanted = in_units(scene, 7)
    with open_scene(str(scene), nodata=7, scaled=True) as opened:
        assert opened.dtype == np.float32
        pixels, valid = opened.read(0, 40)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, wanted)
    assert valid is not None and (valid == np.isfinite(wanted[0])).all()
    assert not valid[3, 4] and not valid[15:18, 12].any() and valid.mean() > 0.9


@pytest.mark.parametrize("virtual", [False, True])
def test_tiles_in_their_units(scene: Path, tmp_path: Path, virtual: bool) -> None:
    cutting.cut([str(scene)], tmp_path / "tiles", replace(CONFIG, virtual=virtual))
    tiles = TileSet.open(tmp_path / "tiles")
    manifest = json.loads((tmp_path / "tiles" / "manifest.json").read_text())
    assert (manifest["dtype"], manifest["settings"]["scaled"]) == ("float32", True)
    assert tiles.is_scaled and tiles.parts[0].info["scaling"] == [[1e-4, -0.1], [0.5, 3.0]]
    index, wanted = tiles.table(), in_units(scene, 7)
    windows = [(row.as_py(), col.as_py()) for row, col in zip(index["row"], index["col"], strict=True)]
    cut = np.stack([wanted[:, row : row + 10, col : col + 10] for row, col in windows])
    ids = np.arange(len(tiles))
    np.testing.assert_array_equal(tiles.parts[0].raw(slice(None)), cut)
    valid = np.isfinite(cut[:, 0])
    assert (tiles.valid(ids) == valid).all()
    assert np.isfinite(tiles.pixels(ids)).all()  # invalid pixels hold their tile's mean
    sums = [band["sum"] for band in tiles.parts[0].info["bands"]]
    np.testing.assert_allclose(sums, np.nansum(cut, axis=(0, 2, 3), dtype=np.float64))
    tiles.parts[0].verify()


def test_stored_and_scaled_tiles_are_never_mixed(scene: Path, tmp_path: Path) -> None:
    stored = replace(CONFIG, scaled=False)
    for first, second in ((CONFIG, stored), (stored, CONFIG)):
        out = tmp_path / str(first.scaled)
        cutting.cut([str(scene)], out, first)
        with pytest.raises(DataError, match=f"made with scaled = {first.scaled}"):
            cutting.cut([str(scene)], out, second)
        assert len(TileSet.open(out)) == 12
    model = models.Description("encoder", {}, (1, 2), "float32", 10, {}, {}, {}, scaled=True)
    models.require_fit(tmp_path, model, TileSet.open(tmp_path / "True"))
    with pytest.raises(DataError, match=r"--scaled is off; .* needs --scaled on"):
        models.require_fit(tmp_path, model, TileSet.open(tmp_path / "False"))


def test_a_scale_of_nothing_is_refused(write_scene: SceneWriter, noise: Noise) -> None:
    path = write_scene("a.tif", noise(1, 20, 20))
    with rasterio.open(path, "r+") as target:
        target.scales = (0.0,)
    with pytest.raises(DataError, match=r"a\.tif: band 1 has scale 0"), open_scene(str(path), scaled=True):
        pass


def test_a_map_of_scenes_that_are_scaled_otherwise(tmp_path: Path) -> None:
    """A scene of other numbers that mean the same has the same map."""
    fields.make(tmp_path, 96)
    first = tmp_path / "scenes" / "land.tif"
    with rasterio.open(first) as source:
        pixels = source.read()
    other = fields.write(tmp_path / "other.tif", np.where(pixels == -99, -99, pixels * 2 + 1000), -99)
    with rasterio.open(other, "r+") as target:
        target.scales, target.offsets = (0.5,) * 3, (-500.0,) * 3
    config = TileConfig(size=fields.SIDE, min_valid=0.25, scaled=True)
    cutting.cut([str(first), str(other)], tmp_path / "tiles", config, overwrite=True)
    tiles = TileSet.open(tmp_path / "tiles")
    half = np.arange(len(tiles) // 2)
    assert (tiles.pixels(half) == tiles.pixels(half + len(half))).all()
    write_model(tmp_path, tmp_path / "model", seed=0)
    assert models.describe(tmp_path / "model").scaled
    assert not map_([first, other], tmp_path / "model", tmp_path / "maps", SMALL).failed
    for name in ("land.tif", "land.probability.tif"):
        mapped, also = (read(tmp_path / "maps" / each) for each in (name, name.replace("land", "other")))
        assert np.array_equal(mapped, also, equal_nan=True)
    assert (mapped[20:40, 20:40] != mapped[20:40, 20:40]).all()

"""Random convolutional features, against a plain convolution and the published steps in numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SceneWriter
from numpy.typing import NDArray
from torch.nn.functional import conv2d

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.neural import device, random_features
from tile2vec_cli.neural.random_features import Filters
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet


def textured(bands: int = 3, side: int = 20, dtype: str = "uint8", tiles: int = 12) -> NDArray[np.generic]:
    random = np.random.default_rng(1)
    coarse = np.kron(random.integers(40, 200, (tiles, bands, 5, 5)), np.ones((1, 1, side // 5, side // 5)))
    return (coarse + random.integers(0, 50, coarse.shape)).astype(dtype)


def filters_of(pixels: NDArray[np.generic], count: int = 16, stride: int = 2) -> Filters:
    random = np.random.default_rng(0)
    everywhere = np.ones((len(pixels), *pixels.shape[2:]), bool)
    drawn = random_features.draw(pixels, everywhere, 200, random)
    return random_features.fit(drawn, count, random, stride)


def by_convolution(
    filters: Filters, pixels: NDArray[np.generic], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """(B, 2 F) in float64, position by position."""
    known = np.isfinite(pixels).all(axis=1) & (True if valid is None else valid)
    seen = np.where(known[:, None], pixels, 0).astype(np.float64) - filters.shift.numpy()[:, None, None]
    weight = filters.weight.permute(0, 3, 1, 2).double()
    y = conv2d(torch.from_numpy(seen), weight, filters.bias.double(), filters.stride).numpy()
    rows = []
    for number, tile in enumerate(y):
        step, side = filters.stride, filters.side
        whole = np.array(
            [
                [
                    known[number, step * r : step * r + side, step * c : step * c + side].all()
                    for c in range(tile.shape[2])
                ]
                for r in range(tile.shape[1])
            ]
        )
        rows.append([np.maximum(sign * one[whole], 0).mean() for sign in (1, -1) for one in tile])
    return np.array(rows)


def features(filters: Filters, pixels: NDArray[np.generic], *valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    with torch.inference_mode():
        return filters.features(*map(torch.from_numpy, (pixels, *valid))).double().numpy()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_they_are_means_of_a_convolution(dtype: str, stride: int) -> None:
    pixels = textured(dtype=dtype)
    filters = filters_of(pixels, stride=stride)
    assert features(filters, pixels) == pytest.approx(by_convolution(filters, pixels), rel=1e-4, abs=1e-5)


def test_strips_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = textured()
    filters = filters_of(pixels)
    expected = features(filters, pixels)
    for limit in (1, 2000, 50_000):
        monkeypatch.setitem(random_features._CACHE_BYTES, "cpu", limit)
        assert features(filters, pixels) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_half_precision_is_near_and_for_bytes_only() -> None:
    for dtype in ("uint8", "uint16"):
        pixels = textured(dtype=dtype)
        filters = filters_of(pixels, count=64)
        expected = features(filters, pixels)
        with torch.autocast("cpu", torch.bfloat16):
            found = features(filters, pixels)
        if dtype == "uint8":
            assert np.abs(found - expected).max() < 0.1 * expected.std(axis=0).mean()
            assert not np.array_equal(found, expected)
        else:
            assert np.array_equal(found, expected)


def test_positions_with_invalid_pixels_are_left_out() -> None:
    pixels = textured(dtype="float32")
    valid = np.random.default_rng(2).random((len(pixels), 20, 20)) > 0.03
    filters = filters_of(pixels)
    expected = by_convolution(filters, pixels, valid)
    found = features(filters, pixels, valid)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    pixels[:, 1][~valid] = np.nan
    assert np.array_equal(features(filters, pixels), found)


def test_a_tile_without_any_whole_patch_is_all_shift() -> None:
    pixels = textured(dtype="float32")
    filters = filters_of(pixels)
    pixels[3] = np.nan
    bias = filters.bias.numpy()
    found = features(filters, pixels)[3]
    assert found == pytest.approx(np.maximum([*bias, *-bias], 0), abs=1e-6)


def test_filters_are_whitened_patches_as_published() -> None:
    pixels = textured(bands=2)
    random = np.random.default_rng(0)
    drawn = random_features.draw(pixels, np.ones((12, 20, 20), bool), 200, random)
    found = random_features.fit(drawn, 8, np.random.default_rng(5))
    p = drawn.reshape(len(drawn), -1) / 255
    p = p - p.mean(axis=1, keepdims=True)
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    mean = p.mean(axis=0)
    values, axes = np.linalg.eigh((p - mean).T @ (p - mean) / len(p))
    zca = axes @ np.diag(1 / np.sqrt(values + 1e-3)) @ axes.T
    chosen = np.random.default_rng(5).choice(len(p), 8, replace=False)
    weight = (p[chosen] - mean) @ zca @ zca.T
    assert found.weight.flatten(1).numpy() == pytest.approx(weight / 255, rel=1e-4, abs=1e-6)
    own = found.bias - found.weight.flatten(1) @ found.shift.repeat(9)
    assert own.numpy() == pytest.approx(-weight @ mean, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    "pixels",
    [
        textured(side=20, tiles=1),
        textured(bands=1),
        textured(side=5)[:, :, :2, :2],
        textured(bands=1, side=5)[:1, :, :2, :2],
        np.full((4, 3, 8, 8), 7, np.uint8),
        np.full((4, 1, 8, 8), 0.25, np.float32),
        np.concatenate([textured(), np.full((12, 1, 20, 20), 9, np.uint8)], axis=1),
        np.full((4, 2, 8, 8), np.nan, np.float32),
    ],
    ids=[
        "one tile",
        "one band",
        "2 pixels",
        "2 pixels of one",
        "constant",
        "constant float",
        "flat",
        "nothing",
    ],
)
def test_there_are_numbers_for_any_tiles(pixels: NDArray[np.generic]) -> None:
    filters = filters_of(pixels, count=300)
    found = features(filters, pixels)
    assert found.shape == (len(pixels), 600)
    assert np.isfinite(found).all() and (found >= 0).all()
    if np.isfinite(pixels).all():
        assert found == pytest.approx(by_convolution(filters, pixels), rel=1e-3, abs=1e-4)


def test_the_same_seed_draws_the_same_from_a_tile_set(write_scene: SceneWriter, tmp_path: Path) -> None:
    pixels = textured(bands=2, side=60, tiles=1)[0]
    pixels[:, 8, 8] = 0
    scene = write_scene("scene.tif", pixels, nodata=0)
    cutting.cut([str(scene)], tmp_path / "tiles", TileConfig(size=10, min_valid=0.5))
    tiles = TileSet.open(tmp_path / "tiles")
    ids = np.arange(len(tiles))
    one, same, other = (random_features.fitted(tiles, ids, 8, seed) for seed in (0, 0, 1))
    assert torch.equal(one.weight, same.weight) and not torch.equal(one.weight, other.weight)
    assert device.choose().device.type in random_features._CACHE_BYTES

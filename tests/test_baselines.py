"""The rivals of embeddings, against numpy, scikit-learn and the encoder itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SceneWriter
from sklearn.decomposition import PCA

from tile2vec_cli.config.pipeline import BASELINE_NAMES, TileConfig
from tile2vec_cli.evaluation import baselines
from tile2vec_cli.evaluation.baselines import BASELINES, Architecture
from tile2vec_cli.neural import encoders, random_features
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

ANY = Architecture()


@pytest.fixture
def tiles(write_scene: SceneWriter, tmp_path: Path) -> TileSet:
    """100 tiles of 8 × 8 pixels, two bands, some pixels invalid."""
    random = np.random.default_rng(0)
    smooth = np.kron(random.integers(50, 150, (2, 10, 10)), np.ones((8, 8)))
    pixels = (smooth + random.integers(0, 40, smooth.shape)).astype(np.uint8)
    pixels[:, 3, 3] = 0
    scene = write_scene("scene.tif", pixels, nodata=0)
    cutting.cut([str(scene)], tmp_path / "tiles", TileConfig(size=8, min_valid=0.5))
    return TileSet.open(tmp_path / "tiles")


def test_there_is_one_for_each_name_of_the_command_line() -> None:
    assert tuple(BASELINES) == BASELINE_NAMES


def test_stats_are_those_of_the_valid_pixels(tiles: TileSet) -> None:
    ids = np.array([0, 55, 3])
    found = baselines.stats(tiles, ids, 0, ANY)
    pixels, valid = tiles.pixels(ids).astype(float), tiles.valid(ids)
    assert not valid[0].all()
    for row, tile, mask in zip(found, pixels, valid, strict=True):
        expected = [*(band[mask].mean() for band in tile), *(band[mask].std() for band in tile)]
        assert row == pytest.approx(expected, rel=1e-5)


def test_components_are_those_of_all_pixels(tiles: TileSet) -> None:
    ids = np.arange(100)
    found = baselines.pca(tiles, ids, 0, ANY)
    exact = PCA(64, svd_solver="full").fit_transform(tiles.pixels(ids).reshape(100, -1).astype(float))
    assert found.shape == (100, 64)
    assert np.abs(np.abs(found[:, :8]) - np.abs(exact[:, :8])).max() < 0.01 * np.abs(exact[:, :8]).max()


def test_fewer_tiles_have_fewer_components(tiles: TileSet) -> None:
    assert baselines.pca(tiles, np.arange(10), 0, ANY).shape == (10, 10)


def test_components_from_a_sample(tiles: TileSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_SAMPLE", 70)
    monkeypatch.setattr(baselines, "_CHUNK", 32)
    one, other = (baselines.pca(tiles, np.arange(100), seed, ANY) for seed in (0, 1))
    assert one.shape == (100, 64)
    assert not np.allclose(np.abs(one), np.abs(other))


def test_they_can_be_fitted_on_other_tiles(tiles: TileSet) -> None:
    source, ids = np.arange(70), np.array([3, 90, 99])
    exact = PCA(64, svd_solver="full").fit(tiles.pixels(source).reshape(70, -1).astype(float))
    expected = exact.transform(tiles.pixels(ids).reshape(3, -1).astype(float))
    found = baselines.pca(tiles, ids, 0, ANY, source)
    assert np.abs(np.abs(found[:, :8]) - np.abs(expected[:, :8])).max() < 0.01 * np.abs(expected[:, :8]).max()
    filters = random_features.fitted(tiles, source, 4, 5)
    seen = torch.from_numpy(tiles.pixels(ids)), torch.from_numpy(tiles.valid(ids))
    expected = filters.features(*seen).numpy()
    assert np.abs(baselines.rcf(tiles, ids, 5, ANY, source, 4) - expected).max() < 0.05 * expected.max()


def test_random_is_the_encoder_before_training(tiles: TileSet) -> None:
    ids = np.arange(20)
    found = baselines.random(tiles, ids, 3, Architecture("small", 16))
    pixels = tiles.pixels(ids).astype(np.float64)
    mean, std = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3))
    encoder = encoders.untrained("small", 2, 16, mean.tolist(), std.tolist(), 3).eval()
    with torch.inference_mode():
        expected = encoder(torch.from_numpy(tiles.pixels(ids))).numpy()
    assert found.shape == (20, 16)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()  # bf16 where the CPU has it


def test_random_features_are_those_of_the_filters(tiles: TileSet) -> None:
    ids = np.array([0, 7, 55, 3])
    found = baselines.rcf(tiles, ids, 3, ANY)
    filters = random_features.fitted(tiles, ids, baselines.FILTERS, 3)
    valid = tiles.valid(ids)
    with torch.inference_mode():
        expected = filters.features(torch.from_numpy(tiles.pixels(ids)), torch.from_numpy(valid)).numpy()
    assert not valid.all()
    assert found.shape == (4, 512)
    assert np.abs(found - expected).max() < 0.05 * expected.max()  # bf16 where the CPU has it


def test_the_architecture_comes_from_the_embeddings() -> None:
    assert Architecture.of({"architecture": {"encoder": "resnet18", "dim": 512}}) == Architecture(
        "resnet18", 512
    )
    assert Architecture.of({}) == Architecture("small", 128)
    assert Architecture.of({"architecture": {"encoder": "theirs", "dim": 9}}) == Architecture("small", 128)

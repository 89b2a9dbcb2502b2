"""Smoothed features against sums written out."""

from __future__ import annotations

import numpy as np

from tile2vec_cli.segmentation.pixel_classifiers import SIGMAS, features


def mean_by_hand(band: np.ndarray, valid: np.ndarray, row: int, col: int, sigma: float) -> float:
    """The Gaussian mean at one pixel, cut at four sigma as scipy's."""
    reach = int(4 * sigma + 0.5)
    total = weight = 0.0
    for r in range(max(row - reach, 0), min(row + reach + 1, len(band))):
        for c in range(max(col - reach, 0), min(col + reach + 1, band.shape[1])):
            w = valid[r, c] * np.exp(-((r - row) ** 2 + (c - col) ** 2) / (2 * sigma**2))
            total, weight = total + w * band[r, c], weight + w
    return total / weight


def test_means_and_spread_by_hand() -> None:
    random = np.random.default_rng(0)
    bands = random.standard_normal((1, 2, 20, 20)).astype(np.float32)
    valid = random.random((1, 20, 20)) > 0.2
    found = features(bands, valid)
    assert found.shape == (1, 2 * (len(SIGMAS) + 2), 20, 20)
    assert np.array_equal(found[:, :2], bands)
    for row, col in ((0, 0), (10, 7), (19, 12)):
        for number, sigma in enumerate(SIGMAS):
            for band in range(2):
                expected = mean_by_hand(bands[0, band], valid[0], row, col, sigma)
                assert abs(found[0, 2 * (number + 1) + band, row, col] - expected) < 1e-4
        mean = mean_by_hand(bands[0, 0], valid[0], row, col, 2.5)
        square = mean_by_hand(bands[0, 0] ** 2, valid[0], row, col, 2.5)
        assert abs(found[0, -2, row, col] - np.sqrt(square - mean**2)) < 1e-3


def test_what_is_not_valid_changes_nothing() -> None:
    random = np.random.default_rng(1)
    bands = random.standard_normal((1, 1, 16, 16)).astype(np.float32)
    valid = np.ones((1, 16, 16), bool)
    valid[0, 4:8, 4:8] = False
    other = np.where(valid[:, None], bands, 1000).astype(np.float32)
    one, two = features(bands, valid), features(other, valid)
    assert np.array_equal(one[0][:, valid[0]], two[0][:, valid[0]])

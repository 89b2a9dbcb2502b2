"""Maximum autocorrelation factors and the descriptors before them, against scipy and plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh

from tile2vec_cli.neural import descriptors
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.descriptors import Descriptors, Shape
from tile2vec_cli.neural.place import Covariances, Place, principal_axes


def landscape(tiles: int = 40, bands: int = 4, side: int = 20, seed: int = 0) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    coarse = np.kron(random.integers(40, 200, (tiles, bands, 5, 5)), np.ones((1, 1, side // 5, side // 5)))
    return (coarse + random.integers(0, 50, coarse.shape)).astype(np.uint8)


def scale_of(pixels: NDArray[np.generic]) -> Standardise:
    values = pixels.astype(np.float64)
    mean, std = np.nanmean(values, axis=(0, 2, 3)), np.nanstd(values, axis=(0, 2, 3))
    return Standardise(mean.tolist(), np.where(std > 0, std, 1).tolist())


def fitted(pixels: NDArray[np.generic], filters: int = 16) -> tuple[Descriptors, Standardise]:
    everywhere = np.ones((len(pixels), *pixels.shape[2:]), bool)
    scale = scale_of(pixels)
    return descriptors.fit(pixels, everywhere, scale, np.random.default_rng(0), filters), scale


def described(pixels: NDArray[np.generic], filters: int = 16) -> NDArray[np.float32]:
    network, scale = fitted(pixels, filters)
    with torch.inference_mode():
        seen = torch.from_numpy(pixels)
        return network(seen, scale(seen)).numpy()


def test_factors_solve_the_generalised_eigenproblem() -> None:
    random = np.random.default_rng(1)
    rows = (random.normal(size=(500, 60)) @ random.normal(size=(60, 60))).astype(np.float32)
    rows -= rows.mean(axis=0)
    pairs = random.integers(500, size=(800, 2))
    found = Covariances.of(rows, pairs, at_a_time=77)
    exact = rows.astype(np.float64)
    half = (exact[pairs[:, 0]] - exact[pairs[:, 1]]) / 2**0.5
    within = half.T @ half / len(half)
    np.testing.assert_allclose(found.within, within, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.total, exact.T @ exact / 500, rtol=1e-4, atol=1e-3)
    for shrinkage, factors in zip((1e-3, 0.1), found.factors(5, (1e-3, 0.1)), strict=True):
        damped = within + shrinkage * np.trace(within) / 60 * np.eye(60)
        _, vectors = eigh(exact.T @ exact / 500, damped, subset_by_index=[55, 59])
        vectors = vectors[:, ::-1]
        vectors = vectors * np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], 0))
        np.testing.assert_allclose(factors, vectors, atol=2e-3 * np.abs(vectors).max())


def test_neighbors_that_do_not_differ_at_all_leave_plain_components() -> None:
    rows = np.random.default_rng(2).normal(size=(50, 8)).astype(np.float32) * np.arange(1, 9)
    rows -= rows.mean(axis=0)
    found = Covariances.of(rows, np.repeat(np.arange(50)[:, None], 2, axis=1))
    assert not found.within.any()
    (factors,) = found.factors(2, [1e-3])
    axes = principal_axes(found.total, 2)
    assert np.abs(np.abs((factors / np.linalg.norm(factors, axis=0)).T @ axes) - np.eye(2)).max() < 1e-6


def test_descriptors_are_those_of_plain_numpy() -> None:
    pixels = landscape()
    network, scale = fitted(pixels)
    shape = network.shape
    assert shape == Shape(bands=4, filters=16, side=3, components=36, bins=16)
    found = described(pixels)
    assert found.shape == (40, shape.width)
    plain = (pixels.astype(np.float64) - scale.mean.numpy()) / scale.std.numpy()
    patches = np.lib.stride_tricks.sliding_window_view(plain, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    patches = patches.transpose(0, 1, 4, 5, 2, 3).reshape(40, 36, -1)
    axes = network.axes.double().numpy()
    components = np.einsum("pq,npm->nqm", axes, patches)
    covariance = np.stack([np.cov(one, bias=True) for one in components]) + 1e-3 * np.eye(36)
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    start = 16
    np.testing.assert_allclose(found[:, start : start + 36], components.mean(axis=2), atol=1e-3)
    np.testing.assert_allclose(found[:, start + 36 : start + 72], np.log(variance), atol=1e-3)
    row, column = np.tril_indices(36, -1)
    correlation = (covariance / np.sqrt(variance[:, :, None] * variance[:, None]))[:, row, column]
    np.testing.assert_allclose(found[:, start + 72 : -64], correlation, atol=1e-3)
    bins = [
        [
            np.sqrt(
                np.bincount(np.searchsorted(network.edges[c].numpy(), tile[c].ravel()), minlength=16) / 100
            )
            for c in range(4)
        ]
        for tile in plain[:, :, ::2, ::2].astype(np.float32)
    ]
    np.testing.assert_allclose(found[:, -64:], np.reshape(bins, (40, 64)), atol=1e-6)


@pytest.mark.parametrize(
    "pixels",
    [
        landscape(bands=1),
        landscape(tiles=3, bands=13),
        landscape(bands=40, tiles=5),
        landscape()[:, :, :2, :2],
        np.zeros((10, 3, 12, 12), np.uint8),
        np.where(np.arange(4)[:, None, None] == 2, 7, landscape()),
        landscape().astype(np.int16) * 100 - 9999,
        np.where(landscape(seed=3) > 200, np.nan, landscape().astype(np.float32)),
    ],
    ids=["one band", "three tiles", "forty bands", "two pixels", "constant", "a flat band", "int16", "NaN"],
)
def test_any_tiles_are_described_by_numbers(pixels: NDArray[np.generic]) -> None:
    found = described(np.ascontiguousarray(pixels))
    assert np.isfinite(found).all()
    assert found.shape[1] < 4000  # whatever the number of bands


def test_an_empty_column_takes_the_numbers_of_another() -> None:
    pixels = landscape()
    network, scale = fitted(pixels)
    width = network.shape.width + 8
    place = Place(
        network, torch.zeros(width), torch.randn(width, 5, generator=torch.Generator().manual_seed(0))
    )
    copy = Place.empty(Shape.read(network.shape.to_json()), trained=8, factors=5)
    copy.load_state_dict(place.state_dict())
    seen, beside = torch.from_numpy(pixels), torch.ones(40, 8)
    with torch.inference_mode():
        found = place(seen, scale(seen), beside)
        assert found.shape == (40, 5)
        assert torch.equal(found, copy(seen, scale(seen), beside))

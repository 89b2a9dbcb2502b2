"""Moments and ranks of vectors, against numpy on all of them at once."""

from __future__ import annotations

import numpy as np
import pytest

from tile2vec_cli.views.spectra import Spectrum


def batches(vectors: np.ndarray, size: int = 37) -> list[np.ndarray]:
    return [vectors[start : start + size].astype(np.float32) for start in range(0, len(vectors), size)]


def test_it_is_what_numpy_finds_at_once() -> None:
    random = np.random.default_rng(0)
    vectors = (50 + random.normal(size=(500, 6)) @ random.normal(size=(6, 6))).astype(np.float32)
    vectors[3] = 0
    found = Spectrum.of(batches(vectors))
    values = np.linalg.eigvalsh(np.cov(vectors.T.astype(np.float64)))[::-1]
    assert np.allclose(found.eigenvalues, values, rtol=1e-6)
    assert np.allclose(found.variance, vectors.astype(np.float64).var(axis=0, ddof=1), rtol=1e-6)
    centred = vectors - vectors.mean(axis=0)
    assert np.allclose((centred @ found.axes.T).var(axis=0, ddof=1), values, rtol=1e-3, atol=1e-6)
    assert found.zero == 1 and found.count == 500
    units = np.delete(vectors, 3, axis=0).astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    pairs = (units @ units.T)[np.triu_indices(499, 1)]
    assert found.mean_cosine == pytest.approx(pairs.mean(), abs=1e-9)


@pytest.mark.parametrize("directions", [1, 2, 4])
def test_the_effective_rank_counts_directions_that_vary_alike(directions: int) -> None:
    signs = np.array(np.meshgrid(*[[-1, 1]] * directions)).reshape(directions, -1).T
    vectors = np.zeros((len(signs), 8))
    vectors[:, :directions] = signs
    turned = vectors @ np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    found = Spectrum.of(batches(turned))
    assert found.effective_rank == pytest.approx(directions, rel=1e-5)
    assert found.components_for_90 == directions
    assert Spectrum.of(batches(vectors)).dead == 8 - directions


def test_equal_vectors_have_no_rank() -> None:
    found = Spectrum.of(batches(np.full((50, 4), 3.0)))
    assert found.effective_rank == 0
    assert found.dead == 4
    assert found.mean_cosine == pytest.approx(1)
    zeros = Spectrum.of(batches(np.zeros((5, 4))))
    assert zeros.zero == 5 and zeros.mean_cosine == 0

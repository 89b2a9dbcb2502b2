"""Pixel classifiers: they learn, and say the same however their pixels are divided."""

from __future__ import annotations

import numpy as np
import pytest

from tile2vec_cli.segmentation import pixel_classifiers
from tile2vec_cli.segmentation.pixel_classifiers import KINDS, RIVALS, fit


def two_clouds(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    states = random.integers(0, 2, count).astype(np.uint8)
    return (random.standard_normal((count, 4)) + 2 * states[:, None]).astype(np.float32), states


@pytest.mark.parametrize("name", KINDS)
def test_each_learns_and_is_sure_of_what_is_clear(name: str) -> None:
    features, states = two_clouds(80)
    classifier = fit(name, features, states, seed=0)
    fresh, truth = two_clouds(400, seed=1)
    probability = classifier.probability(fresh)
    assert ((probability >= 0.5) == truth).mean() > 0.9
    assert probability.min() >= 0 and probability.max() <= 1
    clear = classifier.probability(np.array([[3] * 4, [-1] * 4], np.float32))
    assert clear[0] > 0.9 and clear[1] < 0.1


@pytest.mark.parametrize("name", ["forest", "svm"])
def test_threads_and_chunks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    features, states = two_clouds(60)
    fresh, _ = two_clouds(1000, seed=1)
    whole = fit(name, features, states, seed=3).probability(fresh)
    monkeypatch.setattr(pixel_classifiers, "_CHUNK", 64)
    assert np.array_equal(fit(name, features, states, seed=3).probability(fresh, cpus=3), whole)


@pytest.mark.parametrize("name", ["svm", "svm-context"])
def test_a_margin_is_what_the_library_says(name: str) -> None:
    features, states = two_clouds(300)
    features = features * np.array([0.01, 1, 50, 1000], np.float32) + 7
    model = fit(name, features, states, seed=0).model
    expected = model.decision_function(features)
    assert pixel_classifiers._margin(model, features) == pytest.approx(expected, abs=1e-3)


def test_of_one_state_only_that_state_is_known() -> None:
    features, _ = two_clouds(10)
    classifier = fit("svm", features, np.ones(10, np.uint8), seed=0)
    assert (classifier.probability(features) == 1).all()


def test_the_rivals_of_the_contract() -> None:
    assert RIVALS == ("logistic", "forest", "svm", "forest-context")
    assert [name for name in RIVALS if KINDS[name].sees_context] == ["forest-context"]

"""The classifiers learn what can be learned, and say nothing while they do."""

from __future__ import annotations

import numpy as np
import pytest

from tile2vec_cli.classifiers import CLASSIFIERS, predict
from tile2vec_cli.config import CLASSIFIER_NAMES


def blobs(count: int, dim: int = 20, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.integers(0, classes, count).astype(np.int32)
    centres = np.random.default_rng(1).normal(size=(classes, dim)) * 2
    vectors = (centres[truth] + random.normal(size=(count, dim))) * 1000 + 5000  # not standardised
    return vectors.astype(np.float32), truth


def test_there_is_one_for_each_name_of_the_command_line() -> None:
    assert tuple(CLASSIFIERS) == CLASSIFIER_NAMES


@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_each_tells_blobs_apart(name: str) -> None:
    vectors, truth = blobs(500)
    found = predict(name, vectors[:200], truth[:200], vectors[200:], seed=0, cpus=2)
    assert found.dtype == np.int32
    assert (found == truth[200:]).mean() > 0.95


@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_each_is_the_same_whenever_and_with_however_many_threads(name: str) -> None:
    vectors, truth = blobs(400)
    truth = np.where(np.random.default_rng(2).random(400) < 0.3, 0, truth).astype(np.int32)
    one, other = (predict(name, vectors[:150], truth[:150], vectors, seed=5, cpus=cpus) for cpus in (1, 3))
    assert (one == other).all()


@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_two_labels_or_one_class_are_enough(name: str) -> None:
    vectors, _ = blobs(10)
    two = np.array([3, 1], np.int32)
    assert set(predict(name, vectors[:2], two, vectors, seed=0, cpus=1)) <= {1, 3}
    one = np.array([2, 2], np.int32)
    assert set(predict(name, vectors[:2], one, vectors, seed=0, cpus=1)) == {2}


@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_constant_features_do_no_harm(name: str) -> None:
    vectors, truth = blobs(100)
    vectors[:, 3] = 7
    assert (predict(name, vectors[:60], truth[:60], vectors[60:], seed=0, cpus=1) == truth[60:]).mean() > 0.8

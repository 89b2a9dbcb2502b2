"""The classifiers learn what can be learned, and say nothing while they do."""

from __future__ import annotations

import numpy as np
import pytest

from tile2vec_cli.config.pipeline import CLASSIFIER_NAMES
from tile2vec_cli.evaluation.classifiers import CLASSIFIERS, Training, logistic, predict, quietly


def blobs(count: int, dim: int = 20, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.integers(0, classes, count).astype(np.int32)
    centres = np.random.default_rng(1).normal(size=(classes, dim)) * 2
    vectors = (centres[truth] + random.normal(size=(count, dim))) * 1000 + 5000  # not standardised
    return vectors.astype(np.float32), truth


def ask(name: str, vectors: np.ndarray, truth: np.ndarray, test: np.ndarray) -> np.ndarray:
    training = Training(vectors, truth, np.arange(len(truth)) // 3)
    with quietly():
        return predict(name, training, test, seed=5)


def test_there_is_one_for_each_name_of_the_command_line() -> None:
    assert tuple(CLASSIFIERS) == CLASSIFIER_NAMES


@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_each_tells_blobs_apart(name: str) -> None:
    vectors, truth = blobs(500)
    found = ask(name, vectors[:200], truth[:200], vectors[200:])
    assert found.dtype == np.int32
    assert (found == truth[200:]).mean() > 0.95


@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_each_answers_the_same_every_time(name: str) -> None:
    vectors, truth = blobs(400)
    truth = np.where(np.random.default_rng(2).random(400) < 0.3, 0, truth).astype(np.int32)
    one, other = (ask(name, vectors[:150], truth[:150], vectors) for _ in range(2))
    assert (one == other).all()


@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_two_labels_or_one_class_are_enough(name: str) -> None:
    vectors, _ = blobs(10)
    two = np.array([3, 1], np.int32)
    assert set(ask(name, vectors[:2], two, vectors)) <= {1, 3}
    one = np.array([2, 2], np.int32)
    assert set(ask(name, vectors[:2], one, vectors)) == {2}


@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_constant_features_do_no_harm(name: str) -> None:
    vectors, truth = blobs(100)
    vectors[:, 3] = 7
    assert (ask(name, vectors[:60], truth[:60], vectors[60:]) == truth[60:]).mean() > 0.8


def strength(vectors: np.ndarray, truth: np.ndarray, blocks: np.ndarray) -> float:
    with quietly():
        model = logistic(Training(vectors.astype(np.float32), truth, blocks), 0)
    return float(model.named_steps["logisticregression"].C)


def test_few_sharp_features_are_trusted_more_than_many_vague_ones() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 400).astype(np.int32)
    sharp = truth[:, None] + random.normal(size=(400, 2)) * 0.3
    vague = np.eye(4)[truth] @ random.normal(size=(4, 300)) * 0.2 + random.normal(size=(400, 300))
    assert strength(sharp, truth, np.arange(400)) > strength(vague, truth, np.arange(400))


def test_the_strength_is_chosen_on_other_blocks() -> None:
    """Vectors that name their block tell the class there, and nothing elsewhere."""
    random = np.random.default_rng(0)
    blocks = np.arange(600) // 10
    truth = random.integers(0, 2, 60)[blocks].astype(np.int32)
    vectors = random.normal(size=(60, 50))[blocks] + 0.3 * random.normal(size=(600, 50))
    vectors[:, :1] += truth[:, None]  # a weak hint that holds everywhere
    assert strength(vectors, truth, blocks) < strength(vectors, truth, np.arange(600))

"""Classifiers fitted to all labels: their probabilities against scikit-learn's, their scores against the
probe's."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline

from tile2vec_cli.config.pipeline import CLASSIFIER_NAMES, ProbeConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import classification, probing
from tile2vec_cli.geo.grid import spatial_blocks
from tile2vec_cli.labelling.labels import Labels

SIDE = 0.001  # degrees


def blobs(count: int, noise: float = 1.0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = random.integers(0, classes, count)
    centres = np.random.default_rng(1).normal(size=(classes, 8))
    return (centres[truth] + noise * random.normal(size=(count, 8))).astype(np.float32), truth


@pytest.fixture(autouse=True)
def few_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification, "REPEATS", 4)


@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_each_classifier_gives_probabilities_that_add_up_and_name_the_right_class(name: str) -> None:
    vectors, truth = blobs(360, noise=0.5)
    codes = np.array([7, -2, 40])[truth]
    fitted = classification.fit(vectors[:240], codes[:240], np.arange(240) // 8, name, 3)
    assert fitted.classes.tolist() == [-2, 7, 40]
    found = fitted.probabilities(vectors[240:])
    assert found.shape == (120, 3) and np.allclose(found.sum(axis=1), 1) and (found > 0).all()
    assert (fitted.classes[found.argmax(axis=1)] == codes[240:]).mean() > 0.9
    again = classification.fit(vectors[:240], codes[:240], np.arange(240) // 8, name, 3)
    assert (again.probabilities(vectors[240:]) == found).all()


def test_logistic_probabilities_are_scikit_learns_at_the_temperature() -> None:
    vectors, truth = blobs(300)
    fitted = classification.fit(vectors, truth, np.arange(300) // 10)
    strength = fitted._model.named_steps["logisticregression"].C
    scaler = type(fitted._model[0])
    model = make_pipeline(scaler(), LogisticRegression(C=strength, max_iter=5000, tol=1e-6))
    model.fit(vectors, truth)
    wanted = classification.softmax(model.decision_function(vectors), fitted.temperature)
    assert np.abs(fitted.probabilities(vectors) - wanted).max() < 0.02


def test_the_temperature_is_the_one_of_least_loss() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 3))
    share = classification.softmax(logits)
    truth = (share.cumsum(axis=1) < random.random((4000, 1))).sum(axis=1).astype(np.int32)
    for factor in (0.3, 1.0, 4.0):
        found = classification.temperature(factor * logits, truth, 4000)
        assert found == pytest.approx(factor, rel=0.1)
        grid = factor * np.linspace(0.7, 1.4, 141)
        best = min(grid, key=lambda t: log_loss(truth, classification.softmax(factor * logits, t)))
        assert found == pytest.approx(best, rel=0.02)


def test_few_answers_that_were_all_right_make_nothing_certain() -> None:
    logits, truth = 30.0 * np.eye(2)[[0, 1, 0, 1]], np.array([0, 1, 0, 1], np.int32)
    scale = classification.temperature(logits, truth, 4)
    assert classification.softmax(logits, scale).max() < 0.9
    assert classification.temperature(np.full((2, 2), -np.inf), truth[:2], 2) == 1


def test_reliability_counts_bins_by_hand() -> None:
    found = classification.reliability(
        np.array([0.55, 0.51, 0.95, 1.0]), np.array([True, False, True, True]), bins=10
    )
    assert [(one["from"], one["count"], one["right"]) for one in found["bins"]] == [
        (0.5, 2, 0.5),
        (0.9, 2, 1),
    ]
    error = 0.5 * abs(0.53 - 0.5) + 0.5 * abs(0.975 - 1)
    assert found["expected_calibration_error"] == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize("name", ["logistic", "forest", "knn"])
def test_probabilities_hold_on_blocks_never_seen(name: str) -> None:
    """Noise that a block shares makes classifiers too sure of themselves; scaled, they are not."""
    random = np.random.default_rng(0)
    vectors, truth = blobs(1200, noise=1.2)
    blocks = np.arange(1200) // 20
    vectors += random.normal(size=(60, 8)).astype(np.float32)[blocks]
    own = blocks < 40
    fitted = classification.fit(vectors[own], truth[own], blocks[own], name)
    found = fitted.probabilities(vectors[~own])
    raw = classification.softmax(np.log(found) * fitted.temperature)
    assert log_loss(truth[~own], found) < log_loss(truth[~own], raw) + 0.01
    right = found.argmax(axis=1) == truth[~own]
    assert classification.reliability(found.max(axis=1), right)["expected_calibration_error"] < 0.1
    held_out = fitted.held_out
    assert held_out is not None and held_out.reliability["expected_calibration_error"] < 0.1
    assert sum(one["count"] for one in held_out.reliability["bins"]) > 600
    assert held_out.score.accuracy == pytest.approx(right.mean(), abs=0.1)


def test_held_out_accuracy_is_that_of_a_probe() -> None:
    """With the same seed: the very same splits, labels and answers."""
    row, col = np.divmod(np.arange(1600), 40)
    shapes = shapely.box(col * SIDE, row * SIDE, (col + 1) * SIDE, (row + 1) * SIDE)
    vectors, truth = blobs(1600, noise=2)
    embeddings = Embeddings.of(vectors, shapes)
    config = ProbeConfig(classifiers=("logistic",), n_labels=(10_000,), block_m=500, seed=4, repeats=4)
    labels = Labels(truth.astype(np.int32), ("a", "b", "c"), "table")
    score = probing.probe(embeddings, labels, config).scores[0]
    fitted = classification.fit(vectors, truth, spatial_blocks(embeddings.lonlat, 500), "logistic", 4)
    assert fitted.held_out is not None
    assert fitted.held_out.score.accuracies == pytest.approx(score.accuracies, abs=0.01)
    assert fitted.held_out.score.repeats == 4


@pytest.mark.parametrize(
    ("classes", "blocks", "why"),
    [
        ([0, 0, 1, 1], [5, 5, 5, 5], "all labels lie in one block"),
        ([0, 0, 0, 1], [1, 2, 3, 4], "fewer than two classes have tiles in two blocks"),
        ([0, 0, 1, 1], [1, 1, 2, 2], "fewer than two classes have tiles in two blocks"),
    ],
)
@pytest.mark.parametrize("name", CLASSIFIER_NAMES)
def test_too_few_labels_are_learned_but_not_tested(
    classes: list[int], blocks: list[int], why: str, name: str
) -> None:
    vectors, _ = blobs(4)
    fitted = classification.fit(vectors, np.array(classes), np.array(blocks), name)
    assert fitted.held_out is None and fitted.why == why and fitted.temperature == 1
    assert fitted.probabilities(vectors).shape == (4, 2)


def test_a_class_of_one_tile_leaves_the_others_tested() -> None:
    vectors, truth = blobs(200)
    truth[50] = 9
    fitted = classification.fit(vectors, truth, np.arange(200) // 10)
    assert fitted.left_out == {9: "has one tile"} and fitted.held_out is not None
    assert fitted.probabilities(vectors).shape == (200, 4)


def test_tiles_that_overlap_are_never_on_both_sides() -> None:
    """Each tile has a twin in the next block, and vectors that tell tiles apart and nothing else."""
    random = np.random.default_rng(0)
    half = random.normal(size=(100, 30)).astype(np.float32)
    truth = np.tile(random.integers(0, 2, 100), 2)
    blocks, pairs = np.arange(200), np.stack([np.arange(100), np.arange(100) + 100], axis=1)
    leaky = classification.fit(np.tile(half, (2, 1)), truth, blocks, "knn").held_out
    fair = classification.fit(np.tile(half, (2, 1)), truth, blocks, "knn", overlaps=pairs).held_out
    assert leaky is not None and leaky.score.accuracy > 0.8
    assert fair is not None and fair.score.accuracy < 0.65


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="all of one class"):
        classification.fit(np.zeros((3, 2), np.float32), np.ones(3), np.arange(3))

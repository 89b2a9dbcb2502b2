"""Scores from confusion matrices, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from tile2vec_cli.evaluation.scores import of_confusion

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


@given(pairs=PAIRS)
def test_as_in_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    accuracy, balanced, f1 = of_confusion(confusion_matrix(truth, predicted, labels=range(5)))
    asked = np.unique(truth)
    assert accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert balanced == pytest.approx(recall_score(truth, predicted, labels=asked, average="macro"))
    assert f1 == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))

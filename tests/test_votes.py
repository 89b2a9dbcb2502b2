"""Majorities, against counting by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tile2vec_cli.errors import DataError
from tile2vec_cli.labelling.votes import UNLABELLED, Votes

VOTES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(1, 5)), max_size=30)


@given(votes=VOTES, least_share=st.sampled_from([0.0, 0.5, 0.6, 0.8, 1.0]))
def test_majority_by_counting(votes: list[tuple[int, int, int]], least_share: float) -> None:
    tile, code, count = (np.array([vote[k] for vote in votes], dtype=np.int64) for k in range(3))
    found = Votes(tile, code, count, ("a", "b", "c")).majority(5, least_share)
    for number in range(5):
        tally: Counter[int] = Counter()
        for t, c, n in votes:
            if t == number:
                tally[c] += n
        first, second = [*tally.most_common(2), (UNLABELLED, 0), (UNLABELLED, 0)][:2]
        kept = first[1] > second[1] and 100 * first[1] >= round(100 * least_share) * tally.total()
        assert found[number] == (first[0] if kept else UNLABELLED)


def test_a_share_of_just_the_purity_is_kept() -> None:
    votes = Votes(np.zeros(2, np.int64), np.array([0, 1]), np.array([80, 20]), ("a", "b"))
    assert votes.majority(1, 0.8)[0] == 0
    assert votes.majority(1, 0.81)[0] == UNLABELLED


def of(values: list[object]) -> Votes:
    return Votes.of(np.arange(len(values)), pd.Series(values), "here")


def test_classes_are_in_natural_order_and_empty_cells_do_not_vote() -> None:
    votes = of(["b10", None, "b9", " b9 ", "", "a"])
    assert votes.classes == ("a", "b9", "b10")
    assert [votes.classes[code] for code in votes.code] == ["b10", "b9", "b9", "a"]
    assert votes.tile.tolist() == [0, 2, 3, 5]


def test_whole_numbers_are_classes_whatever_their_type() -> None:
    assert of([10.0, 9.0, None]).classes == ("9", "10")
    assert of([10, 9]).classes == ("9", "10")
    assert of([True, False]).classes == ("False", "True")


@pytest.mark.parametrize("value", [0.37, float("inf")])
def test_measurements_are_no_classes(value: float) -> None:
    with pytest.raises(DataError, match=f"here: holds numbers such as {value:g}"):
        of([1.0, value])

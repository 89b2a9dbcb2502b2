"""The tiles to label next: unsure, apart from one another, at places without a label; against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from tile2vec_cli.views import suggestions
from tile2vec_cli.views.kinds import Clusters
from tile2vec_cli.views.suggestions import Ground


def ground(points: np.ndarray, place_m: float = 1.0, apart_m: float = 10.0) -> Ground:
    """Points (N, 2) on a plane, in metres."""
    return Ground(np.column_stack([points, np.zeros(len(points))]), place_m, apart_m)


def brute(
    vectors: np.ndarray, points: np.ndarray, unsure: np.ndarray, count: int, place: float, apart: float
) -> list[int]:
    """One loop over suggestions, one over tiles, one over those taken."""
    taken: list[int] = []
    while len(taken) < count:
        best, at = -1.0, -1
        for row in range(len(vectors)):
            away = [float(np.hypot(*(points[row] - points[other]))) for other in taken]
            if taken and min(away) <= place:
                continue
            score = float(unsure[row])
            if taken:
                score *= min(float(np.sqrt(((vectors[row] - vectors[other]) ** 2).sum())) for other in taken)
                score *= min(1.0, min(away) / apart)
            if score > best:
                best, at = score, row
        if at < 0:
            break
        taken.append(at)
    return taken


@pytest.mark.parametrize("seed", range(3))
def test_the_spread_is_that_of_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    points, vectors = random.uniform(0, 40, (80, 2)), random.normal(size=(80, 3)).astype(np.float32)
    unsure = random.uniform(0, 1, 80).astype(np.float32)
    found = suggestions.spread(vectors, ground(points), unsure, 25)
    assert found.tolist() == brute(vectors, points, unsure, 25, 1.0, 10.0)


def test_twins_in_the_vector_space_and_on_the_ground_come_last() -> None:
    # Three kinds of tiles: of one kind, ten of the least sure ones; of the others, one each.
    vectors = np.array([[0.0, 0]] * 10 + [[5.0, 0], [0, 5.0]], np.float32)
    points = np.arange(24).reshape(12, 2) * 20.0
    unsure = np.array([0.9] * 10 + [0.7, 0.6], np.float32)
    assert suggestions.spread(vectors, ground(points), unsure, 3).tolist() == [0, 10, 11]
    # Equal vectors apart from one: the far one is taken before the near one.
    apart = np.array([[0.0, 0], [2, 0], [9, 0]])
    kinds = np.array([[0.0], [1], [1]], np.float32)
    assert suggestions.spread(kinds, ground(apart), np.ones(3, np.float32), 3).tolist() == [0, 2, 1]


def test_no_place_is_taken_twice_though_fewer_come_of_it() -> None:
    points = np.repeat(np.arange(6).reshape(6, 1) * [[30.0, 0]], 4, axis=0)  # six places of four dates
    random = np.random.default_rng(0)
    vectors, unsure = random.normal(size=(24, 5)).astype(np.float32), random.uniform(0, 1, 24)
    found = suggestions.spread(vectors, ground(points), unsure.astype(np.float32), 24)
    assert len(found) == 6
    assert len({tuple(point) for point in points[found].tolist()}) == 6


def test_uncertainty_is_one_minus_the_margin() -> None:
    found = suggestions.uncertainty(np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [0.0, 1.0, 0.0]]))
    assert found.tolist() == pytest.approx([1.0, 0.5, 0.0], abs=1e-7)


def test_candidates_are_the_least_sure_of_those_without_a_label() -> None:
    random = np.random.default_rng(1)
    unsure, free = random.uniform(0, 1, 5000).astype(np.float32), random.uniform(size=5000) < 0.5
    found = suggestions.candidates(unsure, free, 30)
    assert len(found) == 300 and free[found].all()
    assert (np.diff(unsure[found]) <= 0).all()
    assert unsure[found].min() >= np.sort(unsure[free])[-300]
    assert len(suggestions.candidates(unsure, free, 4000)) == free.sum()


def test_places_of_labels_are_not_free() -> None:
    points = np.array([[0.0, 0], [0.5, 0], [3, 0], [9, 0], [9, 0.9]])
    away = ground(points).away_from(np.array([0, 4]))
    assert away.tolist() == [False, False, True, False, False]
    assert ground(points).away_from(np.empty(0, np.int64)).all()


def test_each_cluster_has_its_nearest_tiles_and_its_size() -> None:
    random = np.random.default_rng(2)
    vectors, centres = random.normal(size=(3000, 4)).astype(np.float32), random.normal(size=(7, 4))
    clusters = Clusters(centres)
    for start in range(0, 3000, 700):  # a batch at a time
        rows = np.arange(start, min(start + 700, 3000))
        clusters.add(rows, vectors[rows])
    distance = np.linalg.norm(vectors[:, None] - centres[None], axis=2)
    own = distance.argmin(axis=1)
    assert clusters.counts.tolist() == np.bincount(own, minlength=7).tolist()
    for number in range(7):
        rows = np.flatnonzero(own == number)
        wanted = rows[np.argsort(distance[rows, number])][:8]
        assert clusters.nearest(number) == wanted.tolist()


def test_those_that_stand_for_most_come_first_and_lie_apart() -> None:
    vectors = np.repeat(np.array([[0.0, 0], [9, 0], [0, 9]], np.float32), [5, 20, 10], axis=0)
    points = np.arange(35).reshape(35, 1) * [[3.0, 0]]
    clusters = Clusters(np.array([[0.0, 0], [9, 0], [0, 9]]))
    clusters.add(np.arange(35), vectors)
    found = suggestions.typical(clusters, ground(points), np.arange(35), 3)
    assert found == [(5, 20), (25, 10), (0, 5)]
    every = suggestions.typical(clusters, ground(points), np.arange(35), 99)
    assert sorted(row for row, _ in every) == list(range(35))
    # The second cluster's first tile lies where the first's does: its next one stands for it.
    points[25] = points[5]
    assert suggestions.typical(clusters, ground(points), np.arange(35), 3) == [(5, 20), (26, 10), (0, 5)]

"""What vectors tell of factors, where it is known what they hold."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from sklearn.linear_model import LinearRegression

from tile2vec_cli.views.factors import Factors, correlations, told


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, Factors, np.ndarray, np.ndarray]:
    """900 tiles in 9 blocks: one factor with a dimension of its own, one spread over six, one not there."""
    random = np.random.default_rng(0)
    place = np.stack(np.meshgrid(np.arange(30), np.arange(30)), axis=-1).reshape(-1, 2)
    blocks = (place[:, 0] // 10 * 3 + place[:, 1] // 10).astype(np.int64)
    own, spread, absent = random.normal(size=(3, 900))
    noise = random.normal(size=(900, 12))
    vectors = noise.copy()
    vectors[:, 4] = 10 * own + 0.1 * noise[:, 4]
    # No dimension alone tells it, their sum does.
    vectors[:, 6:12] -= vectors[:, 6:12].mean(axis=1, keepdims=True)
    vectors[:, 6:12] += spread[:, None] / 2
    shapes = shapely.box(*place.T, *(place.T + 1))
    factors = Factors(("own", "spread", "absent"), np.stack([own, spread, absent], axis=1))
    return vectors.astype(np.float32), factors, blocks, shapes


def test_own_dimensions_are_told_from_spread_ones(world: tuple) -> None:
    own, spread, absent = told(*world)
    assert own.together > 0.99 and own.alone > 0.99 and own.dimension == 4
    assert own.concentration == pytest.approx(1, abs=0.01)
    assert spread.together > 0.99 and 0.05 < spread.alone < 0.4
    assert spread.concentration == pytest.approx(spread.alone, abs=0.02)
    assert absent.together < 0.02 and absent.alone < 0.02
    assert absent.concentration < 0.05 or absent.together < 0.02


def test_it_is_least_squares_on_the_other_blocks(world: tuple) -> None:
    """With next to no noise ridge is least squares: the same guesses by another library's loop."""
    vectors, factors, blocks, shapes = world
    found = told(vectors, factors, blocks, shapes)
    guess = np.empty_like(factors.values)
    for left_out in np.unique(blocks):
        train = blocks != left_out
        model = LinearRegression().fit(vectors[train], factors.values[train])
        guess[~train] = model.predict(vectors[~train])
    truth = factors.values
    fit = 1 - ((truth - guess) ** 2).sum(axis=0) / ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    assert np.allclose([one.together for one in found[:2]], fit[:2], atol=0.01)


def test_overlapping_tiles_are_not_learned_from(world: tuple) -> None:
    """Twins of tiles in other blocks, with a factor that only twins share, tell nothing."""
    _, _, blocks, shapes = world
    random = np.random.default_rng(3)
    vectors = np.repeat(random.normal(size=(900, 300)), 2, axis=0).astype(np.float32)
    values = np.repeat(random.normal(size=(900, 1)), 2, axis=0)
    both = np.stack([blocks, (blocks + 1) % 9], axis=1).ravel()
    found = told(vectors, Factors(("twin",), values), both, np.repeat(shapes, 2))
    assert found[0].together < 0.1


def test_correlations_are_pearsons() -> None:
    random = np.random.default_rng(2)
    vectors, values = random.normal(size=(40, 3)), random.normal(size=(40, 2))
    vectors[:, 2] = 7
    found = correlations(vectors, values)
    wanted = np.corrcoef(vectors[:, :2].T, values.T)[:2, 2:]
    assert np.allclose(found[:2], wanted)
    assert (found[2] == 0).all()

"""What a training run draws: which triplets validate, in which order the others come, turns and light."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import spatial_blocks
from tile2vec_cli.learning import draws


def places(count: int, seed: int = 0) -> np.ndarray:
    """Tiles within about 10 km."""
    return np.random.default_rng(seed).uniform([10.0, 50.0], [10.1, 50.1], (count, 2))


def triplets(count: int, tiles: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(tiles, size=(count, 3))


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_split_holds_out_whole_blocks(fraction: float) -> None:
    lonlat, numbers = places(3000), triplets(5000, 3000)
    split = draws.split(numbers, lonlat, 500.0, 100.0, fraction, seed=0)
    held_out = set(numbers[split.val, 0])
    assert not held_out & set(numbers[split.train].ravel())
    blocks = spatial_blocks(lonlat, 500.0)
    assert not set(blocks[numbers[split.val, 0]]) & set(blocks[numbers[split.train].ravel()])
    anchors = np.isin(blocks[numbers[:, 0]], blocks[numbers[split.val, 0]]).mean()
    assert anchors == pytest.approx(fraction, abs=0.02)
    assert len(split.val) <= draws.VALIDATION_TRIPLETS


def test_split_differs_by_seed_and_only_by_it() -> None:
    lonlat, numbers = places(3000), triplets(5000, 3000)
    one, again, other = (draws.split(numbers, lonlat, 500.0, 100.0, 0.1, seed) for seed in (0, 0, 1))
    assert np.array_equal(one.val, again.val)
    assert not np.array_equal(one.val, other.val)


def test_blocks_shrink_where_the_data_is_small() -> None:
    lonlat, numbers = places(3000), triplets(5000, 3000)
    split = draws.split(numbers, lonlat, 1e6, 100.0, 0.05, seed=0)
    assert len(split.val) and len(split.train) > 3000


def test_no_validation_where_none_is_wanted() -> None:
    split = draws.split(triplets(50, 9), places(9), 500.0, 100.0, 0.0, seed=0)
    assert split.train.tolist() == list(range(50))
    assert not len(split.val)


def test_a_fraction_that_leaves_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match=r"--val-fraction 0\.99"):
        draws.split(triplets(200, 50), places(50), 500.0, 100.0, 0.99, seed=0)
    alone = np.tile(places(1), (4, 1))
    with pytest.raises(DataError, match=r"--val-fraction 0\.05"):
        draws.split(triplets(10, 4), alone, 500.0, 100.0, 0.05, seed=0)


def test_an_epoch_takes_each_triplet_once() -> None:
    first, second = (
        np.concatenate(list(itertools.islice(draws.order(103, 10, 0, start), 10))) for start in (0, 10)
    )
    assert len(set(first)) == len(set(second)) == 100
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("start", [0, 3, 9, 10, 27])
def test_order_can_begin_anywhere(start: int) -> None:
    whole = list(itertools.islice(draws.order(103, 10, 7, 0), start + 5))[start:]
    resumed = list(itertools.islice(draws.order(103, 10, 7, start), 5))
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_turns_are_the_eight_positions_of_a_square() -> None:
    pixels = torch.arange(2 * 3 * 5 * 5, dtype=torch.uint8).reshape(2, 3, 5, 5)
    image = pixels.numpy()
    expected = {np.rot90(base, k, (2, 3)).tobytes() for base in (image, image[..., ::-1]) for k in range(4)}
    found = {draws.turned(pixels, 0, step).numpy().tobytes() for step in range(200)}
    assert found == expected
    assert torch.equal(draws.turned(pixels, 0, 5), draws.turned(pixels, 0, 5))


def test_light_is_drawn_by_step_around_no_change() -> None:
    factors, shifts = draws.light(0, 2, 4000, 5, 0.8)
    assert factors.shape == shifts.shape == (4000, 5, 1, 1)
    assert factors.log().std() == pytest.approx(0.4, rel=0.05)
    assert shifts.std() == pytest.approx(0.8, rel=0.05)
    assert abs(factors.log().mean()) < 0.02
    assert abs(shifts.mean()) < 0.02
    assert torch.equal(draws.light(0, 2, 8, 2, 0.8), draws.light(0, 2, 8, 2, 0.8))
    assert not torch.equal(draws.light(0, 2, 8, 2, 0.8), draws.light(0, 4, 8, 2, 0.8))


def test_every_other_step_shows_the_colours_as_they_are() -> None:
    factors, shifts = draws.light(0, 3, 8, 2, 0.8)
    assert bool((factors == 1).all()) and bool((shifts == 0).all())

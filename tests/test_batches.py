"""Which triplets, in which order, with which pixels."""

from __future__ import annotations

import itertools
from pathlib import Path

import landscapes
import numpy as np
import pytest
import torch

from tile2vec_cli.errors import DataError
from tile2vec_cli.neural import batches
from tile2vec_cli.neural.batches import Pixels
from tile2vec_cli.tiling.tiles import TileSet

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> TileSet:
    return TileSet.open(landscapes.make(tmp_path_factory.mktemp("batches"))[0])


def places(count: int, seed: int = 0) -> np.ndarray:
    """Tiles within about 10 km."""
    return np.random.default_rng(seed).uniform([10.0, 50.0], [10.1, 50.1], (count, 2))


def triplets(count: int, tiles: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(tiles, size=(count, 3))


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5])
def test_split_holds_out_whole_blocks(fraction: float) -> None:
    lonlat, numbers = places(3000), triplets(5000, 3000)
    split = batches.split(numbers, lonlat, 500.0, 100.0, fraction, seed=0)
    held_out = set(numbers[split.val, 0])
    assert not held_out & set(numbers[split.train].ravel())
    blocks = batches.spatial_blocks(lonlat, 500.0)
    assert not set(blocks[numbers[split.val, 0]]) & set(blocks[numbers[split.train].ravel()])
    anchors = np.isin(blocks[numbers[:, 0]], blocks[numbers[split.val, 0]]).mean()
    assert anchors == pytest.approx(fraction, abs=0.02)
    assert len(split.val) <= batches.VALIDATION_TRIPLETS


def test_split_differs_by_seed_and_only_by_it() -> None:
    lonlat, numbers = places(3000), triplets(5000, 3000)
    one, again, other = (batches.split(numbers, lonlat, 500.0, 100.0, 0.1, seed) for seed in (0, 0, 1))
    assert np.array_equal(one.val, again.val)
    assert not np.array_equal(one.val, other.val)


def test_blocks_shrink_where_the_data_is_small() -> None:
    lonlat, numbers = places(3000), triplets(5000, 3000)
    split = batches.split(numbers, lonlat, 1e6, 100.0, 0.05, seed=0)
    assert len(split.val) and len(split.train) > 3000


def test_no_validation_where_none_is_wanted() -> None:
    split = batches.split(triplets(50, 9), places(9), 500.0, 100.0, 0.0, seed=0)
    assert split.train.tolist() == list(range(50))
    assert not len(split.val)


def test_a_fraction_that_leaves_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match=r"--val-fraction 0\.99"):
        batches.split(triplets(200, 50), places(50), 500.0, 100.0, 0.99, seed=0)
    alone = np.tile(places(1), (4, 1))
    with pytest.raises(DataError, match=r"--val-fraction 0\.05"):
        batches.split(triplets(10, 4), alone, 500.0, 100.0, 0.05, seed=0)


def test_an_epoch_takes_each_triplet_once() -> None:
    first, second = (
        np.concatenate(list(itertools.islice(batches.order(103, 10, 0, start), 10))) for start in (0, 10)
    )
    assert len(set(first)) == len(set(second)) == 100
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("start", [0, 3, 9, 10, 27])
def test_order_can_begin_anywhere(start: int) -> None:
    whole = list(itertools.islice(batches.order(103, 10, 7, 0), start + 5))[start:]
    resumed = list(itertools.islice(batches.order(103, 10, 7, start), 5))
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))


def test_turns_are_the_eight_positions_of_a_square() -> None:
    pixels = torch.arange(2 * 3 * 5 * 5, dtype=torch.uint8).reshape(2, 3, 5, 5)
    image = pixels.numpy()
    expected = {np.rot90(base, k, (2, 3)).tobytes() for base in (image, image[..., ::-1]) for k in range(4)}
    found = {batches.turned(pixels, 0, step).numpy().tobytes() for step in range(200)}
    assert found == expected
    assert torch.equal(batches.turned(pixels, 0, 5), batches.turned(pixels, 0, 5))


def test_light_is_drawn_by_step_around_no_change() -> None:
    factors, shifts = batches.light(0, 3, 4000, 5, 0.8)
    assert factors.shape == shifts.shape == (4000, 5, 1, 1)
    assert factors.log().std() == pytest.approx(0.4, rel=0.05)
    assert shifts.std() == pytest.approx(0.8, rel=0.05)
    assert abs(factors.log().mean()) < 0.02
    assert abs(shifts.mean()) < 0.02
    assert torch.equal(batches.light(0, 3, 8, 2, 0.8), batches.light(0, 3, 8, 2, 0.8))
    assert not torch.equal(batches.light(0, 3, 8, 2, 0.8), batches.light(0, 4, 8, 2, 0.8))


@pytest.mark.parametrize("resident", [True, False], ids=["resident", "gathered"])
def test_stream_gives_the_tiles_asked_for(
    tiles: TileSet, resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not resident:
        monkeypatch.setattr(batches, "free_memory", lambda _: 0)
    ids = np.arange(5, 200, 3)
    pixels = Pixels.of(tiles, ids, CPU)
    assert (pixels.resident is not None) == resident
    wanted = [np.array([[0, 7], [3, 3]]), np.array([[60, 1]])]
    for numbers, (found, batch) in zip(wanted, pixels.stream(wanted), strict=True):
        assert np.array_equal(found, numbers)
        assert np.array_equal(batch.numpy(), tiles.pixels(ids[numbers.T.ravel()]))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "uint32"])
def test_stream_keeps_the_stored_type(tmp_path: Path, dtype: str) -> None:
    tiles = TileSet.open(landscapes.make(tmp_path, dtype=dtype)[0])
    _, batch = next(Pixels.of(tiles, np.arange(10), CPU).stream([np.array([[2], [1]])]))
    assert np.array_equal(batch.numpy(), tiles.pixels(np.array([2, 1])))


def test_an_error_of_the_gathering_thread_is_raised(tiles: TileSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "free_memory", lambda _: 0)
    stream = Pixels.of(tiles, np.arange(4), CPU).stream([np.array([[1], [2]]), np.array([[99]])])
    next(stream)
    with pytest.raises(IndexError):
        next(stream)


def test_normalisation_is_numpy_s(tiles: TileSet) -> None:
    ids = np.arange(0, len(tiles), 2)
    mean, std = batches.normalisation(tiles, ids)
    pixels = tiles.pixels(ids).astype(np.float64)
    assert mean == pytest.approx(pixels.mean(axis=(0, 2, 3)))
    assert std == pytest.approx(pixels.std(axis=(0, 2, 3)))


class Odd:
    """What normalisation() needs of a tile set."""

    path = Path("tiles")

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape = values, values.shape

    def pixels(self, ids: np.ndarray) -> np.ndarray:
        return self.values[ids]


def test_normalisation_leaves_out_what_is_no_number_and_survives_flat_bands() -> None:
    values = np.random.default_rng(0).normal(1e6, 1.0, (50, 3, 4, 4))
    values[:, 1] = 7.0
    values[3, 0, 1, 1] = np.nan
    mean, std = batches.normalisation(Odd(values), np.arange(50))  # type: ignore[arg-type]
    assert mean == pytest.approx(np.nanmean(values, axis=(0, 2, 3)))
    assert std == pytest.approx([np.nanstd(values[:, 0]), 1.0, np.nanstd(values[:, 2])])
    values[:, 2] = np.nan
    with pytest.raises(DataError, match="band 3"):
        batches.normalisation(Odd(values), np.arange(50))  # type: ignore[arg-type]

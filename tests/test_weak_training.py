"""Training on weak labels: what is dealt, and that one pixel a tile is enough to learn from."""

from __future__ import annotations

from pathlib import Path

import fields
import numpy as np
import pytest
import torch

from tile2vec_cli.errors import DataError
from tile2vec_cli.neural.batches import Standardise, normalisation
from tile2vec_cli.neural.device import choose
from tile2vec_cli.segmentation import weak_training
from tile2vec_cli.segmentation.segmenters import probabilities
from tile2vec_cli.segmentation.unet import Segmenter, UNet
from tile2vec_cli.segmentation.weak_training import Lessons, Schedule
from tile2vec_cli.tiling.tiles import TileSet

UNKNOWN = 255


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> tuple[TileSet, np.ndarray]:
    """A tile set and the true states of its pixels."""
    folder: Path = tmp_path_factory.mktemp("land")
    fields.make(folder)
    tiles = fields.tile_set(folder)
    index = tiles.table()
    corners = zip(index["row"].to_pylist(), index["col"].to_pylist(), strict=True)
    whole = fields.truth()
    return tiles, np.stack([whole[r : r + 16, c : c + 16] for r, c in corners])


def one_pixel_each(truth: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(0)
    row, col = random.integers(0, 16, (2, len(truth)))
    states = np.full(truth.shape, UNKNOWN, np.uint8)
    every = np.arange(len(truth))
    states[every, row, col] = truth[every, row, col]
    return states


def trained(tiles: TileSet, lessons: Lessons, steps: int, seed: int = 0, **options: float) -> Segmenter:
    torch.manual_seed(seed)
    network = UNet(3, width=8, levels=2, pixel_path=True, drop=0.1)
    standardise = Standardise(*normalisation(tiles, np.arange(len(tiles))))
    schedule = Schedule(steps, batch_size=16, lr=5e-3, falling=True, warm_up=5, **options)  # type: ignore[arg-type]
    weak_training.train(network, standardise, lessons, schedule, choose("cpu", "fp32"), seed)
    return Segmenter(standardise, [network]).eval()


def accuracy(segmenter: Segmenter, tiles: TileSet, truth: np.ndarray) -> float:
    ids = np.arange(len(tiles))
    runtime = choose("cpu", "fp32")
    found = np.concatenate([part for _, part in probabilities(segmenter, tiles, ids, runtime)])
    return float(((found > 0.5) == truth)[tiles.valid(ids)].mean())


def test_one_pixel_a_tile_teaches_the_whole_tile(land: tuple[TileSet, np.ndarray]) -> None:
    tiles, truth = land
    segmenter = trained(tiles, Lessons(tiles, np.arange(len(tiles)), one_pixel_each(truth)), 80, noise=0.1)
    best_pixel = 0.72  # noise of 1.5 on a step of 1 in three bands: Φ(√3 / 3)
    assert accuracy(segmenter, tiles, truth) > best_pixel + 0.05


def test_one_label_a_tile_teaches_its_pixels(land: tuple[TileSet, np.ndarray]) -> None:
    tiles, truth = land
    states = (truth.mean((1, 2)) > 0.5).astype(np.uint8)
    segmenter = trained(tiles, Lessons(tiles, np.arange(len(tiles)), states), 80)
    assert accuracy(segmenter, tiles, truth) > 0.72


def test_soft_labels_alone_are_learned(land: tuple[TileSet, np.ndarray]) -> None:
    """Only two tiles have a label; the teacher knows all."""
    tiles, truth = land
    soft = np.where(truth, 0.95, 0.05).astype(np.float16)
    soft[5] = np.nan  # a tile without
    lessons = Lessons(tiles, np.arange(len(tiles)), one_pixel_each(truth)[:2], soft)
    assert accuracy(trained(tiles, lessons, 60), tiles, truth) > 0.8


def test_the_same_seed_gives_the_same_weights(land: tuple[TileSet, np.ndarray]) -> None:
    tiles, truth = land
    lessons = Lessons(tiles, np.arange(40), one_pixel_each(truth)[:40])
    torch.rand(3)  # whatever was drawn before
    one, two = (trained(tiles, lessons, 5, seed=4, noise=0.1).state_dict() for _ in range(2))
    other = trained(tiles, lessons, 5, seed=5, noise=0.1).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["members.0.head.weight"], other["members.0.head.weight"])


def test_training_leaves_torchs_own_generator_alone(land: tuple[TileSet, np.ndarray]) -> None:
    tiles, truth = land
    state = torch.random.get_rng_state()
    network = UNet(3, width=4, levels=1, drop=0.5)
    after_init = torch.random.get_rng_state()
    standardise = Standardise([1000.0] * 3, [100.0] * 3)
    lessons = Lessons(tiles, np.arange(8), one_pixel_each(truth)[:8])
    weak_training.train(network, standardise, lessons, Schedule(2, noise=0.1), choose("cpu", "fp32"), 0)
    assert torch.equal(after_init, torch.random.get_rng_state())
    assert not torch.equal(state, after_init)


def test_labelled_tiles_come_equally_often() -> None:
    lessons = Lessons(None, np.arange(30), np.zeros((7, 2, 2), np.uint8), np.zeros((30, 2, 2), np.float16))  # type: ignore[arg-type]
    deal = weak_training._dealer(lessons, Schedule(1, batch_size=10), np.random.default_rng(0))
    rows = np.array([deal()[0] for _ in range(70)])
    first, others = rows[:, :5], rows[:, 5:]
    assert np.array_equal(np.bincount(first.ravel()), np.full(7, 50))
    assert others.min() == 0 and others.max() == 29


def test_turns_move_labels_with_their_pixels() -> None:
    image = torch.arange(2 * 9).reshape(2, 3, 3)
    for first in range(8):
        for second in range(8):
            both = weak_training._turned(torch.stack([image, image], 1), (first, second))
            assert torch.equal(both[:, 0], both[:, 1])
    seen = {tuple(weak_training._turned(image, (turn, 0))[0].flatten().tolist()) for turn in range(8)}
    assert len(seen) == 8


def test_the_rate_rises_and_falls() -> None:
    schedule = Schedule(100, lr=2.0, warm_up=10, falling=True)
    assert schedule.rate(0) == pytest.approx(0.2)
    assert schedule.rate(50) == pytest.approx(1.0)
    assert schedule.rate(99) < 0.01
    assert Schedule(100, lr=2.0).rate(73) == 2.0


def test_a_loss_that_is_no_number_stops_with_the_step(land: tuple[TileSet, np.ndarray]) -> None:
    tiles, truth = land
    network = UNet(3, width=4, levels=1)
    with torch.no_grad():
        network.head.weight.fill_(float("nan"))
    lessons = Lessons(tiles, np.arange(8), one_pixel_each(truth)[:8])
    with pytest.raises(DataError, match="at step 1"):
        weak_training.train(
            network, Standardise([0.0] * 3, [1.0] * 3), lessons, Schedule(3), choose("cpu", "fp32"), 0
        )


def test_a_window_lies_in_its_tile_and_holds_a_label(land: tuple[TileSet, np.ndarray]) -> None:
    tiles, truth = land  # of 16 pixels a side
    states = one_pixel_each(truth)[:10]
    states[3] = UNKNOWN
    lessons = Lessons(tiles, np.arange(30), states)
    place = weak_training._windower(lessons, 0.7, 4, np.random.default_rng(0))
    images = np.arange(30 * 2 * 16 * 16).reshape(30, 2, 16, 16)
    seen = np.zeros((30, 16, 16), int)
    for _ in range(300):
        windows = place(np.arange(30))
        assert windows is not None and windows.side == 8  # whole strides of at most 0.7 * 16 pixels
        cut = windows.cut(images)
        for row, (top, left) in enumerate(windows.corners):
            assert np.array_equal(cut[row], images[row, :, top : top + 8, left : left + 8])
            seen[row, top : top + 8, left : left + 8] += 1
    assert (seen.sum((1, 2)) == 300 * 64).all()
    known = states != UNKNOWN
    assert (seen[:10][known] == 300).all()
    assert (seen[3] > 0).all() and (seen[10:].sum(0) > 0).all()
    assert weak_training._windower(lessons, 1.0, 4, np.random.default_rng(0))(np.arange(3)) is None
    assert weak_training._windower(lessons, 0.1, 16, np.random.default_rng(0))(np.arange(3)) is None


def test_windows_teach_the_whole_tile(land: tuple[TileSet, np.ndarray]) -> None:
    tiles, truth = land
    lessons = Lessons(tiles, np.arange(len(tiles)), one_pixel_each(truth))
    assert accuracy(trained(tiles, lessons, 80, noise=0.1, window=0.7), tiles, truth) > 0.77

"""The pixels of batches, and the scale they are on."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

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


def test_batches_that_come_before_the_pixels_are_read(
    tiles: TileSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, wanted = np.arange(5, 200, 3), np.array([[0, 7], [3, 60]])
    monkeypatch.setattr(batches, "_CHUNK", 4)
    read, go_on = type(tiles).pixels, threading.Event()

    def slow(self: TileSet, some: Any) -> Any:
        if threading.current_thread() is not threading.main_thread() and some[0] > ids[0]:
            assert go_on.wait(60)
        return read(self, some)

    monkeypatch.setattr(type(tiles), "pixels", slow)
    pixels = Pixels.of(tiles, ids, CPU)
    assert pixels.resident is not None
    assert not pixels.resident.holds(np.array([60]))
    stream = pixels.stream([wanted, wanted])
    assert np.array_equal(next(stream)[1].numpy(), read(tiles, ids[wanted.T.ravel()]))
    go_on.set()
    while not pixels.resident.holds(np.array([len(ids) - 1])):
        time.sleep(0.01)
    assert np.array_equal(next(stream)[1].numpy(), read(tiles, ids[wanted.T.ravel()]))
    assert np.array_equal(pixels.resident.pixels.numpy(), read(tiles, ids))


def test_what_keeps_pixels_from_being_read_is_raised(tiles: TileSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Any:
        raise DataError("gone")

    monkeypatch.setattr(type(tiles), "pixels", broken)
    with pytest.raises(DataError, match="gone"):
        list(Pixels.of(tiles, np.arange(4), CPU).stream([np.array([[1], [2]])]))


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

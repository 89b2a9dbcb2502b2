"""What a model is made from, where a file has changed since."""

from __future__ import annotations

import shutil
from pathlib import Path

import landscapes
import pytest
from trainings import CONFIG, stop_at, weights

from tile2vec_cli.config.pipeline import TripletConfig
from tile2vec_cli.errors import DataError, Interrupted
from tile2vec_cli.learning.training import train
from tile2vec_cli.tiling import triplets as triplet_files
from tile2vec_cli.tiling.tiles import TileSet


def test_other_triplets_in_the_same_file_train_anew(tmp_path: Path) -> None:
    """A file of another place does not: that may be a slip, and a model hours of work."""
    tiles, triplets = landscapes.make(tmp_path)
    here, there, out = tmp_path / "t.parquet", tmp_path / "u.parquet", tmp_path / "model"

    def drawn(path: Path, seed: int) -> None:
        config = TripletConfig(count=200, seed=seed)
        triplet_files.save(path, triplet_files.draw(TileSet.open(tiles), config))

    shutil.copy(triplets, here)
    assert not train(here, tiles, out, CONFIG).up_to_date
    first = weights(out)
    drawn(here, 1)
    assert not train(here, tiles, out, CONFIG).up_to_date
    assert train(here, tiles, out, CONFIG).up_to_date
    assert weights(out) != first
    drawn(there, 2)
    with pytest.raises(DataError, match="made with triplets = "):
        train(there, tiles, out, CONFIG)
    with pytest.raises(Interrupted):  # what a stopped run has left is of the old triplets, too
        train(here, tiles, tmp_path / "stopped", CONFIG, on_progress=stop_at(1))
    drawn(here, 3)
    train(here, tiles, tmp_path / "stopped", CONFIG)
    train(here, tiles, tmp_path / "whole", CONFIG)
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")

"""The place column from triplets to vectors: what it tells apart, and what little it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import landscapes
import numpy as np
import pytest
import torch
from conftest import Run

from tile2vec_cli.config.objectives import MAF
from tile2vec_cli.config.pipeline import EmbedConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError, Interrupted, UsageError
from tile2vec_cli.learning import closed_form, training
from tile2vec_cli.neural import models
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.tiling.triplets import load

BOTH = TrainConfig(dim=8, steps=2, batch_size=16, val_fraction=0.2, device="cpu", precision="fp32")
ALONE = TrainConfig(objective=MAF, val_fraction=0.2, device="cpu", precision="fp32")
Data = tuple[Path, Path]


@pytest.fixture(autouse=True)
def one_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return landscapes.make(tmp_path_factory.mktemp("data"), count=400)


def vectors_of(tiles: Path, model: Path) -> Embeddings:
    out = model.with_suffix(".parquet")
    inference.embed(tiles, model, out, EmbedConfig(device="cpu", precision="fp32"))
    return Embeddings.open(out)


def test_both_parts_stand_side_by_side_and_in_scale(data: Data, tmp_path: Path) -> None:
    report = training.train(data[1], data[0], tmp_path / "model", BOTH)
    assert report.val_triplet_accuracy is not None
    found = vectors_of(data[0], tmp_path / "model")
    assert found.vectors.shape[1] == 8 + 16
    assert found.metadata["vector_parts"] == {"texture": 8, "place": 16}
    texture, place = (np.sqrt(part.var(axis=0).sum()) for part in np.split(found.vectors, [8], axis=1))
    assert 0.85 * 0.5**0.5 < place / texture < 1.15 * 2**0.5  # the tiles of the fit are not all


@pytest.mark.parametrize(("told", "weight"), [("place", 2**0.5), ("trained", 0.5**0.5)])
def test_the_part_that_tells_held_out_neighbors_better_weighs_more(
    data: Data, told: str, weight: float
) -> None:
    tiles = TileSet.open(data[0])
    drawn = load(data[1], tiles)
    random = np.random.default_rng(0)
    noise = random.normal(size=(len(tiles), 4)).astype(np.float32)
    where = (tiles.lonlat - tiles.lonlat.mean(axis=0)).astype(np.float32) * 1e3
    rows = np.hstack([where, noise]) if told == "place" else noise
    source = SimpleNamespace(tiles=tiles, triplets=drawn, used=np.arange(len(tiles)))
    found = closed_form._choice(
        rows - rows.mean(axis=0), where if told == "trained" else noise, source.used, drawn.ids, source, 0
    )
    assert found.weight == pytest.approx(weight, rel=0.2)


def test_place_alone_takes_no_step_and_tells_neighbors(data: Data, tmp_path: Path) -> None:
    report = training.train(data[1], data[0], tmp_path / "model", ALONE)
    assert (report.steps, report.triplets_seen, report.train_loss) == (0, 0, None)
    assert report.val_triplet_accuracy is not None and report.val_triplet_accuracy > 0.6
    assert vectors_of(data[0], tmp_path / "model").vectors.shape[1] == 16
    assert training.train(data[1], data[0], tmp_path / "model", ALONE).up_to_date


def test_a_fit_that_is_stopped_ends_with_the_same_bytes(data: Data, tmp_path: Path) -> None:
    training.train(data[1], data[0], tmp_path / "whole", BOTH)

    def stop(done: int, total: int) -> None:
        if done > 2 * 16:  # the steps are made
            raise Interrupted(15)

    with pytest.raises(Interrupted):
        training.train(data[1], data[0], tmp_path / "stopped", BOTH, on_progress=stop)
    assert not (tmp_path / "stopped").exists()
    training.train(data[1], data[0], tmp_path / "stopped", BOTH)
    for file in (models.DESCRIPTION, models.WEIGHTS):
        assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_more_tiles_than_are_needed_cost_no_more(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closed_form, "TILES", 60)
    seen: list[tuple[int, int]] = []
    training.train(data[1], data[0], tmp_path / "model", ALONE, on_progress=lambda *done: seen.append(done))
    assert seen[-1][0] == seen[-1][1] <= 60
    factors = vectors_of(data[0], tmp_path / "model").vectors.shape[1]
    assert factors == seen[-1][0] // 4  # so few tiles tell no more


def test_a_start_gives_its_trained_part_and_place_is_fitted_anew(data: Data, tmp_path: Path) -> None:
    training.train(data[1], data[0], tmp_path / "first", BOTH)
    more = replace(BOTH, init=str(tmp_path / "first"), lr=1e-9, seed=1)
    training.train(data[1], data[0], tmp_path / "second", more)
    cpu = torch.device("cpu")
    first, second = (models.load_encoder(tmp_path / name, cpu)[0] for name in ("first", "second"))
    for one, other in zip(first.columns.parameters(), second.columns.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert not torch.equal(first.place.weight, second.place.weight)
    training.train(data[1], data[0], tmp_path / "alone", ALONE)
    with pytest.raises(DataError, match="nothing of it was trained in steps"):
        training.train(data[1], data[0], tmp_path / "third", replace(more, init=str(tmp_path / "alone")))
    small = TrainConfig(encoder="small", init=str(tmp_path / "first"), steps=1, device="cpu")
    with pytest.raises(DataError, match="its encoder is texture; this run needs small"):
        training.train(data[1], data[0], tmp_path / "fourth", small)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": MAF, "steps": 3}, "--steps: --objective maf does not use it"),
        ({"objective": MAF, "encoder": "small"}, "--encoder: --objective maf does not use it"),
        ({"objective": MAF, "place": False}, "--no-place: --objective maf makes nothing else"),
        ({"recipe": "best"}, "--recipe best: unknown"),
        ({"local_share": 1.5}, "--local-share 1.5: "),
    ],
)
def test_settings_that_no_run_could_use(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TrainConfig(**options)


def test_options_by_hand_win_over_the_recipe() -> None:
    paper = TrainConfig(recipe="paper")
    assert (paper.encoder, paper.distants, paper.epochs, paper.steps, paper.place) == (
        *("auto", "saved", 50, None),
        False,
    )
    assert TrainConfig(recipe="paper", place=True, jitter=0.4).jitter == 0.4
    assert (TrainConfig().steps, TrainConfig(epochs=3).steps) == (450, None)
    assert TrainConfig(minutes=10).steps == 450  # longer would make texture worse
    assert TrainConfig(minutes=10, objective="rotation").steps is None


def test_the_command_makes_144_numbers_and_says_so(
    data: Data, tmp_path: Path, tile2vec: Callable[..., Run]
) -> None:
    options = ("--steps", "2", "--batch-size", "16", "--device", "cpu")
    tile2vec("train", data[1], "--tiles", data[0], "--out", tmp_path / "model", *options)
    run = tile2vec("embed", data[0], "--model", tmp_path / "model", "--out", tmp_path / "e.parquet", "--json")
    assert run.report["dim"] == 144
    network, model = models.load_encoder(tmp_path / "model", torch.device("cpu"))
    assert model.dim == 144 and network.shares == [128, 16]

"""Training as a whole: it learns, resumes bit by bit, and leaves what there is alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import landscapes
import numpy as np
import pytest
import torch
from trainings import CONFIG, Train, stop_at, trainer, weights

from tile2vec_cli.errors import DataError, Interrupted, OutputError, UsageError
from tile2vec_cli.learning import draws
from tile2vec_cli.learning.training import train
from tile2vec_cli.neural import batches, models
from tile2vec_cli.tiling.tiles import TileSet

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return landscapes.make(tmp_path_factory.mktemp("training"))


@pytest.fixture
def run(data: tuple[Path, Path], tmp_path: Path) -> Train:
    return trainer(*data, tmp_path)


def test_it_learns(run: Train, tmp_path: Path) -> None:
    report = run(replace(CONFIG, steps=None, epochs=6))
    lines = models.metrics(tmp_path / "model")
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[-1]["train_loss"] < 0.9 * lines[0]["train_loss"]
    assert lines[-1]["lr"] == 0 < lines[0]["lr"] < CONFIG.lr
    assert report.val_triplet_accuracy is not None
    assert report.val_triplet_accuracy > 0.8
    assert report.train_loss == lines[-1]["train_loss"]
    assert report.steps == lines[-1]["steps"]
    assert report.triplets_seen == 16 * report.steps
    assert not list(tmp_path.glob(".*"))


def test_gathered_pixels_train_as_resident_ones(
    run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(name="resident")
    monkeypatch.setattr(batches, "free_memory", lambda _: 0)
    run(name="gathered")
    assert weights(tmp_path / "gathered") == weights(tmp_path / "resident")


def test_the_seed_decides(run: Train, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=3)
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        run(replace(config, seed=seed), name)
    assert weights(tmp_path / "one") == weights(tmp_path / "same") != weights(tmp_path / "other")


def test_up_to_date(run: Train, tmp_path: Path) -> None:
    first = run()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "model").iterdir()}
    again = run()
    assert again == replace(first, up_to_date=True)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "model").iterdir()} == before


def test_other_settings_are_named_and_replace_only_when_told(run: Train, tmp_path: Path) -> None:
    run()
    before = weights(tmp_path / "model")
    other = replace(CONFIG, margin=2.0)
    with pytest.raises(DataError, match=r"made with margin = 10\.0; this run has 2\.0.*--overwrite"):
        run(other)
    assert weights(tmp_path / "model") == before
    (tmp_path / "model" / "notes.txt").write_text("mine")
    assert not run(other, overwrite=True).up_to_date
    assert weights(tmp_path / "model") != before
    assert run(other).up_to_date
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(run: Train, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(on_progress=stop_at(64))
    other = replace(CONFIG, lr=5e-4)
    words = (
        r"/model: an unfinished training is there, made with lr = 0\.001; this run has 0\.0005.*--overwrite"
    )
    with pytest.raises(DataError, match=words):
        run(other)
    run(other, overwrite=True)
    run(other, "anew")
    assert weights(tmp_path / "model") == weights(tmp_path / "anew")


def test_triplets_of_another_tile_set(data: tuple[Path, Path], tmp_path: Path) -> None:
    other, _ = landscapes.make(tmp_path, seed=5)
    with pytest.raises(DataError, match="part a"):
        train(data[1], other, tmp_path / "model", CONFIG)
    assert not (tmp_path / "model").exists()


def test_a_grown_tile_set_changes_nothing(data: tuple[Path, Path], tmp_path: Path) -> None:
    from tile2vec_cli.config.pipeline import TileConfig
    from tile2vec_cli.tiling import cutting

    config = replace(CONFIG, steps=4)
    tiles, triplets = landscapes.make(tmp_path)
    train(triplets, tiles, tmp_path / "model", config)
    scene = landscapes.scene(tmp_path / "scenes" / "Z_before_a.tif", seed=9)  # sorts before a
    cutting.cut([str(tmp_path / "scenes" / "a.tif"), str(scene)], tiles, TileConfig(size=landscapes.SIDE))
    assert len(TileSet.open(tiles)) == 512
    assert train(triplets, tiles, tmp_path / "model", config).up_to_date
    train(triplets, tiles, tmp_path / "again", config)
    assert weights(tmp_path / "model") == weights(tmp_path / "again")


def test_without_validation(run: Train) -> None:
    report = run(replace(CONFIG, steps=2, val_fraction=0.0))
    assert report.val_loss is None
    assert report.val_triplet_accuracy is None
    with pytest.raises(UsageError, match="--patience"):
        replace(CONFIG, val_fraction=0.0, patience=1)


def test_a_batch_larger_than_the_triplets(run: Train) -> None:
    report = run(replace(CONFIG, batch_size=5000, steps=2))
    assert report.triplets_seen < 800


def test_the_scores_are_those_of_the_weights(run: Train, data: tuple[Path, Path], tmp_path: Path) -> None:
    from tile2vec_cli.tiling.triplets import load

    run(replace(CONFIG, steps=5))
    encoder, model = models.load_encoder(tmp_path / "model", torch.device("cpu"))
    tiles = TileSet.open(data[0])
    ids = load(data[1], tiles).ids
    used, numbers = np.unique(ids, return_inverse=True)
    side = tiles.side_m
    split = draws.split(numbers.reshape(-1, 3), tiles.lonlat[used], 20 * side, 2 * side, 0.2, 0)
    with torch.no_grad():
        a, n, d = (encoder(torch.from_numpy(tiles.pixels(column))) for column in ids[split.val].T)
    nearer = torch.nn.functional.pairwise_distance(a, n, eps=0) < torch.nn.functional.pairwise_distance(
        a, d, eps=0
    )
    assert model.scores["val_triplet_accuracy"] == pytest.approx(float(nearer.float().mean()), abs=0.01)
    halves = [[vectors[:, part] for vectors in (a, n, d)] for part in (slice(8), slice(8, 16))]
    hinges = [torch.nn.functional.triplet_margin_loss(*half, margin=10.0, eps=0) for half in halves]
    norms = [torch.cat(half).norm(dim=1).mean() for half in halves]
    expected = float(sum(hinges) + 0.01 * sum(norms)) / 2
    assert model.scores["val_loss"] == pytest.approx(expected, rel=1e-4)


def test_folders_that_are_no_models_are_left_alone(run: Train, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OutputError, match="is a file"):
        run(name="file", overwrite=True)
    with pytest.raises(OutputError, match="holds other files"):
        run(name="folder", overwrite=True)
    assert (tmp_path / "folder" / "thesis.tex").read_text() == "mine"
    run(replace(CONFIG, steps=1), name="empty")
    with pytest.raises(OutputError):
        run(name="file/below")


def test_a_sixteen_bit_tile_set(tmp_path: Path) -> None:
    tiles, triplets = landscapes.make(tmp_path, dtype="uint16")
    report = train(triplets, tiles, tmp_path / "model", replace(CONFIG, steps=2))
    assert report.steps == 2
    assert models.describe(tmp_path / "model").dtype == "uint16"


def test_what_cannot_be_compiled_is_a_usage_error(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(network: torch.nn.Module, mode: str | None) -> torch.nn.Module:
        raise RuntimeError("no\ncompiler")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(UsageError, match=r"--compile: torch cannot compile here \(no compiler\)"):
        run(replace(CONFIG, compile=True))
    monkeypatch.setattr(torch, "compile", lambda network, mode: network)
    assert run(replace(CONFIG, compile=True, steps=2)).steps == 2

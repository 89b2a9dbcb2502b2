"""Training as a whole: it learns, resumes bit by bit, and leaves what there is alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import landscapes
import numpy as np
import pytest
import torch

from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.errors import DataError, Interrupted, OutputError, UsageError
from tile2vec_cli.learning import draws, loop, optimise
from tile2vec_cli.learning.training import TrainReport, train
from tile2vec_cli.neural import batches, models
from tile2vec_cli.tiling.tiles import TileSet

CONFIG = TrainConfig(
    encoder="small",
    place=False,
    local_share=0,
    dim=16,
    batch_size=16,
    steps=30,
    lr=0.001,
    val_fraction=0.2,
    device="cpu",
    precision="fp32",
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return landscapes.make(tmp_path_factory.mktemp("training"))


Train = Callable[..., TrainReport]


@pytest.fixture
def run(data: tuple[Path, Path], tmp_path: Path) -> Train:
    def run(config: TrainConfig = CONFIG, name: str = "model", **options: Any) -> TrainReport:
        tiles, triplets = data
        return train(triplets, tiles, tmp_path / name, config, **options)

    return run


def stop_at(triplets: int) -> Callable[[int, int], None]:
    """A progress callable that stops the run as a signal would."""

    def update(done: int, _total: int) -> None:
        if done >= triplets:
            raise Interrupted(75)

    return update


def weights(folder: Path) -> bytes:
    return (folder / models.WEIGHTS).read_bytes()


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


@pytest.mark.parametrize("distants", ["in-batch", "saved"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_stopped_run_ends_with_the_same_bytes(
    run: Train, tmp_path: Path, distants: str, precision: str
) -> None:
    config = replace(CONFIG, distants=distants, precision=precision)
    whole = run(config, "whole")
    for stop in (16, 7 * 16, 9 * 16):
        with pytest.raises(Interrupted):
            run(config, "stopped", on_progress=stop_at(stop))
        assert not (tmp_path / "stopped").exists()
    resumed = run(config, "stopped")
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")
    for name in (models.DESCRIPTION, models.WEIGHTS):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert replace(resumed, triplets_per_second=0) == replace(whole, triplets_per_second=0)
    assert not list(tmp_path.glob(".*"))


def test_a_step_given_up_half_way_leaves_no_trace(
    run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(name="whole")
    calls = 0

    def pending() -> None:
        nonlocal calls
        calls += 1
        if calls == 200:  # in the middle of a step, after some of its batch norms
            raise Interrupted(75)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(loop.interrupts, "raise_pending", pending)
        run(name="stopped")
    run(name="stopped")
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


def test_killed_between_two_checkpoints(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `kill -9` leaves is the last checkpoint; the steps after it are made again."""
    run(name="whole")
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)

    def die(done: int, _total: int) -> None:
        if done >= 11 * 16:
            raise KeyError("killed")  # no Interrupted: nothing is saved any more

    with pytest.raises(KeyError):
        run(name="killed", on_progress=die)
    assert json.loads((tmp_path / ".killed.training/last/state.json").read_text())["step"] == 10
    run(name="killed")
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


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
    assert not run(other, overwrite=True).up_to_date
    assert weights(tmp_path / "model") != before
    assert run(other).up_to_date


def test_a_checkpoint_of_other_settings_is_not_gone_on_from(run: Train, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(on_progress=stop_at(64))
    other = replace(CONFIG, lr=5e-4)
    with pytest.raises(DataError, match=r"made with lr = 0\.001; this run has 0\.0005"):
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


@pytest.mark.parametrize("lr", [1e30, 1e20])
def test_what_diverges_stops_and_keeps_the_last_good_weights(run: Train, tmp_path: Path, lr: float) -> None:
    with pytest.raises(DataError, match=r"at step \d+; finite numbers are needed.*are kept in") as caught:
        run(replace(CONFIG, lr=lr, steps=2000))
    assert not (tmp_path / "model").exists()
    kept = Path(str(caught.value).rsplit(" are kept in ", 1)[1].rstrip("."))
    encoder, model = models.load_encoder(kept, torch.device("cpu"))
    assert all(torch.isfinite(tensor).all() for tensor in encoder.state_dict().values())
    assert f"weights of step {model.scores['steps']} " in str(caught.value)


def test_a_device_that_is_seldom_looked_at(
    run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: the same bytes, and back to the last look where a loss is NaN."""
    run(name="whole")
    monkeypatch.setitem(optimise.LOOK_EVERY, "cpu", 7)
    with pytest.raises(Interrupted):
        run(name="later", on_progress=stop_at(16 * 16))
    run(name="later")
    assert weights(tmp_path / "later") == weights(tmp_path / "whole")
    kept = [models.metrics(tmp_path / name)[-1]["train_loss"] for name in ("later", "whole")]
    assert kept[0] == kept[1]
    with pytest.raises(DataError, match=r"at step \d+; finite numbers are needed") as caught:
        run(replace(CONFIG, lr=1e30), name="diverged")
    checkpoint = tmp_path / ".diverged.training" / "last"
    encoder, model = models.load_encoder(checkpoint, torch.device("cpu"))
    assert all(torch.isfinite(tensor).all() for tensor in encoder.state_dict().values())
    assert f"weights of step {model.scores['steps']} " in str(caught.value)


def test_one_late_bad_step_is_undone(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moments of Adam too: the run goes on from the last look as if nothing had happened."""
    monkeypatch.setitem(optimise.LOOK_EVERY, "cpu", 7)
    run(name="whole")
    turned, calls = draws.turned, 0

    def spoiled(*arguments: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        pixels = turned(*arguments).float()
        return pixels.fill_(torch.inf) * 1e38 if calls == 12 else pixels

    with monkeypatch.context() as patch, pytest.raises(DataError, match=r"at step 12;.*weights of step 7 "):
        patch.setattr(draws, "turned", spoiled)
        patch.setattr(torch.Tensor, "nan_to_num", lambda tensor, *_: tensor)
        run(name="spoiled")
    run(name="spoiled")
    assert weights(tmp_path / "spoiled") == weights(tmp_path / "whole")


def test_minutes_are_a_budget(run: Train, tmp_path: Path) -> None:
    report = run(replace(CONFIG, steps=None, minutes=0.02))
    line = models.metrics(tmp_path / "model")[-1]
    assert 1.2 <= line["seconds"] < 10
    assert line["lr"] < 1e-6
    assert report.steps > 1
    assert not run(replace(CONFIG, steps=None, minutes=1e-9), "short").up_to_date  # one step is made


def test_minutes_count_over_all_runs(run: Train, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=None, minutes=0.02)
    with pytest.raises(Interrupted):
        run(config, on_progress=stop_at(32))
    spent = json.loads((tmp_path / ".model.training/last/state.json").read_text())["seconds"]
    assert spent > 0
    run(config)
    assert models.metrics(tmp_path / "model")[-1]["seconds"] > 1.2


def test_patience_keeps_the_best_epoch(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([3.0, 2.0, 2.5, 2.0, 1.0])
    monkeypatch.setattr(loop.Run, "_validate", lambda _: (next(found), 0.5))
    config = replace(CONFIG, steps=None, epochs=9, patience=2)
    report = run(config)
    lines = models.metrics(tmp_path / "model")
    assert [line["val_loss"] for line in lines] == [3.0, 2.0, 2.5, 2.0]
    assert report.val_loss == 2.0
    assert report.train_loss == lines[1]["train_loss"]


def test_best_weights_survive_a_stop(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, steps=None, epochs=9, patience=1, val_fraction=0.2)
    losses = {1: 2.0, 2: 1.0, 3: 3.0}

    def validate(self: loop.Run) -> tuple[float, float]:
        return losses[len(self.state.metrics) + 1], 0.5

    monkeypatch.setattr(loop.Run, "_validate", validate)
    run(config, "whole")
    per_epoch = models.metrics(tmp_path / "whole")[0]["steps"]
    with pytest.raises(Interrupted):
        run(config, "stopped", on_progress=stop_at(16 * (2 * per_epoch + 1)))
    run(config, "stopped")
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


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

"""The steps of a training: what stops them, what bounds them, and that they go on bit by bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import landscapes
import pytest
import torch
from trainings import CONFIG, Train, stop_at, trainer, weights

from tile2vec_cli.errors import DataError, Interrupted
from tile2vec_cli.learning import draws, loop, optimise
from tile2vec_cli.learning.training import train
from tile2vec_cli.neural import models

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return landscapes.make(tmp_path_factory.mktemp("training"))


@pytest.fixture
def run(data: tuple[Path, Path], tmp_path: Path) -> Train:
    return trainer(*data, tmp_path)


@pytest.fixture(scope="module")
def whole(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of an undisturbed run of CONFIG."""
    tiles, triplets = data
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CPUS_PER_TASK", "1")
        out = tmp_path_factory.mktemp("whole") / "model"
        train(triplets, tiles, out, CONFIG)
    return out


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
    run: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert weights(tmp_path / "stopped") == weights(whole)


def test_killed_between_two_checkpoints(
    run: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `kill -9` leaves is the last checkpoint; the steps after it are made again."""
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)

    def die(done: int, _total: int) -> None:
        if done >= 11 * 16:
            raise KeyError("killed")  # no Interrupted: nothing is saved any more

    with pytest.raises(KeyError):
        run(name="killed", on_progress=die)
    assert json.loads((tmp_path / ".killed.training/last/state.json").read_text())["step"] == 10
    run(name="killed")
    assert weights(tmp_path / "killed") == weights(whole)


def require_sound(checkpoint: Path, said: str) -> None:
    """Its weights are finite, and of the step that the error names."""
    encoder, model = models.load_encoder(checkpoint, torch.device("cpu"))
    assert all(torch.isfinite(tensor).all() for tensor in encoder.state_dict().values())
    assert f"weights of step {model.scores['steps']} " in said


@pytest.mark.parametrize("lr", [1e30, 1e20])
def test_what_diverges_stops_and_keeps_the_last_good_weights(run: Train, tmp_path: Path, lr: float) -> None:
    with pytest.raises(DataError, match=r"at step \d+; finite numbers are needed.*are kept in") as caught:
        run(replace(CONFIG, lr=lr, steps=2000))
    assert not (tmp_path / "model").exists()
    kept = Path(str(caught.value).rsplit(" are kept in ", 1)[1].rstrip("."))
    require_sound(kept, str(caught.value))


def test_a_device_that_is_seldom_looked_at(
    run: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: the same bytes, and back to the last look where a loss is NaN."""
    monkeypatch.setitem(optimise.LOOK_EVERY, "cpu", 7)
    with pytest.raises(Interrupted):
        run(name="later", on_progress=stop_at(16 * 16))
    run(name="later")
    assert weights(tmp_path / "later") == weights(whole)
    kept = [models.metrics(path)[-1]["train_loss"] for path in (tmp_path / "later", whole)]
    assert kept[0] == kept[1]
    with pytest.raises(DataError, match=r"at step \d+; finite numbers are needed") as caught:
        run(replace(CONFIG, lr=1e30), name="diverged")
    require_sound(tmp_path / ".diverged.training" / "last", str(caught.value))


def test_one_late_bad_step_is_undone(
    run: Train, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moments of Adam too: the run goes on from the last look as if nothing had happened."""
    monkeypatch.setitem(optimise.LOOK_EVERY, "cpu", 7)
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
    assert weights(tmp_path / "spoiled") == weights(whole)


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

"""What a run resumes from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from encoded import MODEL, network
from torch.optim import Adam

from tile2vec_cli.errors import DataError, OutputError
from tile2vec_cli.learning import checkpoints
from tile2vec_cli.learning.checkpoints import State
from tile2vec_cli.neural import models
from tile2vec_cli.neural.encoders import Encoder
from tile2vec_cli.outputs import workspaces

STEM = "columns.1.stem.weight"


def stepped(count: int) -> tuple[Encoder, Adam]:
    encoder = network()
    optimizer = Adam(encoder.parameters(), 1e-3, fused=True)
    for number in range(count):
        step(encoder, optimizer, number)
    return encoder, optimizer


def step(encoder: Encoder, optimizer: Adam, number: int) -> None:
    random = torch.Generator().manual_seed(number)
    optimizer.zero_grad()
    encoder.train()(
        torch.randint(0, 256, (4, 3, 8, 8), generator=random, dtype=torch.uint8)
    ).square().sum().backward()
    optimizer.step()


def save(path: Path, encoder: Encoder, optimizer: Adam, steps: int) -> None:
    state = State(step=steps, open_steps=2, open_loss=0.1 + 0.2, metrics=[{"epoch": 1, "lr": 1e-3}])
    checkpoints.save(path, MODEL, encoder, optimizer, state, None)


@pytest.mark.parametrize("before", [0, 3])
def test_a_restored_run_goes_on_bit_by_bit(tmp_path: Path, before: int) -> None:
    encoder, optimizer = stepped(before)
    save(tmp_path / "last", encoder, optimizer, before)
    again, its_optimizer = stepped(0)
    state, best = checkpoints.restore(tmp_path / "last", again, its_optimizer)
    assert state == State(step=before, open_steps=2, open_loss=0.1 + 0.2, metrics=[{"epoch": 1, "lr": 1e-3}])
    assert best is None
    for number in range(before, before + 3):
        step(encoder, optimizer, number)
        step(again, its_optimizer, number)
    for (name, one), other in zip(encoder.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_a_checkpoint_is_a_model(tmp_path: Path) -> None:
    encoder, optimizer = stepped(2)
    save(tmp_path / "last", encoder, optimizer, 2)
    loaded, model = models.load_encoder(tmp_path / "last", torch.device("cpu"))
    assert model == MODEL
    assert torch.equal(loaded.state_dict()[STEM], encoder.state_dict()[STEM])


def test_the_best_weights_are_kept_too(tmp_path: Path) -> None:
    encoder, optimizer = stepped(1)
    other = network().state_dict()
    checkpoints.save(tmp_path / "last", MODEL, encoder, optimizer, State(step=1), other)
    _, best = checkpoints.restore(tmp_path / "last", *stepped(0))
    assert best is not None
    assert torch.equal(best[STEM], other[STEM])


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "last", *stepped(1), 1)
    path = tmp_path / "last" / "state.json"
    path.write_text(path.read_text().replace('"step"', '"stride"'))
    with pytest.raises(DataError, match="stride"):
        checkpoints.restore(tmp_path / "last", *stepped(0))


def test_one_run_at_a_time_and_nothing_left_behind(tmp_path: Path) -> None:
    out = tmp_path / "model"
    with workspaces.opened(out) as path:
        assert path.parent.parent == tmp_path
        with pytest.raises(OutputError, match="another run"), workspaces.opened(out):
            pass
        (path.parent / ".tmp-left").mkdir()
    with workspaces.opened(out) as path:
        assert not list(path.parent.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_run_at_work_keeps_its_checkpoint(tmp_path: Path) -> None:
    """While one replaces a model by one of other settings, another finds the old one up to date."""
    out = tmp_path / "model"
    with workspaces.opened(out) as path:
        path.mkdir()
        workspaces.discard(out)
        assert path.exists()
    workspaces.discard(out)
    assert not list(tmp_path.iterdir())


def test_a_lock_on_a_removed_folder_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that held it removes the folder between another's opening and locking it."""
    out = tmp_path / "model"
    room = workspaces._room(out)
    lock = workspaces.fcntl.flock

    def late(handle: int, how: int) -> None:
        monkeypatch.undo()
        room.rmdir()
        lock(handle, how)

    monkeypatch.setattr(workspaces.fcntl, "flock", late)
    with (
        workspaces.opened(out) as path,
        pytest.raises(OutputError, match="another run"),
        workspaces.opened(out),
    ):
        path.touch()

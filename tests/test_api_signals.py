"""Ctrl-C in a notebook: KeyboardInterrupt, what resumes is saved, and the handlers are those of before."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import landscapes
import pytest

import tile2vec_cli as t2v
from tile2vec_cli.job import interrupts


def test_training_is_stopped_and_goes_on(tmp_path: Path) -> None:
    tiles, drawn = landscapes.make(tmp_path)
    before = signal.getsignal(signal.SIGINT)
    settings = {"tiles": tiles, "steps": 8, "batch_size": 16, "encoder": "small", "place": False}

    def stop(done: int, _total: int) -> None:
        if done >= 3 * 16:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        t2v.train(drawn, out=tmp_path / "model", **settings, on_progress=stop)
    assert signal.getsignal(signal.SIGINT) is before and not interrupts.stop_requested()
    assert not (tmp_path / "model").exists()
    told: list[int] = []
    model = t2v.train(
        drawn, out=tmp_path / "model", **settings, on_progress=lambda done, _: told.append(done)
    )
    assert model.report["steps"] == 8
    assert told[-1] < 8 * 16, "it began anew"


def test_signals_of_the_command_line_stay_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, interrupts._on_signal)
    try:
        with interrupts.borrowed():
            assert signal.getsignal(signal.SIGTERM) is not interrupts._on_signal
            assert signal.getsignal(signal.SIGINT) is interrupts._on_signal
    finally:
        signal.signal(signal.SIGINT, before)

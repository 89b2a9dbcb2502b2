"""How many processors a job may use."""

from __future__ import annotations

import os

import pytest

from tile2vec_cli.job import resources


def test_slurms_grant_of_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert resources.usable_cpus() == 3
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    assert 1 <= resources.usable_cpus() <= (os.cpu_count() or 1)

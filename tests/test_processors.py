"""How many processors a job may use."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tile2vec_cli.job import resources


def test_slurms_grant_of_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert resources.usable_cpus() == 3
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    assert 1 <= resources.usable_cpus() <= (os.cpu_count() or 1)


def test_how_threads_wait_is_said_where_nobody_else_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.setenv(name, "")  # restored afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    resources.wait_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    resources.wait_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"


def test_it_is_said_before_openmp_is_loaded() -> None:
    told = {name: value for name, value in os.environ.items() if not name.startswith(("OMP", "GOMP", "KMP"))}
    done = subprocess.run(
        [sys.executable, "-c", "import tile2vec_cli as t2v; t2v.train; import torch"],
        env={**told, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    said = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    assert set(said) <= {"1000"}  # GCC's OpenMP says it

"""What a job may use, on machines made of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tile2vec_cli.geo import rasters
from tile2vec_cli.job import resources

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """/proc of a machine with 48 GiB to be had, and no control groups, in no queue."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(f"MemFree: 9 kB\nMemAvailable: {48 << 20} kB\n")
    (tmp_path / "proc" / "self" / "statm").write_text(f"9 {GIB // os.sysconf('SC_PAGE_SIZE')} 9")
    monkeypatch.setattr(resources, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(resources, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(resources, "_pages", lambda name: 64 * GIB)
    for name in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE", "CPUS_PER_TASK"):
        monkeypatch.delenv(f"SLURM_{name}", raising=False)
    return tmp_path


def group(folder: Path, limit: object, used: int = 0, cached: int = 0, *, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cached}\n")


def test_alone_it_is_the_machines(machine: Path) -> None:
    assert (resources.granted_memory(), resources.free_memory()) == (64 * GIB, 48 * GIB)
    (machine / "proc" / "meminfo").unlink()
    assert resources.free_memory() == 64 * GIB


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"MEM_PER_NODE": "4096"}, 4),
        ({"MEM_PER_NODE": "0"}, 64),
        ({"MEM_PER_NODE": "lots"}, 64),
        ({"MEM_PER_CPU": "2048", "CPUS_ON_NODE": "8"}, 16),
        ({"MEM_PER_CPU": "2048", "CPUS_PER_TASK": "3"}, 6),
        ({"MEM_PER_CPU": "2048"}, 2),
    ],
)
def test_slurms_grant(
    machine: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: int
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert resources.granted_memory() == expected * GIB
    assert (
        resources.free_memory() == (48 if expected == 64 else expected - 1) * GIB
    )  # this process holds 1 GiB


def test_the_least_of_the_groups_holds(machine: Path) -> None:
    (machine / "proc" / "self" / "cgroup").write_text("0::/slurm/job_7/step_0\n")
    group(machine / "cgroup" / "slurm" / "job_7" / "step_0", "max")
    group(machine / "cgroup" / "slurm" / "job_7", 8 * GIB, used=5 * GIB, cached=2 * GIB)
    group(machine / "cgroup" / "slurm", 32 * GIB)
    assert (resources.granted_memory(), resources.free_memory()) == (8 * GIB, 5 * GIB)


def test_inside_a_container_the_root_is_the_group(machine: Path) -> None:
    (machine / "proc" / "self" / "cgroup").write_text("0::/docker/abc\n")
    group(machine / "cgroup", 2 * GIB, used=3 * GIB)
    assert (resources.granted_memory(), resources.free_memory()) == (2 * GIB, 0)


def test_groups_of_version_1(machine: Path) -> None:
    (machine / "proc" / "self" / "cgroup").write_text("5:cpu:/job\n4:memory:/job\n")
    group(machine / "cgroup" / "memory" / "job", 3 * GIB, used=2 * GIB, cached=GIB, version=1)
    group(machine / "cgroup" / "memory", 2**63 - 4096, version=1)  # none
    assert (resources.granted_memory(), resources.free_memory()) == (3 * GIB, 2 * GIB)


@pytest.mark.parametrize(("gib", "expected"), [(1, 64), (4, 128), (64, 256)])
def test_gdals_cache_follows_the_grant(
    machine: Path, monkeypatch: pytest.MonkeyPatch, gib: int, expected: int
) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_NODE", str(gib << 10))
    assert rasters.cache_bytes() == expected << 20


def test_on_this_machine() -> None:
    assert 0 < resources.free_memory() <= resources.granted_memory() < 1 << 60

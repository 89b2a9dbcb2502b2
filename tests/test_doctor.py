"""What `tile2vec doctor` finds where something is broken, missing or slow."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyproj
import pytest
from conftest import Run

from tile2vec_cli.job import libraries, machine, resources
from tile2vec_cli.job.machine import Finding, tried

ROOT = Path(__file__).resolve().parents[1]


def by_name(findings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in findings}


def only(found: Iterator[Finding]) -> Finding:
    (one,) = found
    return one


@pytest.fixture
def broken(tmp_path: Path) -> Callable[..., str]:
    """broken(name=source) -> a PYTHONPATH on which these libraries stand before the real ones."""

    def make(**sources: str) -> str:
        for name, source in sources.items():
            (tmp_path / "fake" / name).mkdir(parents=True)
            (tmp_path / "fake" / name / "__init__.py").write_text(source)
        return f"{tmp_path / 'fake'}:{ROOT}"

    return make


def test_what_is_broken_is_told_with_the_rest(
    tile2vec: Callable[..., Run], broken: Callable[..., str], tmp_path: Path
) -> None:
    noise = "import sys; print('Traceback', file=sys.stderr); "
    lost = "libcudart.so.13: cannot open shared object file: No such file or directory"
    path = broken(
        torch=f"raise OSError('{lost}')",
        shapely=f"{noise}raise ImportError('numpy.core.multiarray failed to import')",
        dask_jobqueue="raise ModuleNotFoundError(name='dask_jobqueue')",
    )
    done = tile2vec("doctor", "--json", cwd=tmp_path, PYTHONPATH=path, OMP_NUM_THREADS="1")
    assert done.code == 65
    found = by_name(done.report["findings"])
    assert {one["name"] for one in found.values() if one["state"] == "broken"} >= {"torch", "shapely"}
    assert {"torch", "shapely"} <= set(done.report["failed"])
    assert "libcudart.so.13" in found["torch"]["advice"]
    assert found["numpy"]["state"] == found["PROJ (pyproj)"]["state"] == "ok"
    assert (found["extra dask"]["state"], found["device"]["state"]) == ("note", "note")
    assert all(line.startswith("error: ") for line in done.err.splitlines())
    assert len(done.err.splitlines()) == len(done.report["failed"])


def test_all_is_well_here(tile2vec: Callable[..., Run], tmp_path: Path) -> None:
    done = tile2vec("doctor", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    lines = {re.split(r"  +", line)[0]: line for line in done.out.splitlines()}
    assert str(tmp_path.resolve()) in lines["folder"]
    assert pyproj.proj_version_str in lines["PROJ (pyproj)"]
    names = {re.split(r"[<>=]", need)[0] for need in libraries.requirements()[""]}
    assert len(names) > 10 and names <= lines.keys()


def test_data_of_another_proj_are_suspected(tile2vec: Callable[..., Run], tmp_path: Path) -> None:
    """As a module of a cluster that sets PROJ_DATA for its own GDAL."""
    (tmp_path / "proj.db").write_text("no database")
    done = tile2vec("doctor", "--quiet", cwd=tmp_path, PROJ_DATA=str(tmp_path), PROJ_LIB="")
    assert done.code == 65
    assert "rasterio" in done.err and f"PROJ_DATA={tmp_path}" in done.err


# --- libraries ---------------------------------------------------------------------------------


def test_what_a_library_raises_is_a_finding(capfd: pytest.CaptureFixture[str]) -> None:
    def look() -> Iterator[Finding]:
        yield Finding("a", "1.0")
        raise SystemError("initialization failed\nof much")

    (found,) = tried("b", look)
    assert (found.name, found.state, found.found) == ("b", "broken", "SystemError: initialization failed")
    assert found.failure.exit_code == 65 and found.advice in found.failure.message


@pytest.mark.parametrize(
    ("need", "state", "said"),
    [
        ("numpy>=1.26", "ok", ""),
        ("numpy>=99.1,<100", "broken", "99.1 or newer"),
        ("no-such-library>=1", "broken", "pip install 'no-such-library>=1'"),
        ("scikit-learn", "ok", ""),
    ],
)
def test_a_requirement(need: str, state: str, said: str) -> None:
    (found,) = libraries._library(need)
    assert found.state == state and said in found.advice


def test_requirements_of_what_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wheel says them in its metadata, a clone in pyproject.toml; another's is not taken for it."""
    clone = libraries.requirements()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\ndependencies = ["a"]\n')
    monkeypatch.setattr(libraries, "_ROOT", tmp_path)
    lines = [*clone[""], *(f'{need}; extra == "dask"' for need in clone["dask"]), 'b>=1; extra == "test"']
    monkeypatch.setattr(libraries.metadata, "requires", lambda name: lines)
    assert libraries.requirements() == {"": clone[""], "dask": clone["dask"], "test": ["b>=1"]}


def test_a_wrong_place_is_broken() -> None:
    right = pyproj.Transformer.from_crs(32614, 4326, always_xy=True).transform(*libraries.POINT)
    assert libraries._transformed("PROJ", "9", right).state == "ok"
    assert libraries._transformed("PROJ", "9", (float("inf"), float("inf"))).state == "broken"
    assert libraries._transformed("PROJ", "9", right[::-1]).state == "broken"


# --- the machine -------------------------------------------------------------------------------


def test_fewer_threads_than_cpus_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "usable_cpus", lambda: 4)
    for asked, state in (("1", "slow"), ("3", "slow"), ("4", "ok"), ("8", "ok"), ("", "ok")):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        found = only(machine._threads())
        assert found.state == state, asked
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "set it to 4" in only(machine._threads()).advice


def test_cpus_that_slurm_grants_and_does_not_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    found = only(machine._cpus())
    assert found.state == "slow" and "srun --cpus-per-task=8" in found.advice
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert only(machine._cpus()).state == "slow"
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert only(machine._cpus()).state == "ok"


def test_a_processor_without_bfloat16_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "cpu_flags", lambda: frozenset({"avx2"}))
    assert only(machine._processor()).state == "slow"
    monkeypatch.setattr(resources, "cpu_flags", lambda: frozenset({"avx2", "amx_bf16"}))
    assert only(machine._processor()).state == "ok"


def test_little_memory_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "granted_memory", lambda: 4 << 30)
    monkeypatch.setattr(resources, "free_memory", lambda: 1 << 30)
    found = only(machine._memory())
    assert (found.state, found.found) == ("slow", "4.0 GiB granted, 1.0 GiB free")


def test_the_file_system_of_a_folder(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "dev / ext4 rw 0 0\nauto /data autofs rw 0 0\nserver:/x /data nfs4 rw 0 0\n"
        "dev /data/local\\040disk xfs rw 0 0\nmem /dat tmpfs rw 0 0\n"
    )
    for path, kind in (
        ("/home/a", "ext4"),
        ("/data/b/c", "nfs4"),
        ("/database", "ext4"),
        ("/data/local disk/c", "xfs"),
        ("/dat", "tmpfs"),
    ):
        assert machine.file_system(Path(path), mounts) == kind
    assert machine.file_system(Path("/"), tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("kind", "free", "state"),
    [
        ("ext4", 1 << 40, "ok"),
        ("nfs4", 1 << 40, "slow"),
        ("tmpfs", 1 << 40, "note"),
        ("ext4", 1 << 20, "note"),
    ],
)
def test_a_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, free: int, state: str) -> None:
    monkeypatch.setattr(machine, "file_system", lambda path: kind)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))
    assert only(machine._disk("folder", lambda: tmp_path)).state == state


def test_a_temporary_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    first, _ = machine._temporary()
    assert first.state == "note" and str(tmp_path / "none") in first.found

"""Scenes and tile sets made for the tests, and the real ones where they lie beside the project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores: a thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# The files that take longest, the longest first.
LONG = ("test_end_to_end.py", "test_tutorials.py", "test_faults.py", "test_train_command.py")
LONG += (
    "test_compare_command.py",
    "test_last_mile.py",
    "test_api.py",
    "test_signals.py",
    "test_concurrency.py",
)

SceneWriter = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: `--dist loadfile` gives a file to one worker, and a long one shall not come last."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONG)))


@dataclass(frozen=True)
class Run:
    """What one call of the command line came to."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings in this process take one thread: the same bytes on any machine."""
    import torch

    torch.set_num_threads(1)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")


@pytest.fixture(scope="session")
def tile2vec() -> Callable[..., Run]:
    """Run the command line in a process of its own: started as a user does where its environment is another,
    forked from one that has imported everything where it is ours."""

    def run(*arguments: object, cwd: Path | None = None, stdin: str | None = None, **env: str) -> Run:
        if not env:
            fork = forks.run(arguments, cwd=cwd, stdin=stdin, base=os.environ)
            return Run(fork.code, fork.stdout, fork.stderr)
        command = [sys.executable, "-m", "tile2vec_cli", *map(str, arguments)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            input=stdin,
            env={**os.environ, **env},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Run(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def write_scene(tmp_path: Path) -> SceneWriter:
    """write_scene("a.tif", pixels (C, H, W), **profile) -> path, below the test's own folder."""

    def write(name: str, pixels: np.ndarray, *, mask: np.ndarray | None = None, **profile: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        settings = {
            "driver": "GTiff",
            "count": len(pixels),
            "height": pixels.shape[1],
            "width": pixels.shape[2],
            "dtype": pixels.dtype,
            "crs": "EPSG:32614",
            "transform": from_origin(500_000, 4_400_000, 10, 10),
            **profile,
        }
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **settings) as target:
            target.write(pixels)
            if mask is not None:
                target.write_mask(mask)
        return path

    return write


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    """noise(C, H, W, dtype) without zeros, the same for the same shape."""

    def draw(bands: int, height: int, width: int, dtype: str = "uint8") -> np.ndarray:
        rng = np.random.default_rng([bands, height, width])
        return rng.integers(1, 250, (bands, height, width)).astype(dtype)

    return draw


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landscape of fields with its labels and tiles; see `fields.py`."""
    import fields  # and what it needs, which most tests do without

    folder = tmp_path_factory.mktemp("land")
    fields.make(folder)
    return folder


def real(*parts: str) -> Path:
    """A path in the real data; the test that asks is skipped where it is not there."""
    path = REAL_DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip("the real data are not beside this checkout")
    return path

"""The wheel holds the package, all of it and nothing else, and works where there is no clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tile2vec_cli import __version__

ROOT = Path(__file__).resolve().parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


def run(command: list[str | Path], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, cwd=folder, env={**kept, **env}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: the build leaves folders beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("tile2vec_cli", "tests", "benchmarks", "packaging"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    done = run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, copy], folder)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    folder = wheel.parent / "installed"
    done = run([*PIP, "install", "--no-deps", "--no-index", "--target", folder, wheel], wheel.parent)
    assert done.returncode == 0, done.stderr
    return folder


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    kinds = (".py", ".pyi", ".typed")
    files = [path for path in (ROOT / "tile2vec_cli").rglob("*") if path.suffix in kinds]
    sources = {path.relative_to(ROOT).as_posix() for path in files}
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        (entry,) = (name for name in names if name.endswith("/entry_points.txt"))
        assert "tile2vec = tile2vec_cli.cli:main" in opened.read(entry).decode()
        (license_file,) = (name for name in names if name.endswith("/LICENSE"))
        assert opened.read(license_file) == (ROOT / "LICENSE").read_bytes()
    about = f"tile2vec_cli-{__version__}.dist-info/"
    assert {name for name in names if not name.startswith(about)} == sources


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--version",), 0, f"tile2vec {__version__}"),
        (("--help",), 0, "weak-segment"),
        (("tile", "--help"), 0, "SCENES"),
        (("demo",), 66, "a clone of the repository"),  # the sample is not in the wheel
    ],
)
def test_it_runs_elsewhere(
    installed: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = run([sys.executable, "-m", "tile2vec_cli", *arguments], tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == (0 if code == 0 else 1)
    assert not list(tmp_path.iterdir())


def test_the_doctor_knows_what_the_wheel_needs(installed: Path, tmp_path: Path) -> None:
    done = run([sys.executable, "-m", "tile2vec_cli", "doctor"], tmp_path, PYTHONPATH=str(installed))
    assert (done.returncode, done.stderr) == (0, "")
    assert str(installed / "tile2vec_cli") in done.stdout
    assert {"torch", "geopandas", "extra"} <= {line.split()[0] for line in done.stdout.splitlines()}


def test_it_is_the_wheel_that_ran(installed: Path, tmp_path: Path) -> None:
    program = "import tile2vec_cli; print(tile2vec_cli.__file__)"
    done = run([sys.executable, "-c", program], tmp_path, PYTHONPATH=str(installed))
    assert Path(done.stdout.strip()).is_relative_to(installed)
    script = installed / "bin" / "tile2vec"
    done = run([script, "--version"], tmp_path, PYTHONPATH=str(installed))
    assert done.stdout == f"tile2vec {__version__}\n"

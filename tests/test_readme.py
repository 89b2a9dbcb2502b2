"""The README's commands are what it says they are."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run

from tile2vec_cli.commands.demo import SAMPLE

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(?:sh)?\n(.*?)```", README, re.DOTALL)


def block(holding: str) -> str:
    return next(text for text in BLOCKS if holding in text)


def run_script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block in a shell that finds `tile2vec` and is otherwise bare."""
    (folder / "bin").mkdir(exist_ok=True)
    command = folder / "bin" / "tile2vec"
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m tile2vec_cli "$@"\n'
    )
    command.chmod(0o755)
    return subprocess.run(
        ["bash", "-euc", text],
        cwd=folder,
        env={"PATH": f"{folder}/bin:/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder after the README's pipeline, with fewer triplets and less training."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(SAMPLE / "scenes", folder / "scenes")
    shutil.copy(SAMPLE / "labels.tif", folder / "landcover.tif")
    text = (
        block("sample-triplets")
        .replace("--count 100000", "--count 2000")
        .replace("--minutes 10", "--steps 3")
    )
    done = run_script(text, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_pipeline_runs_on_a_users_files(project: Path) -> None:
    made = {"tiles", "triplets.parquet", "model", "embeddings.parquet", "probe"}
    assert made <= {path.name for path in project.iterdir()}


def test_weak_labels_end_in_maps(project: Path) -> None:
    done = run_script(block("weak-segment").replace("--n-labels 300", "--n-labels 30 --epochs 1"), project)
    assert done.returncode == 0, done.stderr
    assert len(list((project / "maps").glob("*.tif"))) == 2 * 6


def test_the_array_and_the_cron_line_run(project: Path, tmp_path: Path) -> None:
    array = block("--array")
    assert subprocess.run(["bash", "-n"], input=array, text=True, check=False).returncode == 0
    for task in (0, 1):
        exported = f"export SLURM_ARRAY_TASK_ID={task} SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_COUNT=2\n"
        done = run_script(exported + array, project)
        assert done.returncode == 0, done.stderr
    assert len(list((project / "embeddings").glob("*.parquet"))) == 6
    shutil.move(project / "scenes", project / "incoming")  # moved scenes are the same scenes
    line = block("15 3 * * *").split("*  ", 1)[1].replace("/data/project", shlex.quote(str(project)))
    done = run_script(line, project)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_requeueing_script_is_a_script() -> None:
    text = block("--signal=USR1")
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_the_two_set_up_commands_name_what_there_is() -> None:
    demo, tests = block("tile2vec demo"), block("pytest")
    assert all("-c constraints.txt" in text and "pip install" in text for text in (demo, tests))
    assert (ROOT / "constraints.txt").exists()


def test_every_module_has_its_line_in_the_tree() -> None:
    files = [path.name for path in (ROOT / "tile2vec_cli").glob("*.py")]
    files += [path.name for path in (ROOT / "tile2vec_cli" / "commands").glob("*.py")]
    assert not [name for name in files if name not in README and not name.startswith("__")]


def test_every_command_is_named(tile2vec: Callable[..., Run]) -> None:
    commands = re.findall(r"^  ([a-z-]+) ", tile2vec("--help").out.split("Commands:")[1], re.MULTILINE)
    assert len(commands) >= 6
    assert all(f"| `{name}` |" in README for name in commands)

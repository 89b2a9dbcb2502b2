"""The scripts of docs/clusters.md in a real Slurm, where `cluster.sh` beside this file has set one up.

    tests/slurm/cluster.sh python -m pytest tests/slurm

It takes about ten minutes: Slurm counts time limits in minutes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))

from examples import CLUSTERS, block, install, program
from harness import content, strays

from tile2vec_cli.commands.demo import SAMPLE

_config = Path(os.environ.get("SLURM_CONF", "/nowhere"))
pytestmark = pytest.mark.skipif(
    shutil.which("sbatch") is None
    or not _config.is_file()
    or "ClusterName=tile2vec\n" not in _config.read_text(),
    reason="no Slurm of tests/slurm/cluster.sh (no job is ever sent to anybody's cluster)",
)

TRAINS_FOR_S = 150  # more than the least time limit, and Slurm is up to a minute late with it


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder up to the triplets, with a model, and the same made without Slurm in undisturbed/."""
    folder = tmp_path_factory.mktemp("slurm")
    install(folder / "bin")
    shutil.copytree(SAMPLE / "scenes", folder / "scenes")
    whole = folder / "undisturbed"
    whole.mkdir()
    (whole / "scenes").symlink_to(folder / "scenes")
    shell(folder, "tile2vec tile scenes --out undisturbed/tiles")
    shell(whole, "tile2vec sample-triplets tiles --count 2000 --out triplets.parquet")
    shell(whole, "tile2vec train triplets.parquet --tiles tiles --steps 5 --out model")
    shell(whole, "tile2vec embed tiles --model model --out embeddings")
    shutil.copytree(whole / "model", folder / "model")
    shutil.copy(whole / "triplets.parquet", folder)
    return folder


@pytest.fixture(scope="module")
def steps(project: Path) -> int:
    """Steps that train for longer than the least time limit; trained without Slurm too."""
    whole = project / "undisturbed"
    brief = "tile2vec train triplets.parquet --tiles tiles --steps 30 --out brief --json"
    report = json.loads(shell(whole, brief))
    batch = report["triplets_seen"] / report["steps"]
    count = round(TRAINS_FOR_S * report["triplets_per_second"] / batch)
    shell(whole, f"tile2vec train triplets.parquet --tiles tiles --steps {count} --out long")
    return count


def environment(project: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{project}/bin:{os.environ['PATH']}", "HOME": str(project)}


def shell(folder: Path, text: str) -> str:
    project = folder if (folder / "bin").exists() else folder.parent
    done = subprocess.run(
        ["bash", "-euc", text],
        cwd=folder,
        env=environment(project),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def states(job: str) -> list[str]:
    """Of a job, or of an array's tasks."""
    done = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=True)
    return re.findall(r"JobState=(\w+)", done.stdout)


def wait(job: str, over: Callable[[list[str]], bool], within_s: float = 900) -> list[str]:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = states(job)
        if over(found):
            return found
        time.sleep(1)
    raise AssertionError(f"job {job} is still {states(job)}")


def ended(found: list[str]) -> bool:
    return not set(found) & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED"}


def test_the_arrays_make_what_one_run_makes(project: Path) -> None:
    for name, holding in (("tile.sh", "tile2vec tile"), ("embed.sh", "tile2vec embed")):
        text = block(CLUSTERS, "--array", holding)
        assert "--array=1-8 " in text
        program(project / name, "")
        (project / name).write_text(text.replace("--array=1-8 ", "--array=1-4 "))
    answer = shell(project, block(CLUSTERS, "--dependency"))
    job = answer.split()[-1]
    assert wait(job, ended) == ["COMPLETED"] * 4
    for name in ("tiles", "embeddings"):
        assert content(project / name) == content(project / "undisturbed" / name)
    assert not strays(project)


def training(project: Path, steps: int, out: str) -> str:
    """The script of docs/clusters.md, with tiles made before, a number of steps, and a name for its log."""
    text = block(CLUSTERS, "--signal=USR1").replace("--tiles tiles", "--tiles undisturbed/tiles")
    text = text.replace("--out model --epochs 50", f"--out {out} --steps {steps}")
    return text.replace("#SBATCH ", f"#SBATCH --output={out}.log --open-mode=append\n#SBATCH ", 1)


def same_model(project: Path, out: str) -> None:
    for name in ("model.safetensors", "model.json"):
        assert (project / out / name).read_bytes() == (project / "undisturbed" / "long" / name).read_bytes()
    assert not list(project.glob(".*"))


def test_training_is_requeued_until_it_is_done(project: Path, steps: int) -> None:
    text = training(project, steps, "requeued")
    assert "--time=04:00:00 --signal=USR1@120" in text
    text = text.replace("--time=04:00:00 --signal=USR1@120", "--time=00:02:00 --signal=USR1@90")
    (project / "train.sh").write_text(text)
    job = shell(project, "sbatch --parsable train.sh")
    assert wait(job, ended) == ["COMPLETED"]
    shown = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True, check=True)
    assert int(re.findall(r"Restarts=(\d+)", shown.stdout)[0]) >= 1
    assert "stopped on a signal" in (project / "requeued.log").read_text()
    same_model(project, "requeued")


def test_tasks_train_as_one_process(project: Path) -> None:
    text = training(project, 5, "shared").replace("--gpus=1 --time=04:00:00", "--ntasks=2 --time=00:05:00")
    assert "--ntasks=2" in text
    (project / "train.sh").write_text(text)
    assert wait(shell(project, "sbatch --parsable train.sh"), ended) == ["COMPLETED"]
    assert (project / "shared.log").read_text().count("triplets_seen") == 1
    shared, alone = (
        json.loads((folder / "model.json").read_text())["scores"]
        for folder in (project / "shared", project / "undisturbed" / "model")
    )
    assert shared["train_loss"] == pytest.approx(alone["train_loss"], rel=0.01)


def test_a_time_limit_that_kills_is_survived(project: Path, steps: int) -> None:
    """No warning is asked for, and the script is sent in again by hand."""
    text = training(project, steps, "resent").replace("--time=04:00:00 --signal=USR1@120", "--time=00:01:00")
    assert "--signal" not in text
    (project / "train.sh").write_text(text.replace("srun tile2vec", "tile2vec"))
    ends = []
    for _ in range(10):
        job = shell(project, "sbatch --parsable train.sh")
        ends += wait(job, ended)
        if ends[-1] == "COMPLETED":
            break
    assert set(ends[:-1]) == {"TIMEOUT"}
    assert ends[-1] == "COMPLETED"
    same_model(project, "resent")

"""The README's commands are what it says they are."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Run

from tile2vec_cli.commands.demo import SAMPLE

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(?:sh|python)?\n(.*?)```", README, re.DOTALL)


def block(holding: str) -> str:
    return next(text for text in BLOCKS if holding in text)


def array(holding: str) -> str:
    return next(text for text in BLOCKS if "--array" in text and holding in text)


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def install(folder: Path) -> None:
    """Put `tile2vec` into a folder of programs."""
    command = f'PYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m tile2vec_cli "$@"'
    program(folder / "tile2vec", command)


def bare(folder: Path) -> dict[str, str]:
    """An environment that finds the programs in folder/bin, and is otherwise bare."""
    return {"PATH": f"{folder}/bin:/usr/bin:/bin", "HOME": str(folder)}


def run_script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block in a shell that finds `tile2vec` and is otherwise bare."""
    install(folder / "bin")
    return subprocess.run(
        ["bash", "-euc", text],
        cwd=folder,
        env=bare(folder),
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
        .replace("--out model", "--steps 3 --out model", 1)
        .replace("--out probe", "--repeats 2 --out probe")
    )
    done = run_script(text, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_pipeline_runs_on_a_users_files(project: Path) -> None:
    made = {"tiles", "triplets.parquet", "model", "embeddings.parquet", "probe"}
    assert made <= {path.name for path in project.iterdir()}


def test_similar_tiles_are_found_at_a_place(project: Path) -> None:
    done = run_script(block("tile2vec similar"), project)
    assert done.returncode == 0, done.stderr
    assert {"near.geojson", "near.png"} <= {path.name for path in project.iterdir()}


def test_vectors_are_looked_at(project: Path) -> None:
    done = run_script(block("tile2vec preview"), project)
    assert done.returncode == 0, done.stderr
    assert {"preview.tif", "kinds.png"} <= {path.name for path in project.iterdir()}
    assert len(done.stdout.splitlines()) > 20  # the answers of the analogy


def test_two_dates_are_compared_and_vectors_looked_into(project: Path) -> None:
    for command in ("tile2vec change", "tile2vec inspect"):
        done = run_script(block(command), project)
        assert done.returncode == 0, done.stderr
    made = {"change.tif", "change.parquet", "change.png", "inspect"}
    assert made <= {path.name for path in project.iterdir()}


def test_ways_to_learn_are_compared(project: Path) -> None:
    short = "--minutes 0.01 --objectives triplet,rotation --n-labels 100 --repeats 2 --end-to-end-repeats 1"
    done = run_script(block("tile2vec compare").replace("--minutes 10", short), project)
    assert done.returncode == 0, done.stderr
    assert (project / "comparison/compare.png").exists()
    text = (project / "comparison/compare.md").read_text()
    assert all(name in text for name in ("triplet", "rotation", "end-to-end", "stats", "pca", "random"))


def test_weak_labels_end_in_maps(project: Path) -> None:
    done = run_script(block("weak-segment").replace("--n-labels 300", "--n-labels 30 --epochs 1"), project)
    assert done.returncode == 0, done.stderr
    assert len(list((project / "maps").glob("*.tif"))) == 2 * 6


def test_the_scripts_for_slurm_are_scripts() -> None:
    scripts = [text for text in BLOCKS if "#SBATCH" in text]
    assert len(scripts) == 3
    for text in scripts:
        assert text.startswith("#!/bin/bash\n#SBATCH ")
        assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_the_arrays_run(project: Path) -> None:
    """First every task that cuts, then every task that embeds: the one counts what the other has made."""
    shutil.rmtree(project / "tiles")
    for script in ("tile2vec tile scenes/ --out tiles --shard", "tile2vec embed tiles --model model --out e"):
        for task in (0, 1):
            exported = f"export SLURM_ARRAY_TASK_ID={task} SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_COUNT=2\n"
            done = run_script(exported + array(script), project)
            assert done.returncode == 0, done.stderr
    assert len(list((project / "embeddings").glob("*.parquet"))) == 6


def test_the_cluster_runs_on_slurm(project: Path) -> None:
    """One job of one worker, which a stand-in for Slurm begins and ends."""
    shutil.rmtree(project / "tiles" / "parts")
    shutil.rmtree(project / "embeddings", ignore_errors=True)
    begin = f'cp "$1" job; PYTHONPATH={shlex.quote(str(ROOT))} setsid bash job >job.log 2>&1 &'
    program(project / "bin" / "sbatch", f"{begin} echo Submitted batch job $!")
    program(project / "bin" / "scancel", 'kill -- "-$1"; echo "$1" >>ended')
    text = block("SLURMCluster").replace("=4", "=1").replace("jobs=8", "jobs=1")
    done = run_script(f"{sys.executable} -c {shlex.quote(text)}", project)
    assert done.returncode == 0, done.stderr
    assert len(list((project / "embeddings").glob("*.parquet"))) == 6
    assert (project / "ended").read_text().count("\n") == 1


def test_the_crontab_runs_as_cron_runs_it(project: Path) -> None:
    """Bare environment, /bin/sh, no terminal; in the second night a scene has come in, and a bad one."""
    shutil.move(project / "scenes", project / "incoming")  # moved scenes are the same scenes
    first, *_, late = sorted((project / "incoming").iterdir())
    shutil.rmtree(project / "tiles" / "parts" / late.stem)
    for scene in (first, late):
        (project / "embeddings" / f"{scene.stem}.parquet").unlink()
    late.rename(project / "late")
    install(project / ".venv" / "bin")
    text = block("15 3 * * *").replace("/data/project", str(project))
    setting, line = text.splitlines()
    name, path = setting.split("=")
    assert name == "PATH" and "$" not in path  # a crontab expands nothing
    assert "%" not in line  # which ends a command there
    command = ["env", "-i", setting, f"HOME={project}", "SHELL=/bin/sh", "/bin/sh", "-c"]
    command.append(line.split("*  ", 1)[1])

    def night() -> list[str]:
        (project / "cron.log").unlink(missing_ok=True)
        subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, check=False)
        log = (project / "cron.log").read_bytes()
        assert not set(log) & (set(range(32)) - {ord("\n")})
        return log.decode().splitlines()

    lines = night()
    assert lines[-1] == "embed: 1 made, 4 skipped (up to date), 0 failed"
    (project / "late").rename(late)
    (project / "incoming" / "bad.tif").write_text("no raster")
    lines = night()
    assert "tile: 1 made, 5 skipped (up to date), 1 failed" in lines
    assert sum(line.startswith("error: ") and "bad.tif" in line for line in lines) == 1
    assert lines[-1] == "embed: 1 made, 5 skipped (up to date), 0 failed"


def test_the_training_script_goes_on_after_slurms_warning(project: Path) -> None:
    """Slurm sends its signal to what `srun` has started; the script asks for another turn, once."""
    install(project / "bin")
    program(project / "bin" / "srun", 'echo $$ > task; exec "$@"')
    program(project / "bin" / "scontrol", 'echo "$@" >> asked')
    text = block("--signal=USR1").replace("--out model --epochs 50", "--out second --steps 8")
    arguments = ["bash", "-c", text]
    environment = {**bare(project), "SLURM_JOB_ID": "7"}
    with subprocess.Popen(arguments, cwd=project, env=environment, stderr=subprocess.PIPE) as script:
        deadline = time.monotonic() + 120
        while not (project / ".second.training" / "last").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(int((project / "task").read_text()), signal.SIGUSR1)
        script.communicate(timeout=60)
    assert script.returncode == 75
    assert (project / "asked").read_text() == "requeue 7\n"
    done = subprocess.run(arguments, cwd=project, env=environment, capture_output=True, check=False)
    assert done.returncode == 0
    assert (project / "asked").read_text() == "requeue 7\n"
    assert (project / "second" / "model.json").exists()


def test_the_two_set_up_commands_name_what_there_is() -> None:
    demo, tests = block("tile2vec demo"), block("pytest")
    assert all("-c constraints.txt" in text and "pip install" in text for text in (demo, tests))
    assert (ROOT / "constraints.txt").exists()


def test_every_module_has_its_line_in_the_tree() -> None:
    files = [path for path in (ROOT / "tile2vec_cli").rglob("*.py") if not path.name.startswith("__")]
    names = {path.name for path in files} | {f"{path.parent.name}/" for path in files}
    assert not [name for name in names if name not in README]


def test_every_command_is_named(tile2vec: Callable[..., Run]) -> None:
    commands = re.findall(r"^  ([a-z-]+) ", tile2vec("--help").out.split("Commands:")[1], re.MULTILINE)
    assert len(commands) >= 6
    assert all(f"| `{name}` |" in README for name in commands)

"""The examples of README.md and docs/ do what these say, one after the other in one folder."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
from examples import CLUSTERS, ROOT, bare, block, blocks, install, program, run_script

from tile2vec_cli.commands.demo import SAMPLE

README, VIEWS, LEARNING = "README.md", "docs/views.md", "docs/learning.md"
CROPLAND, FILES, FOREIGN = "docs/cropland.md", "docs/files.md", "docs/foreign.md"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder after the README's pipeline, with fewer triplets and less training."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(SAMPLE / "scenes", folder / "scenes")
    shutil.copy(SAMPLE / "labels.tif", folder / "landcover.tif")
    text = (
        block(README, "sample-triplets")
        .replace("--count 100000", "--count 2000")
        .replace("--out model", "--steps 3 --out model", 1)
        .replace("--out probe", "--n-labels 100 --repeats 1 --classifier logistic --out probe")
    )
    done = run_script(text, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_pipeline_runs_on_a_users_files(project: Path) -> None:
    made = {"tiles", "triplets.parquet", "model", "embeddings.parquet", "probe", "map.tif", "map.parquet"}
    assert made <= {path.name for path in project.iterdir()}


def test_the_readmes_python_finds_all_up_to_date(project: Path) -> None:
    """It is the pipeline above, so that nothing is made again."""
    made = [path for path in project.rglob("*") if path.is_file() and path.parent.name != "bin"]
    before = {path: path.stat().st_mtime_ns for path in made}
    text = block(README, "import tile2vec_cli").replace("100_000", "2_000")
    text = text.replace('out="model"', 'out="model", steps=3')
    text = text.replace("tiles=tiles)\nprint", "tiles=tiles, repeats=1, baselines=[])\nprint")
    python = f"PYTHONPATH={shlex.quote(str(ROOT))} {sys.executable} -c {shlex.quote(text)}"
    done = run_script(python, project)
    assert done.returncode == 0, done.stderr
    assert "Accuracy on held-out blocks" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_similar_tiles_are_found_at_a_place(project: Path) -> None:
    done = run_script(block(VIEWS, "tile2vec similar"), project)
    assert done.returncode == 0, done.stderr
    assert {"near.geojson", "near.png"} <= {path.name for path in project.iterdir()}


def test_vectors_are_looked_at(project: Path) -> None:
    done = run_script(block(VIEWS, "tile2vec preview"), project)
    assert done.returncode == 0, done.stderr
    assert {"preview.tif", "kinds.png"} <= {path.name for path in project.iterdir()}
    assert len(done.stdout.splitlines()) > 20  # the answers of the analogy


def test_two_dates_are_compared_and_vectors_looked_into(project: Path) -> None:
    for command in ("tile2vec change", "tile2vec inspect"):
        done = run_script(
            block(VIEWS, command).replace("--out inspect", "--sample 100 --out inspect"), project
        )
        assert done.returncode == 0, done.stderr
    made = {"change.tif", "change.parquet", "change.png", "inspect"}
    assert made <= {path.name for path in project.iterdir()}


def test_ways_to_learn_are_compared(project: Path) -> None:
    short = "--minutes 0.01 --objectives triplet,rotation --classifier logistic --n-labels 100 --repeats 1"
    short += " --end-to-end-repeats 1"
    done = run_script(block(LEARNING, "tile2vec compare").replace("--minutes 10", short), project)
    assert done.returncode == 0, done.stderr
    assert (project / "comparison/compare.png").exists()
    text = (project / "comparison/compare.md").read_text()
    assert all(name in text for name in ("triplet", "rotation", "end-to-end", "stats", "pca", "random"))


def test_the_readmes_cropland_is_mapped(project: Path) -> None:
    text = block(README, "tile2vec map").replace("--n-labels 300", "--n-labels 30 --epochs 1")
    done = run_script(text.replace(" cropland", " plain").replace(" maps", " plain-maps"), project)
    assert done.returncode == 0, done.stderr
    assert len(list((project / "plain-maps").glob("*.tif"))) == 6


def test_embeddings_are_read_in_python(project: Path) -> None:
    done = run_script(f"{sys.executable} -c {shlex.quote(block(FILES, 'geopandas'))}", project)
    assert done.returncode == 0, done.stderr


def test_somebody_elses_embeddings_are_judged_beside_ours(project: Path) -> None:
    """Numbered columns and points, as plain tables have them."""
    frame = geopandas.read_parquet(project / "embeddings.parquet")
    vectors = np.stack(frame["embedding"])
    centres = frame.to_crs(3857).centroid.to_crs(4326)
    theirs = pd.DataFrame(vectors[:, :8], columns=[f"A{k:02d}" for k in range(8)])
    theirs.assign(longitude=centres.x, latitude=centres.y).to_parquet(project / "theirs.parquet")
    for command in ("tile2vec probe theirs", "--beside", "tile2vec similar"):
        text = block(FOREIGN, command).replace(
            "--out probe", "--n-labels 50 --repeats 1 --classifier logistic --out probe"
        )
        done = run_script(text.replace("--n-labels 100,1000 ", ""), project)
        assert done.returncode == 0, done.stderr
    assert {"probe-theirs", "probe-both", "inspect-theirs"} <= {path.name for path in project.iterdir()}


def test_weak_labels_end_in_maps(project: Path) -> None:
    done = run_script(
        block(CROPLAND, "tile2vec map").replace("--n-labels 300", "--n-labels 30 --epochs 1"), project
    )
    assert done.returncode == 0, done.stderr
    assert len(list((project / "maps").glob("*.tif"))) == 2 * 6


def test_the_scripts_for_slurm_are_scripts() -> None:
    scripts = [text for text in blocks(CLUSTERS) if "#SBATCH" in text]
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
            done = run_script(exported + block(CLUSTERS, "--array", script), project)
            assert done.returncode == 0, done.stderr
    assert len(list((project / "embeddings").glob("*.parquet"))) == 6


def test_the_cluster_runs_on_slurm(project: Path) -> None:
    """One job of one worker, which a stand-in for Slurm begins and ends."""
    shutil.rmtree(project / "tiles" / "parts")
    shutil.rmtree(project / "embeddings", ignore_errors=True)
    begin = f'cp "$1" job; PYTHONPATH={shlex.quote(str(ROOT))} setsid bash job >job.log 2>&1 &'
    program(project / "bin" / "sbatch", f"{begin} echo Submitted batch job $!")
    program(project / "bin" / "scancel", 'kill -- "-$1"; echo "$1" >>ended')
    text = block(CLUSTERS, "SLURMCluster").replace("=4", "=1").replace("jobs=8", "jobs=1")
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
    text = block(CLUSTERS, "15 3 * * *").replace("/data/project", str(project))
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
    text = block(CLUSTERS, "--signal=USR1").replace("--out model --epochs 50", "--out second --steps 8")
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

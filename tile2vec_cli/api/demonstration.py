"""The whole pipeline on the sample that lies beside the package, each command in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.config.rules import above
from tile2vec_cli.errors import Failure, InputError
from tile2vec_cli.outputs.parts import Progress, silent

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"


def demo(
    *,
    out: Path = Path("tile2vec-demo"),
    minutes: float = 1.0,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Run the whole pipeline on the sample data; takes about three minutes on two CPUs.

    Progress counts the commands.
    """
    steps = commands(out, minutes, overwrite)
    said = ""
    for number, step in enumerate(steps, 1):
        run = [sys.executable, "-m", "tile2vec_cli", *step, "--json", "--quiet"]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
        if done.returncode:
            message = done.stderr.strip().removeprefix("error: ")
            raise Failure(step[0], message, done.returncode).error()
        said = done.stdout
        on_progress(number, len(steps))
    return outcome(said, out)


def commands(out: Path, minutes: float, overwrite: bool) -> list[list[str]]:
    """The commands of a demo that trains for so long. Raises UsageError and InputError."""
    above("--minutes", minutes, 0)
    more = ["--overwrite"] if overwrite else []
    return [[*step, *more] for step in pipeline(sample(), out, f"--minutes {minutes:g}")]


def outcome(said: str, out: Path) -> Outcome[None]:
    """What the demo came to; `said` is the probe's report as JSON, or nothing."""
    keys = json.loads(said) if said else {}
    keys = {key: keys[key] for key in ("scores", "classes", "tiles_labelled", "split") if key in keys}
    pictures = sorted(map(str, (out / "probe").glob("*.png")))
    return Outcome("demo", {**keys, "pictures": pictures}, [sample()], [out])


def pipeline(sample: Path, out: Path, budget: str) -> list[list[str]]:
    """The demo's commands, as arguments of `tile2vec`; `budget` is an option of `train`."""
    # The sample's places are small: blocks of one parcel, where a real probe takes larger ones.
    lines = f"""
        tile {{sample}}/scenes --out {{out}}/tiles
        sample-triplets {{out}}/tiles --count 20000 --out {{out}}/triplets.parquet
        train {{out}}/triplets.parquet --tiles {{out}}/tiles {budget} --out {{out}}/model
        embed {{out}}/tiles --model {{out}}/model --out {{out}}/embeddings.parquet
        weak-segment {{out}}/tiles --labels {{sample}}/labels.tif --n-labels 300 --block 150 --compare
            --out {{out}}/cropland
        map {{sample}}/scenes --model {{out}}/cropland --out {{out}}/maps
        probe {{out}}/embeddings.parquet --labels {{sample}}/labels.tif --tiles {{out}}/tiles --block 150
            --n-labels 100,400 --repeats 3 --out {{out}}/probe
    """
    steps = lines.replace("\n            ", " ").strip().splitlines()
    return [[word.format(sample=sample, out=out) for word in step.split()] for step in steps]


def sample() -> Path:
    """The sample's folder, or an error that says where to get it."""
    if not (SAMPLE / "labels.tif").is_file():
        raise InputError(
            f"{SAMPLE}: no sample data beside the package; the demo needs a clone of the repository. "
            "Clone it and install it with `pip install -e .`."
        )
    try:  # the shortest path that can be copied
        return SAMPLE.relative_to(Path.cwd())
    except ValueError:
        return SAMPLE

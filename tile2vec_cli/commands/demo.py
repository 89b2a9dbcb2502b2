"""`tile2vec demo`: the whole pipeline on the sample that lies beside the package."""

from __future__ import annotations

import json as json_format
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.rules import above
from tile2vec_cli.console import Console
from tile2vec_cli.errors import InputError

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"


def demo(
    out: Path = option(Path("tile2vec-demo"), help="Folder for everything the demo makes."),
    minutes: float = option(1.0, help="How long to train."),
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run the whole pipeline on the sample data: embeddings and their probe, weak labels and their map.

    Takes less than three minutes on two CPUs. Each command is shown before it runs, ready to be
    copied. Run the demo again, and only what is missing is done.

    Example: tile2vec demo --out tile2vec-demo
    """
    above("--minutes", minutes, 0)
    console = Console("demo", quiet, json)
    started = time.monotonic()
    sample = _sample()
    more = ["--overwrite"] if overwrite else []
    *steps, judge = ([*step, *more] for step in pipeline(sample, out, f"--minutes {minutes:g}"))
    for step in steps:
        _run(console, step, sys.stderr)
    # The probe's result is the demo's: its table goes straight to stdout, its JSON into ours.
    scores = _run(console, [*judge, "--json"] if json else judge, subprocess.PIPE if json else None)
    pictures = sorted(map(str, (out / "probe").glob("*.png")))
    keys = json_format.loads(scores) if json else {}
    keys = {key: keys[key] for key in ("scores", "classes", "tiles_labelled", "split") if key in keys}
    console.report(
        {**keys, "pictures": pictures},
        inputs=[sample],
        outputs=[out],
        rows=[("picture", picture) for picture in pictures],
    )
    console.say(f"The demo took {time.monotonic() - started:.0f} s.")


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
            --n-labels 100,400 --repeats 5 --out {{out}}/probe
    """
    steps = lines.replace("\n            ", " ").strip().splitlines()
    return [[word.format(sample=sample, out=out) for word in step.split()] for step in steps]


def _sample() -> Path:
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


def _run(console: Console, step: list[str], stdout: int | IO[str] | None) -> str:
    """Show one command, run it in a process of its own, and return what was piped of its stdout."""
    console.say(f"$ {shlex.join(['tile2vec', *step])}")
    arguments = [*step, "--quiet"] if console.quiet else step
    command = [sys.executable, "-m", "tile2vec_cli", *arguments]
    process = subprocess.Popen(command, stdout=stdout, text=True)
    try:
        piped, _ = process.communicate()
    except BaseException:
        process.terminate()  # not kill: training then saves what it resumes from
        process.wait()
        raise
    if process.returncode != 0:
        raise typer.Exit(process.returncode)
    return piped or ""

"""`tile2vec demo`: the whole pipeline on the sample that lies beside the package."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.console import Console
from tile2vec_cli.errors import InputError

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything the demo makes.")] = Path(
        "tile2vec-demo"
    ),
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 1.0,
    quiet: options.Quiet = False,
) -> None:
    """Run the whole pipeline on the sample data: tile, sample-triplets, train, embed, probe.

    Takes less than three minutes on two CPUs. Each command is shown before it runs, ready to be
    copied; run the demo again and only what is missing is done.

    Example: tile2vec demo --out tile2vec-demo
    """
    console = Console("demo", quiet)
    started = time.monotonic()
    steps = pipeline(_sample(), out, minutes)
    for number, step in enumerate(steps, start=1):
        console.say(f"$ {shlex.join(['tile2vec', *step])}")
        _run([*step, "--quiet"] if quiet else step, is_last=number == len(steps))
    pictures = sorted((out / "probe").glob("*.png"))
    sys.stdout.write("".join(f"{path}\n" for path in pictures))
    console.say(f"The demo took {time.monotonic() - started:.0f} s.")


def pipeline(sample: Path, out: Path, minutes: float) -> list[list[str]]:
    """The demo's commands, as arguments of `tile2vec`."""
    tiles, triplets, model = str(out / "tiles"), str(out / "triplets.parquet"), str(out / "model")
    vectors = str(out / "embeddings.parquet")
    return [
        ["tile", str(sample / "scenes"), "--out", tiles],
        ["sample-triplets", tiles, "--count", "20000", "--out", triplets],
        ["train", triplets, "--tiles", tiles, "--encoder", "small", "--minutes", f"{minutes:g}"]
        + ["--epochs", "1000", "--out", model],
        ["embed", tiles, "--model", model, "--out", vectors],
        # The sample's places are small: blocks of one parcel, where a real probe takes larger ones.
        ["probe", vectors, "--labels", str(sample / "labels.tif"), "--block", "150"]
        + ["--n-labels", "100,400", "--baselines", "stats,pca,random", "--tiles", tiles]
        + ["--out", str(out / "probe")],
    ]


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


def _run(step: list[str], *, is_last: bool) -> None:
    """Run one command in a process of its own; only the last one's result is the demo's result."""
    target = None if is_last else sys.stderr
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "tile2vec_cli", *step], stdout=target, check=False)
    if done.returncode != 0:
        raise typer.Exit(done.returncode)

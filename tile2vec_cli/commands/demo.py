"""`tile2vec demo`: the whole pipeline on the sample that lies beside the package."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import typer

from tile2vec_cli.api.demonstration import SAMPLE, commands, outcome, pipeline
from tile2vec_cli.commands import options
from tile2vec_cli.config.fields import option
from tile2vec_cli.console import Console

__all__ = ["SAMPLE", "demo", "pipeline"]


def demo(
    out: Path = option(Path("tile2vec-demo"), help="Folder for everything the demo makes."),
    minutes: float = option(1.0, help="How long to train."),
    overwrite: options.Overwrite = False,
    *,
    console: Console,
) -> None:
    """Run the whole pipeline on the sample data: embeddings and their probe, weak labels and their map.

    Takes about three minutes on two CPUs. Each command is shown before it runs, ready to be
    copied. Run the demo again, and only what is missing is done.

    Example: tile2vec demo --out tile2vec-demo
    """
    started = time.monotonic()
    *steps, judge = commands(out, minutes, overwrite)
    for step in steps:
        _run(console, step, sys.stderr)
    # The probe's result is the demo's: its table goes straight to stdout, its JSON into ours.
    json, stdout = (["--json"], subprocess.PIPE) if console.as_json else ([], None)
    done = outcome(_run(console, [*judge, *json], stdout), out)
    console.show(done, rows=[("picture", picture) for picture in done.keys["pictures"]])
    console.say(f"The demo took {time.monotonic() - started:.0f} s.")


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

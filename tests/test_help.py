"""`--help` is quick because it loads nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tile2vec_cli import commands
from tile2vec_cli.cli import COMMANDS

HEAVY = ("torch", "numpy", "geopandas", "rasterio", "rich", "pyarrow", "sklearn", "matplotlib", "shapely")
HEAVY += ("dask", "distributed")

PROGRAM = f"""
import sys
from tile2vec_cli.cli import main
sys.argv = ["tile2vec", *sys.argv[1:]]
try:
    main()
finally:
    print("loaded:", *(name for name in {HEAVY} if name in sys.modules))
"""


def help_of(*command: str) -> str:
    run = [sys.executable, "-c", PROGRAM, *command, "--help"]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env={"PATH": "", "COLUMNS": "200"})
    return done.stdout


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)], ids=lambda c: " ".join(c) or "-")
def test_help_loads_nothing_heavy(command: tuple[str, ...]) -> None:
    text = help_of(*command)
    assert text.rstrip().splitlines()[-1] == "loaded:"
    assert "Usage: tile2vec" in text


def test_every_file_has_its_row() -> None:
    files = {path.stem for path in Path(commands.__path__[0]).glob("[a-z]*.py")} - {"options", "signatures"}
    found = {name.replace("-", "_") for name in COMMANDS}
    assert found == files, "the rows of _FUNCTIONS in tile2vec_cli/__init__.py, and the files in commands/"


def test_help_names_every_command() -> None:
    assert set(COMMANDS) <= set(re.findall(r"^  ([a-z-]+) ", help_of(), re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example(command: str) -> None:
    text = help_of(command).split("Usage:")[1].split("\n", 1)[1]
    assert f"tile2vec {command}" in text, f"the docstring ends with `Example: tile2vec {command} …`"


def test_version() -> None:
    from tile2vec_cli import __version__

    run = [sys.executable, "-m", "tile2vec_cli", "--version"]
    assert (
        subprocess.run(run, capture_output=True, text=True, check=True).stdout == f"tile2vec {__version__}\n"
    )

"""The examples in README.md and docs/, and a shell that runs them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLUSTERS = "docs/clusters.md"
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))


def blocks(page: str) -> list[str]:
    """Its examples in the order of the page, whatever their language."""
    return re.findall(r"```(?:sh|python)?\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def block(page: str, *holding: str) -> str:
    """The first example that holds all of these."""
    return next(text for text in blocks(page) if all(one in text for one in holding))


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

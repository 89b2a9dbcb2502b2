"""The examples in README.md and docs/, and a shell that runs them."""

from __future__ import annotations

import json
import re
import shlex
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import forks

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


class _Forking(socketserver.StreamRequestHandler):
    """Answers `ask.py`, which stands in for `tile2vec`."""

    def handle(self) -> None:
        argv, cwd, environment = json.loads(self.rfile.readline())
        done = forks.run(argv, cwd=Path(cwd), base=environment)
        self.wfile.write(json.dumps([done.code, done.stdout, done.stderr]).encode())


def run_script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block in a shell that finds `tile2vec` and is otherwise bare.

    Its commands are forked from a process that has imported everything: the imports take longer than most.
    """
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Forking) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        asked = shlex.join([sys.executable, "-SE", str(ROOT / "tests" / "ask.py")])
        program(folder / "bin" / "tile2vec", f'exec {asked} {server.server_address[1]} "$@"')
        try:
            return subprocess.run(
                ["bash", "-euc", text],
                cwd=folder,
                env=bare(folder),
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            server.shutdown()

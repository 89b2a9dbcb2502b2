"""The command line as a process of its own: its report, its time and its peak memory; a benchmark's own."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

# Between the benchmark and the command: a process begins with the peak of the one it was forked from,
# and a benchmark may have held more than any command does.
_LAUNCHER = """
import resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[1:]).returncode
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, flush=True)
sys.exit(code)
"""


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Of a benchmark, whose docstring tells how it is called."""
    how = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=description, formatter_class=how)


def tile2vec(*arguments: object) -> dict[str, Any]:
    """The report of a command; what it says on the way is shown."""
    return measured(*arguments)[0]


def measured(*arguments: object) -> tuple[dict[str, Any], float, int]:
    """The report of a command, its seconds, and the megabytes its process held at the most."""
    argv = [sys.executable, "-m", "tile2vec_cli", *map(str, arguments), "--json"]
    launched = [sys.executable, "-c", _LAUNCHER, *argv]
    done = subprocess.run(launched, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}: exit code {done.returncode}")
    *report, last = done.stdout.splitlines()
    seconds, kilobytes = last.split()
    return dict(json.loads("\n".join(report))), float(seconds), int(kilobytes) // 1000

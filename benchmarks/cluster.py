"""What sharing out costs: one process, eight tasks of an array and eight Dask workers on the same scenes.

    python benchmarks/cluster.py FOLDER [--scenes 100] [--tasks 8] [--model MODEL]

Uses the scenes of scale.py in FOLDER (100 MB and 10,000 tiles each) and makes those that are missing. Cuts
them, and with --model embeds them, in the three ways; on a machine with fewer processors than tasks the
question is not how much sooner they end, but how much more processor time they take together. Fails where
one byte of the outputs differs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from command import argument_parser
from scale import make

COMMAND = (sys.executable, "-m", "tile2vec_cli")


def spent(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds, and seconds of processor time of all processes that have ended."""
    began, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu


def together(commands: list[list[str]]) -> None:
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit("a task failed")


def alone(arguments: list[str], _tasks: int, _folder: Path) -> None:
    together([[*COMMAND, *arguments]])


def array(arguments: list[str], tasks: int, _folder: Path) -> None:
    together([[*COMMAND, *arguments, "--shard", f"{task}/{tasks}"] for task in range(1, tasks + 1)])


def dask(arguments: list[str], tasks: int, folder: Path) -> None:
    """Starting and ending the cluster is a part of it."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    manager = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*manager, "--scheduler-file", str(file), "--port", "0"], **quiet) as scheduler:
        workers = [*worker, "--scheduler-file", str(file), "--nworkers", str(tasks), "--nthreads", "1"]
        with subprocess.Popen(workers, **quiet) as crew:
            try:
                while not file.exists():
                    time.sleep(0.1)
                together([[*COMMAND, *arguments, "--dask", str(file)]])
            finally:
                crew.terminate()
                crew.wait()
                scheduler.terminate()


WAYS = {"one process": alone, "tasks of an array": array, "Dask workers": dask}


def digest(folder: Path) -> str:
    """Of all files' names and bytes."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(folder)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--model", help="of four bands: embed as well")
    options = parser.parse_args()
    make(options.folder / "scenes", options.scenes)
    scenes = [str(path) for path in sorted((options.folder / "scenes").glob("*.tif"))[: options.scenes]]
    tiles, out = options.folder / "tiles", options.folder / "out"
    stages = {"tile": ["tile", *scenes, "--out", str(out), "--quiet"]}
    if options.model:
        embed = ["embed", str(tiles), "--model", options.model, "--out", str(out), "--dtype", "int8"]
        stages["embed"] = [*embed, "--quiet"]
    print(f"| command | by | {options.tasks} at once: s | processor s | ratio |\n|---|---|--:|--:|--:|")
    for name, arguments in stages.items():
        first, digests = 0.0, set()
        for way, run in WAYS.items():
            shutil.rmtree(out, ignore_errors=True)
            seconds, cpu = spent(partial(run, arguments, options.tasks, options.folder))
            first = first or cpu
            digests.add(digest(out))
            print(f"| {name} | {way} | {seconds:.1f} | {cpu:.1f} | {cpu / first:.2f} |", flush=True)
        if len(digests) > 1:
            raise SystemExit(f"{name}: the bytes differ")
        shutil.rmtree(tiles, ignore_errors=True)
        out.rename(tiles)
    print("\nAll three left the same bytes.")


if __name__ == "__main__":
    main()

"""What other work on the machine costs a training: triplets/s beside it, as shares of those without.

    python benchmarks/busy.py OUT [--rounds 3] [--steps 40] [--options "--encoder small"]

On the sample. Other work is one core that spins, or another training begun ten seconds before, in the same
way. The ways take turns: as `tile2vec` has it (a shard of the batch a thread), threads that share out each
operation and spin while they wait (as torch has it by itself), the same but that they soon sleep, and one
thread. `run.py --parts busy` compares the first two.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from command import argument_parser, tile2vec
from rounds import Row, row
from workbench import Bench

from tile2vec_cli.api.demonstration import SAMPLE
from tile2vec_cli.job.resources import usable_cpus

SETTLED_S = 10.0
OURS, PUBLISHED = "shards", "shared operations"
WHOLE = "TILE2VEC_WHOLE"  # set: the batch stays whole, whatever the threads
ALL = {"OMP_NUM_THREADS": str(usable_cpus())}
SPIN = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}  # what OpenMP does where nothing is said
WAYS = {
    OURS: ALL,
    PUBLISHED: {**ALL, **SPIN, WHOLE: "1"},
    f"{PUBLISHED}, sleeping soon": {**ALL, WHOLE: "1"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
WORK = ("nothing", "a spinning core", "another training")
_MAIN = f"""
import os
from tile2vec_cli import cli
if "{WHOLE}" in os.environ:
    from tile2vec_cli.learning import shards
    shards._MOST = 1
cli.main()
"""


class Trainings:
    """Runs of `train` on the sample."""

    def __init__(self, folder: Path, options: list[str]) -> None:
        self.folder, self.options, self.made = folder, options, 0
        self.tiles, self.triplets = folder / "tiles", folder / "triplets.parquet"
        tile2vec("tile", SAMPLE / "scenes", "--out", self.tiles)
        tile2vec("sample-triplets", self.tiles, "--count", 20000, "--out", self.triplets)

    def arguments(self, steps: int) -> list[str]:
        self.made += 1
        out = self.folder / "models" / str(self.made)
        paths = ["train", str(self.triplets), "--tiles", str(self.tiles), "--out", str(out)]
        more = ["--no-place", "--val-fraction", "0", "--steps", str(steps), "--json", "--quiet"]
        return [sys.executable, "-c", _MAIN, *paths, *more, *self.options]

    def rate(self, way: str, steps: int) -> float:
        """Triplets a second."""
        environment = {**os.environ, **WAYS[way]}
        done = subprocess.run(self.arguments(steps), env=environment, stdout=subprocess.PIPE, check=True)
        return float(json.loads(done.stdout)["triplets_per_second"])

    @contextmanager
    def beside(self, work: str, way: str) -> Iterator[None]:
        if work == "nothing":
            yield
            return
        spinning = [sys.executable, "-c", "while True: pass"]
        argv = self.arguments(10**6) if work == "another training" else spinning
        with subprocess.Popen(argv, env={**os.environ, **WAYS[way]}, stderr=subprocess.DEVNULL) as other:
            try:
                time.sleep(SETTLED_S if work == "another training" else 0.5)
                yield
            finally:
                other.send_signal(signal.SIGKILL)


def stage(bench: Bench) -> Iterator[Row]:
    """Training beside other work, and how much of it is left of training alone."""
    trainings, steps = Trainings(bench.folder / "scratch" / "busy", []), 20 if bench.quick else 40
    for work in WORK[1:]:

        def rate(way: str, work: str = work) -> float:
            with trainings.beside(work, way):
                return trainings.rate(way, steps)

        yield row(
            f"train beside {work}",
            "triplets",
            bench.rounds,
            partial(rate, OURS),
            partial(rate, PUBLISHED),
            lambda: trainings.rate(OURS, steps),
            "alone",
        )


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--options", default="")
    options = parser.parse_args()
    trainings = Trainings(options.out, options.options.split())
    rates: dict[tuple[str, str], list[float]] = {(work, way): [] for work in WORK for way in WAYS}
    for _ in range(options.rounds):
        for work, way in rates:
            with trainings.beside(work, way):
                rates[work, way].append(trainings.rate(way, options.steps))
            print(f"{work}, {way}: {rates[work, way][-1]:.0f} triplets/s", file=sys.stderr, flush=True)
            shutil.rmtree(options.out / "models")
    print(f"\n| beside | threads | triplets/s | of `{PUBLISHED}` alone | of `{PUBLISHED}` here |")
    print("|---|---|--:|--:|--:|")
    for (work, way), found in rates.items():
        alone, here = (rates[base, PUBLISHED] for base in (WORK[0], work))
        shares = (
            statistics.median(a / b for a, b in zip(found, base, strict=True)) for base in (alone, here)
        )
        print(f"| {work} | {way} | {statistics.median(found):.0f} |", *(f" {s:.2f} |" for s in shares))


if __name__ == "__main__":
    main()

"""What a command costs that has little to do: processor and wall time of whole processes on the sample.

    python benchmarks/startup.py [--runs 5] [--commands tile,similar]

Beside each command stand the libraries that it cannot do without, imported by a bare Python in turn with
it. Prints the least of each, for a busy machine only ever adds. `--help` of each command is compared with
`import typer`, and `import tile2vec_cli` with Python alone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from command import argument_parser

from tile2vec_cli.api.demonstration import SAMPLE
from tile2vec_cli.cli import COMMANDS

SCENES, LABELS = SAMPLE / "scenes", SAMPLE / "labels.tif"
DATES = ("2021-05-18", "2021-08-27")
TILES = [f"{place}_{DATES[0]}/0/0" for place in ("ashland", "birch", "cedar")]

INDEX = "numpy, pyarrow.parquet, rasterio, shapely, pyproj, typer, pydantic"  # typer parses with pydantic
TABLES = f"{INDEX}, pandas"  # pyarrow imports it to make an array, and to give one of bytes to numpy
SEARCH = f"{TABLES}, scipy.spatial"
LEARNERS = f"{TABLES}, sklearn.linear_model, sklearn.ensemble, sklearn.neighbors, sklearn.neural_network"
NETWORKS = f"{TABLES}, torch"

# Each command, what it needs, and its arguments; they write into OUT, which is new for every run.
OUT = "OUT"
SMALL: dict[str, tuple[str, Sequence[object]]] = {
    "tile": (TABLES, (SCENES, "--out", OUT)),
    "tile, up to date": (INDEX, (SCENES, "--out", "tiles")),
    "sample-triplets": (SEARCH, ("tiles", "--count", 2000, "--out", f"{OUT}.parquet")),
    "train": (f"{NETWORKS}, scipy.sparse", ("t.parquet", "--tiles", "tiles", "--steps", 10, "--out", OUT)),
    "embed": (NETWORKS, ("tiles", "--model", "model", "--out", f"{OUT}.parquet")),
    "embed, up to date": (NETWORKS, ("tiles", "--model", "model", "--out", "tiles.parquet")),
    "probe": (
        LEARNERS,
        ("tiles.parquet", "--labels", LABELS, "--n-labels", 50, "--repeats", 1, "--classifier", "logistic"),
    ),
    "similar": (SEARCH, ("tiles.parquet", "--to", TILES[0])),
    "preview": (SEARCH, ("tiles.parquet", "--out", f"{OUT}.tif")),
    "analogy": (SEARCH, ("tiles.parquet", *TILES)),
    "change": (SEARCH, [f"{date}.parquet" for date in DATES]),
    "inspect": (f"{LEARNERS}, torch, matplotlib.figure", ("tiles.parquet", "--tiles", "tiles", "--out", OUT)),
    "classify": (LEARNERS, ("tiles.parquet", "--labels", LABELS, "--out", f"{OUT}.parquet")),
    "suggest": (f"{LEARNERS}, sklearn.cluster", ("tiles.parquet", "--count", 5, "--out", f"{OUT}.csv")),
    "export": (NETWORKS, ("model", "--out", f"{OUT}.pt2")),
    "stac": (INDEX, ("tiles.parquet", "--out", OUT)),
    "check": (INDEX, ("tiles",)),
    "doctor": (NETWORKS, ()),
}


def python(*arguments: object, cwd: Path | None = None) -> tuple[float, float]:
    """Processor and wall seconds of a Python process."""
    before, started = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    run = [sys.executable, *map(str, arguments)]
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=cwd)
    took, after = time.perf_counter() - started, getrusage(RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(run)}: exit code {done.returncode}\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took


def tile2vec(*arguments: object, cwd: Path) -> tuple[float, float]:
    return python("-m", "tile2vec_cli", *arguments, cwd=cwd)


def prepare(folder: Path) -> None:
    """Tiles of the sample, triplets, a model of ten steps, and vectors of all tiles and of either date."""
    tile2vec("tile", SCENES, "--out", "tiles", cwd=folder)
    for date in DATES:
        tile2vec("tile", *SCENES.glob(f"*_{date}.tif"), "--out", date, cwd=folder)
    tile2vec("sample-triplets", "tiles", "--count", 2000, "--out", "t.parquet", cwd=folder)
    tile2vec("train", "t.parquet", "--tiles", "tiles", "--steps", 10, "--out", "model", cwd=folder)
    for name in ("tiles", *DATES):
        tile2vec("embed", name, "--model", "model", "--out", f"{name}.parquet", cwd=folder)


def small(name: str, folder: Path) -> tuple[float, float]:
    """Of one command on what `prepare` has made."""
    new = tempfile.mkdtemp(dir=folder)
    told = map(str, SMALL[name][1])
    arguments = [f"{new}/{argument}" if argument.startswith(OUT) else argument for argument in told]
    return tile2vec(name.partition(",")[0], *arguments, cwd=folder)


def least(times: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(cpu for cpu, _ in times), min(wall for _, wall in times)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--commands", default=",".join(dict.fromkeys(n.partition(",")[0] for n in SMALL)))
    options = parser.parse_args()
    chosen = options.commands.split(",")
    print("| command | processor, s | wall, s | its libraries, processor, s | ratio |")
    print("|---|--:|--:|--:|--:|")

    def show(name: str, ours: Sequence[tuple[float, float]], bare: Sequence[tuple[float, float]]) -> None:
        (cpu, wall), (floor, _) = least(ours), least(bare)
        print(f"| {name} | {cpu:.3g} | {wall:.3g} | {floor:.3g} | {cpu / floor:.1f} |", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder)
        for name in SMALL:
            if name.partition(",")[0] in chosen:
                bare = f"import {SMALL[name][0]}"
                pairs = [(small(name, folder), python("-c", bare)) for _ in range(options.runs)]
                show(name, *zip(*pairs, strict=True))
        for name in [name for name in COMMANDS if name in chosen]:
            pairs = [
                (tile2vec(name, "--help", cwd=folder), python("-c", "import typer"))
                for _ in range(options.runs)
            ]
            show(f"{name} --help", *zip(*pairs, strict=True))
    pairs = [(python("-c", "import tile2vec_cli"), python("-c", "")) for _ in range(options.runs)]
    show("import tile2vec_cli", *zip(*pairs, strict=True))


if __name__ == "__main__":
    main()

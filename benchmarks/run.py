"""Ours against the published way and against what the machine can do, all in one run.

    python benchmarks/run.py FOLDER [--quick] [--parts tile,train,…] [--results benchmarks/RESULTS.md]

Makes a deflated scene in FOLDER, and for every part of the pipeline alternates the published way (see
published.py), ours, and the limit (see limits.py). A ratio is the median of the rounds' ratios, so that
a busy machine slows all of them alike. Prints a table and, with --results, appends it to that file.
--quick takes less than five minutes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import accuracy
import busy
import chip_stages
import data_stages
import network_stages
import numpy as np
import shapely
import startup
import torch
from command import argument_parser
from limits import processor, seconds
from rounds import HEADER, Row, row
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from workbench import Bench

from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.evaluation import probing
from tile2vec_cli.job.resources import usable_cpus
from tile2vec_cli.labelling.labels import Labels


def start(bench: Bench) -> Iterator[Row]:
    def run(*arguments: str) -> float:
        return 1 / seconds(
            lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        )

    yield row(
        "start and print the help",
        "s",
        bench.rounds,
        lambda: run("-m", "tile2vec_cli", "--help"),
        lambda: run("-c", "import torch, rasterio, sklearn.linear_model"),
        lambda: run("-c", "import typer"),
        "python with typer",
    )
    startup.prepare(bench.folder / "scratch")
    for name in ("tile", "similar", "embed"):

        def small(name: str = name) -> float:
            return 1 / startup.small(name, bench.folder / "scratch")[1]

        def libraries(name: str = name) -> float:
            return run("-c", f"import {startup.SMALL[name][0]}")

        yield row(f"{name}, the sample", "s", bench.rounds, small, None, libraries, "its libraries")


def probe(bench: Bench) -> Iterator[Row]:
    """Logistic regression, its strength chosen by cross-validation, and a forest, on 1,000 labels."""
    rng, side, repeats = np.random.default_rng(0), 60, 4
    vectors = rng.normal(size=(side**2, 128)).astype(np.float32)
    classes = (vectors[:, :8] @ rng.normal(size=(8, 5))).argmax(1).astype(np.int32)
    x, y = (values.ravel() * 4e-4 for values in np.meshgrid(np.arange(side), np.arange(side)))
    geometry = shapely.box(x, y, x + 4e-4, y + 4e-4)
    embeddings = Embeddings.of(vectors, geometry)
    labels = Labels(classes, tuple("abcde"), "table")
    config = ProbeConfig(n_labels=(1000,), repeats=repeats)

    def plain() -> None:
        for _ in range(repeats):
            split = train_test_split(vectors, classes, train_size=1000)
            for model in (
                GridSearchCV(LogisticRegression(max_iter=1000), {"C": [0.01, 0.1, 1, 10]}, cv=3),
                RandomForestClassifier(100),
            ):
                model.fit(split[0], split[2]).score(split[1], split[3])

    draws = repeats + min(repeats, probing.RANDOM_REPEATS)  # half of ours are random splits, to compare
    yield row(
        "probe, 1,000 labels",
        "fits",
        bench.rounds,
        lambda: 2 * draws / seconds(lambda: probing.probe(embeddings, labels, config)),
        lambda: 2 * repeats / seconds(plain),
    )


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "start": start,
    "tile": data_stages.tile,
    "sample-triplets": data_stages.draw,
    "chips": chip_stages.chips,
    "load": data_stages.load,
    "train": network_stages.train,
    "busy": busy.stage,
    "accuracy": accuracy.stage,
    "embed": network_stages.embed,
    "probe": probe,
    "weak-segment": network_stages.weak_segment,
    "map": network_stages.map_scenes,
}


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    bench = Bench.made(options.folder, options.quick)
    machine = f"{processor()}, {usable_cpus()} CPUs, torch {torch.__version__}, {bench.runtime.precision}"
    lines = [f"{machine}; {date.today()}{', --quick' if options.quick else ''}", "", *HEADER]
    print("\n".join(lines), flush=True)
    for name in options.parts.split(","):
        for found in PARTS[name](bench):
            lines.append(str(found))
            print(found, flush=True)
    if options.results:
        with options.results.open("a") as results:
            results.write("\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

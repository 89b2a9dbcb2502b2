"""What `suggest` costs on a million embeddings, and what its labels are worth.

    python benchmarks/suggest.py scale FOLDER [--tiles 1000000] [--dim 128] [--count 100]
    python benchmarks/suggest.py curve EMBEDDINGS --labels PATH [--field NAME] [--draws 10]

`scale` makes the embeddings of `eyes.py` and 200 labels of four made-up classes, and runs the command with
and without labels: seconds and peak megabytes, Python's start included.

`curve` plays labelling: 20 labels at random, then in rounds as many as there are. In each draw whole
blocks are held out, and three ways to choose among the other tiles start from the same 20 labels: at
random, the least sure, and those of `suggest` (least sure, apart from one another). Accuracy of a logistic
regression on the held-out blocks: mean over the draws, and mean difference from random with its standard
error. The first line has no labels at all to begin with: 20 at random against the 20 typical ones of
`suggest` without labels. Prints Markdown.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from command import argument_parser, measured
from eyes import SIDE, make

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.evaluation import splits
from tile2vec_cli.evaluation.classifiers import CLASSIFIERS, Training, quietly
from tile2vec_cli.labelling import labels
from tile2vec_cli.views import kinds, suggestions
from tile2vec_cli.views.kinds import Clusters
from tile2vec_cli.views.suggestions import Ground

STEPS = (20, 40, 80, 160, 320)
WAYS = ("random", "least sure", "suggest")


def scale(options: argparse.Namespace) -> None:
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    path = make(folder, "float32", max(1, options.tiles // SIDE**2), options.dim)
    ids = pd.read_parquet(path, columns=["tile_id"])["tile_id"]
    drawn = ids.sample(200, random_state=0)
    classes = drawn.str.extract(r"(\d+)/")[0].astype(int) % 4
    pd.DataFrame({"tile_id": drawn, "class": classes.map("class{}".format)}).to_csv(folder / "labels.csv")
    print(f"{len(ids):,} × {options.dim}, --count {options.count}\n")
    print("| suggest | s | MB |\n|---|--:|--:|")
    for name, more in (
        ("with labels", ("--labels", folder / "labels.csv", "--field", "class")),
        ("without", ()),
    ):
        line = ("suggest", path, "--count", options.count, "--out", folder / "next.csv", "--overwrite")
        _, seconds, peak = measured(*line, *more, "--quiet")
        print(f"| {name} | {seconds:.0f} | {peak:,} |", flush=True)


class Play:
    """The labelled tiles of a data set, of which the labels are shown as they are chosen."""

    def __init__(self, options: argparse.Namespace) -> None:
        every = Embeddings.open(options.embeddings)
        config = ProbeConfig(field=options.field)
        found = labels.read(
            LabelSource.of(options.labels), every.geometry, every.tile_id, field=options.field, min_purity=0.8
        )
        self.task = splits.choose_task(every, found, config)
        own = every.take(self.task.rows)
        self.vectors, self.ground = own.vectors, Ground.of(own)
        self.overlaps = splits.overlapping(own.geometry, self.task.units)

    def score(self, model: Any, test: np.ndarray) -> float:
        return float((model.predict(self.vectors[test]) == self.task.classes[test]).mean())

    def fit(self, rows: np.ndarray) -> Any:
        classes = self.task.classes[rows]
        with quietly():
            training = Training(self.vectors[rows], classes, self.task.blocks[rows])
            return CLASSIFIERS["logistic"](training, 0).fit(self.vectors[rows], classes)

    def more(self, way: str, model: Any, order: np.ndarray, chosen: np.ndarray, count: int) -> np.ndarray:
        """The next tiles of those in `order`, which is random, beside those that the model was fitted to."""
        if way == "random":
            return order[~np.isin(order, chosen)][:count]
        left = np.sort(order[self.ground.away_from(chosen)[order]])
        unsure = suggestions.uncertainty(model.predict_proba(self.vectors[left]))
        rows = suggestions.candidates(unsure, np.ones(len(left), bool), count)
        here = replace(self.ground, xyz=self.ground.xyz[left[rows]])
        if way == "suggest":
            return left[rows[suggestions.spread(self.vectors[left[rows]], here, unsure[rows], count)]]
        return left[rows[suggestions.apart(range(len(rows)), here, count)]]

    def typical(self, rows: np.ndarray, count: int) -> np.ndarray:
        clusters = Clusters(kinds.centres(self.vectors[rows], count, 0))
        clusters.add(rows, self.vectors[rows])
        return np.array([row for row, _ in suggestions.typical(clusters, self.ground, rows, count)])

    def draw(self, number: int) -> tuple[dict[str, list[float]], tuple[float, float]]:
        """Accuracies of each way after each round; those of the first labels, at random and typical."""
        random = np.random.default_rng((0, 0, number))
        split = splits.block_split(self.task.units, self.task.classes, self.overlaps, 0.3, random)
        order = splits.label_order(split.train, self.task.classes, random)
        found = {}
        first = self.fit(order[: STEPS[0]])
        for way in WAYS:
            chosen, model = order[: STEPS[0]], first
            found[way] = [self.score(model, split.test)]
            for before, after in pairwise(STEPS):
                chosen = np.append(chosen, self.more(way, model, order, chosen, after - before))
                model = self.fit(chosen)
                found[way].append(self.score(model, split.test))
        start = self.typical(np.sort(split.train), STEPS[0])
        return found, (found["random"][0], self.score(self.fit(start), split.test))


def curve(options: argparse.Namespace) -> None:
    play = Play(options)
    draws = [play.draw(number) for number in range(options.draws)]
    print(
        f"{options.embeddings.stem}: {len(play.task.rows):,} labelled tiles of {len(play.task.names)} ",
        end="",
    )
    print(f"classes, {options.draws} draws\n\n| labels | random | least sure | suggest |\n|--:|--:|--:|--:|")
    first = np.array([start for _, start in draws])
    print(f"| {STEPS[0]}, the first ones | {first[:, 0].mean():.3f} | | {_cell(first[:, 1], first[:, 0])} |")
    scores = {way: np.array([found[way] for found, _ in draws]) for way in WAYS}
    for step, count in enumerate(STEPS[1:], 1):
        own = [scores[way][:, step] for way in WAYS]
        cells = " | ".join(_cell(one, own[0]) for one in own[1:])
        print(f"| {count} | {own[0].mean():.3f} | {cells} |", flush=True)


def _cell(own: np.ndarray, other: np.ndarray) -> str:
    away = own - other
    error = away.std(ddof=1) / len(away) ** 0.5 if len(away) > 1 else float("nan")
    return f"{own.mean():.3f} ({away.mean():+.3f} ± {error:.3f})"


def main() -> None:
    parser = argument_parser(__doc__)
    kinds_of = parser.add_subparsers(required=True)
    one = kinds_of.add_parser("scale")
    one.add_argument("folder", type=Path)
    one.add_argument("--tiles", type=int, default=1_000_000)
    one.add_argument("--dim", type=int, default=128)
    one.add_argument("--count", type=int, default=100)
    one.set_defaults(do=scale)
    other = kinds_of.add_parser("curve")
    other.add_argument("embeddings", type=Path)
    other.add_argument("--labels", required=True)
    other.add_argument("--field")
    other.add_argument("--draws", type=int, default=10)
    other.set_defaults(do=curve)
    options = parser.parse_args()
    options.do(options)


if __name__ == "__main__":
    main()

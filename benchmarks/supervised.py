"""Up to how many labels the default's vectors are ahead of networks that learn from the labels alone.

    python benchmarks/supervised.py --data NAME=TILES:LABELS[:FIELDS] --out DIR [--n-labels 100,1000]
        [--minutes 1] [--draws 2] [--networks texture,small,resnet18]

Rows: logistic regression on the vectors of a default training, on band statistics and on random
convolutional features; the texture column, `small` and ResNet-18 trained end to end for so many minutes,
tiles flipped and turned. All have the same labels and the same held-out blocks. ResNet-18 has the stem of He
et al. 2016 (7×7, stride 2, then a maximum over 3×3 of stride 2): with that of TileNet one minute of two cores
would show it each of 1,000 tiles three times. Scores are kept in DIR: run it again and it goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from unittest import mock

import numpy as np
from command import argument_parser
from rival_rows import Bench, trained
from rival_scores import judge
from rivals import Data
from torch import nn

from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.evaluation import probing
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.neural import columns
from tile2vec_cli.neural.columns import Column, Residuals
from tile2vec_cli.outputs.parts import write_json

DIMS = {"texture": 128, "small": 128, "resnet18": 512}

Accuracies = dict[str, list[float]]  # by row and number of labels: one a draw


def _resnet18(bands: int, dim: int) -> list[Column]:
    column = Residuals(bands, (64, 128, 256, dim), 2, 2, lit=False)
    stem = nn.Conv2d(bands, 64, 7, 2, 3, bias=False)
    column.stem = nn.Sequential(stem, nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))  # type: ignore[assignment]
    column.stem_norm = nn.Identity()  # type: ignore[assignment]
    column.fold = lambda: None  # type: ignore[method-assign]
    return [column]


def accuracies(
    name: str,
    truth: Labels,
    own: Embeddings,
    counts: tuple[int, ...],
    bench: Bench,
    options: argparse.Namespace,
) -> Accuracies:
    """By the row and its number of labels."""
    path = bench.folder / f"supervised-{name}-{options.minutes:g}.json"
    made: dict[str, Accuracies] = json.loads(path.read_text()) if path.exists() else {}
    vectors = trained("", bench, 0)
    config = ProbeConfig(
        classifiers=("logistic",),
        n_labels=counts,
        baselines=("stats", "rcf"),
        end_to_end=options.minutes,
        end_to_end_repeats=options.draws,
    )
    for network in options.networks.split(","):
        if network in made:
            continue
        architecture = {"encoder": network, "dim": DIMS[network]}
        shown = Embeddings.of(
            vectors, own.geometry, tile_id=own.tile_id, metadata={"architecture": architecture}
        )
        with mock.patch.object(columns, "resnet18", _resnet18):
            said = probing.probe(shown, truth, config, tiles=bench.tiles)
        made[network] = {f"{s.features} {s.n_labels}": list(s.accuracies) for s in said.scores}
        write_json(path, made)
    return {
        key.replace("end-to-end", network): values
        for network, own in made.items()
        for key, values in own.items()
    }


def table(found: Accuracies) -> str:
    counts = list(dict.fromkeys(int(key.rpartition(" ")[2]) for key in found))
    rows = list(dict.fromkeys(key.rpartition(" ")[0] for key in found))
    lines = [f"| | {' | '.join(f'{count:,}' for count in counts)} |", "|---|" + "--:|" * len(counts)]
    for row in rows:
        cells = []
        for values in (found.get(f"{row} {count}", []) for count in counts):
            spread = np.std(values, ddof=1) if len(values) > 1 else float("nan")
            cells.append(f"{np.mean(values):.3f} ± {spread:.3f}" if values else "")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n-labels", default="100,1000")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--networks", default=",".join(DIMS))
    options = parser.parse_args()
    counts = tuple(int(count) for count in options.n_labels.split(","))
    for data in (Data.parse(text, {}) for text in options.data):
        bench = Bench(data.tiles, np.arange(len(data.tiles)), options.out / data.name)
        bench.folder.mkdir(parents=True, exist_ok=True)
        asked = judge(data.tiles, data.labels, data.fields, bench.ids, counts)
        for name, truth in asked.tasks.items():
            found = accuracies(name, truth, asked.own, counts, bench, options)
            print(f"\n{data.name} {name}\n\n{table(found)}", flush=True)


if __name__ == "__main__":
    main()

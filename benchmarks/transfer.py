"""Other places and few labels: what a score is worth in another city, and training beforehand on labels.

    python benchmarks/transfer.py regions IMAGES LABELS --field FIELD --region-field FIELD --out DIR
    python benchmarks/transfer.py start SCENE LABELS --out DIR [--size 25] [--n-labels 50,100,500]

`regions` trains `small` on triplets and probes it twice, on held-out blocks and on held-out regions, beside
statistics of the bands, principal components and an untrained encoder. `start` trains on triplets of the
scene's tiles without labels, and then on few labels: logistic regression on the vectors, the network
trained on the labels from scratch, and the network trained on them from the weights it had. --minutes is for
the triplets, --fit for each training on labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from command import argument_parser, tile2vec


def learned(images: Path, out: Path, minutes: str, *cut: object) -> tuple[Path, Path, Path]:
    """Tiles, a model of their triplets, and vectors."""
    names = ("tiles", "model", "vectors.parquet", "triplets.parquet")
    tiles, model, vectors, triplets = (out / name for name in names)
    tile2vec("tile", images, "--out", tiles, *cut)
    tile2vec("sample-triplets", tiles, "--out", triplets)
    learn = ["--encoder", "small", "--minutes", minutes]
    tile2vec("train", triplets, "--tiles", tiles, "--out", model, *learn)
    tile2vec("embed", tiles, "--model", model, "--out", vectors)
    return tiles, model, vectors


def show(first: str, scores: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """A row a name, a column a number of labels."""
    counts = sorted({score["n_labels"] for _, score in scores})
    print(f"| {first} | {' | '.join(f'{n:,} labels' for n in counts)} |\n|---|" + "--:|" * len(counts))
    for name in dict.fromkeys(name for name, _ in scores):
        own = {score["n_labels"]: score for found, score in scores if found == name}
        cells = [f"{own[n]['accuracy']:.3f} ± {own[n]['std']:.3f}" for n in counts]
        print(f"| {name} | {' | '.join(cells)} |")


def regions(options: argparse.Namespace) -> None:
    tiles, _, vectors = learned(options.images, options.out, options.minutes)
    fixed = ["--labels", options.labels, "--field", options.field, "--tiles", tiles]
    fixed += ["--classifier", "logistic", "--n-labels", options.n_labels or "100,1000"]
    found = []
    for split in (["blocks"], ["region", "--region-field", options.region_field]):
        report = tile2vec("probe", vectors, *fixed, "--split", *split)
        found += [(f"{score['features']}, by {split[0]}", score) for score in report["scores"]]
    show("features and split", found)


def start(options: argparse.Namespace) -> None:
    tiles, model, vectors = learned(options.images, options.out, options.minutes, "--size", options.size)
    chosen = ["--labels", options.labels, "--tiles", tiles, "--baselines", "stats"]
    chosen += ["--classifier", "logistic", "--n-labels", options.n_labels or "50,100,500"]
    report = tile2vec("probe", vectors, *chosen, "--end-to-end", options.fit, "--model", model)
    show("learned by", [(f"{score['features']}, {score['classifier']}", score) for score in report["scores"]])
    print(f"\n{report['tiles_used']:,} labelled tiles; {', '.join(report['classes'])}")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("what", choices=("regions", "start"))
    parser.add_argument("images", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--field")
    parser.add_argument("--region-field")
    parser.add_argument("--n-labels")
    parser.add_argument("--size", default="25")
    parser.add_argument("--minutes", default="1")
    parser.add_argument("--fit", default="0.25")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    {"regions": regions, "start": start}[options.what](options)


if __name__ == "__main__":
    main()

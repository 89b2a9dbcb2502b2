"""How good the vectors of a short training are: the commands of a user, then the probe's table.

python benchmarks/quality.py IMAGES LABELS --out DIR [--fields city,density] [--minutes 1] [--train OPTIONS]

    python benchmarks/quality.py ../shared/data/naip_california \\
        ../shared/data/naip_california/tree_density.gpkg --out /tmp/quality

Cuts the images into tiles and draws triplets with default settings (once in DIR), trains with the
options of --train, embeds, and probes each field with 100 and 1,000 labels over spatial blocks,
beside all baselines.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from command import argument_parser, tile2vec

N_LABELS = "100,1000"


def prepared(images: Path, out: Path) -> tuple[Path, Path]:
    """The tile set and the triplets, both with default settings."""
    tiles, triplets = out / "tiles", out / "triplets.parquet"
    tile2vec("tile", images, "--out", tiles)
    tile2vec("sample-triplets", tiles, "--out", triplets)
    return tiles, triplets


def trained(tiles: Path, triplets: Path, out: Path, options: list[str]) -> tuple[dict[str, Any], Path]:
    """The report of `train` with these options, and the embeddings."""
    name = "-".join(option.strip("-") for option in options) or "default"
    model, vectors = out / f"model-{name}", out / f"vectors-{name}.parquet"
    report = tile2vec("train", triplets, "--tiles", tiles, "--out", model, *options)
    tile2vec("embed", tiles, "--model", model, "--out", vectors)
    return report, vectors


def probed(vectors: Path, labels: Path, field: str, options: list[object]) -> list[dict[str, Any]]:
    fixed = ["--classifier", "logistic", "--n-labels", N_LABELS, "--split", "blocks"]
    report = tile2vec("probe", vectors, "--labels", labels, "--field", field, *fixed, *options)
    return list(report["scores"])


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments of all that train on IMAGES and probe LABELS."""
    found = argument_parser(description)
    found.add_argument("images", type=Path)
    found.add_argument("labels", type=Path)
    found.add_argument("--out", type=Path, required=True)
    found.add_argument("--fields", default="city,density")
    found.add_argument("--minutes", default="1")
    return found


def columns(fields: Sequence[str]) -> str:
    """Heads of a table with a row for each way to do it."""
    return " | ".join(f"{field}, {int(count):,}" for field in fields for count in N_LABELS.split(","))


def accuracies(vectors: Path, labels: Path, fields: Sequence[str]) -> list[float]:
    """Under these heads."""
    return [score["accuracy"] for field in fields for score in probed(vectors, labels, field, [])]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--train", default="--encoder small", help="options for `tile2vec train`")
    options = arguments.parse_args()
    tiles, triplets = prepared(options.images, options.out)
    chosen = [*shlex.split(options.train), "--minutes", options.minutes]
    report, vectors = trained(tiles, triplets, options.out, chosen)
    print(f"{report['triplets_per_second']:.0f} triplets/s, {report['steps']} steps, {report['precision']}\n")
    print("| field | features | labels | accuracy | ± |\n|---|---|---|---|---|")
    for field in options.fields.split(","):
        for score in probed(vectors, options.labels, field, ["--tiles", tiles, "--classifier", "forest"]):
            name = f"{score['features']}, {score['classifier']}"
            print(
                f"| {field} | {name} | {score['n_labels']:,} | {score['accuracy']:.3f} | {score['std']:.3f} |"
            )


if __name__ == "__main__":
    main()

"""Which distants, and which augmentation, make the better vectors after the same minutes of training.

python benchmarks/distants.py IMAGES LABELS --out DIR [--fields city,density] [--minutes 1]

Trains `small` once for each row of VARIANTS and probes it by logistic regression; see quality.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from quality import prepared, probed, trained

VARIANTS = {
    "in-batch": [],
    "saved": ["--distants", "saved"],
    "in-batch, one light": ["--jitter", "0"],
    "saved, one light": ["--distants", "saved", "--jitter", "0"],
    "in-batch, no turns": ["--no-augment"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fields", default="city,density")
    parser.add_argument("--minutes", default="1")
    options = parser.parse_args()
    tiles, triplets = prepared(options.images, options.out)
    fields = options.fields.split(",")
    columns = [f"{field}, {count}" for field in fields for count in ("100", "1,000")]
    print(f"| training | triplets/s | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for name, settings in VARIANTS.items():
        chosen = ["--encoder", "small", "--minutes", options.minutes, *settings]
        report, vectors = trained(tiles, triplets, options.out, chosen)
        scores = [score for field in fields for score in probed(vectors, options.labels, field, [])]
        accuracies = " | ".join(f"{score['accuracy']:.3f}" for score in scores)
        print(f"| {name} | {report['triplets_per_second']:.0f} | {accuracies} |", flush=True)


if __name__ == "__main__":
    main()

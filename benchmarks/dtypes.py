"""What is lost by storing embeddings in fewer bits: the probe on float32, float16 and int8.

python benchmarks/dtypes.py IMAGES LABELS --out DIR [--fields city,density] [--minutes 1]

Trains `small` once and embeds with each --dtype; see quality.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from quality import prepared, probed, tile2vec, trained

DTYPES = ("float32", "float16", "int8")


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
    options.out.mkdir(parents=True, exist_ok=True)
    tiles, triplets = prepared(options.images, options.out)
    chosen = ["--encoder", "small", "--minutes", options.minutes]
    trained(tiles, triplets, options.out, chosen)
    model = next(options.out.glob("model-encoder-small-*"))
    fields = options.fields.split(",")
    columns = [f"{field}, {count}" for field in fields for count in ("100", "1,000")]
    print(f"| stored as | MB | {' | '.join(columns)} |\n|---|--:|{'--:|' * len(columns)}")
    for dtype in DTYPES:
        vectors = options.out / f"vectors-{dtype}.parquet"
        tile2vec("embed", tiles, "--model", model, "--out", vectors, "--dtype", dtype)
        scores = [score for field in fields for score in probed(vectors, options.labels, field, [])]
        accuracies = " | ".join(f"{100 * score['accuracy']:.2f}" for score in scores)
        print(f"| {dtype} | {vectors.stat().st_size / 1e6:.1f} | {accuracies} |", flush=True)


if __name__ == "__main__":
    main()

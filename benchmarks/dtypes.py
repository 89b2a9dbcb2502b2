"""What is lost by storing embeddings in fewer bits: the probe on float32, float16 and int8.

python benchmarks/dtypes.py IMAGES LABELS --out DIR [--fields city,density] [--minutes 1]

Trains `small` once and embeds with each --dtype; see quality.py.
"""

from __future__ import annotations

from command import tile2vec
from quality import accuracies, columns, parser, prepared, trained

DTYPES = ("float32", "float16", "int8")


def main() -> None:
    options = parser(__doc__).parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tiles, triplets = prepared(options.images, options.out)
    chosen = ["--encoder", "small", "--minutes", options.minutes]
    report, _ = trained(tiles, triplets, options.out, chosen)
    (model,) = report["outputs"]
    fields = options.fields.split(",")
    print(f"| stored as | MB | {columns(fields)} |\n|---|--:|{'--:|' * 2 * len(fields)}")
    for dtype in DTYPES:
        vectors = options.out / f"vectors-{dtype}.parquet"
        tile2vec("embed", tiles, "--model", model, "--out", vectors, "--dtype", dtype)
        found = " | ".join(f"{100 * share:.2f}" for share in accuracies(vectors, options.labels, fields))
        print(f"| {dtype} | {vectors.stat().st_size / 1e6:.1f} | {found} |", flush=True)


if __name__ == "__main__":
    main()

"""Which distants, and which augmentation, make the better vectors after the same minutes of training.

python benchmarks/distants.py IMAGES LABELS --out DIR [--fields city,density] [--minutes 1]

Trains `small` once for each row of VARIANTS and probes it by logistic regression; see quality.py.
"""

from __future__ import annotations

from quality import accuracies, columns, parser, prepared, trained

VARIANTS = {
    "in-batch": [],
    "saved": ["--distants", "saved"],
    "in-batch, one light": ["--jitter", "0"],
    "saved, one light": ["--distants", "saved", "--jitter", "0"],
    "in-batch, no turns": ["--no-augment"],
}


def main() -> None:
    options = parser(__doc__).parse_args()
    tiles, triplets = prepared(options.images, options.out)
    fields = options.fields.split(",")
    print(f"| training | triplets/s | {columns(fields)} |\n|---|---|{'---|' * 2 * len(fields)}")
    for name, settings in VARIANTS.items():
        chosen = ["--encoder", "small", "--minutes", options.minutes, *settings]
        report, vectors = trained(tiles, triplets, options.out, chosen)
        found = " | ".join(f"{share:.3f}" for share in accuracies(vectors, options.labels, fields))
        print(f"| {name} | {report['triplets_per_second']:.0f} | {found} |", flush=True)


if __name__ == "__main__":
    main()

"""`tile2vec classify` over a million tiles of 128 numbers: seconds, and megabytes of memory at the most.

    python benchmarks/classify.py FOLDER [--tiles 1000000] [--classifier logistic]

Vectors are made up: four classes in stripes, and noise. 2,000 tiles have a label.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely
from command import argument_parser, measured

from tile2vec_cli.geo import geoparquet

DIM, CLASSES, LABELS, SIDE = 128, 4, 2000, 0.0005  # the side of a tile in degrees


def make(folder: Path, tiles: int) -> tuple[Path, Path]:
    """A file of embeddings and a table of labels."""
    folder.mkdir(parents=True, exist_ok=True)
    path, labels = folder / f"embeddings_{tiles}.parquet", folder / f"labels_{tiles}.csv"
    random = np.random.default_rng(0)
    centres = random.normal(size=(CLASSES, DIM))
    across = int(tiles**0.5)
    chosen = set(random.choice(tiles, LABELS, replace=False).tolist())
    lines = ["tile_id,class"]
    schema = pa.schema([("tile_id", pa.string()), ("scene", pa.string())])
    schema = schema.append(pa.field("embedding", pa.list_(pa.float32(), DIM)))
    for field in geoparquet.GEOMETRY_FIELDS:
        schema = schema.append(field)
    with geoparquet.writer(path, schema) as append:
        for start in range(0, tiles, 50_000):
            number = np.arange(start, min(start + 50_000, tiles))
            row, col = np.divmod(number, across)
            classes = (row // 50 + col // 50) % CLASSES
            vectors = (centres[classes] + 3 * random.normal(size=(len(number), DIM))).astype(np.float32)
            ids = [f"scene/{r}/{c}" for r, c in zip(row.tolist(), col.tolist(), strict=True)]
            lines += [f"{ids[n - start]},class {classes[n - start]}" for n in number.tolist() if n in chosen]
            flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM)
            table = pa.table({"tile_id": ids, "scene": ["scene"] * len(ids), "embedding": flat})
            west, south = 10 + col * SIDE, 50 - row * SIDE
            append(geoparquet.with_shapes(table, shapely.box(west, south, west + SIDE, south + SIDE)))
    labels.write_text("\n".join(lines) + "\n")
    return path, labels


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiles", type=int, default=1_000_000)
    parser.add_argument("--classifier", default="logistic")
    parser.add_argument("--out", nargs="*", default=["classes.parquet", "classes.tif"])
    arguments = parser.parse_args()
    path, labels = make(arguments.folder, arguments.tiles)
    outs = [word for name in arguments.out for word in ("--out", arguments.folder / name)]
    options = ("--classifier", arguments.classifier, "--overwrite", "--quiet", *outs)
    report, seconds, megabytes = measured("classify", path, "--labels", labels, *options)
    accuracy = report["held_out"]["accuracy"]
    print(
        f"{arguments.tiles:,} tiles, {arguments.classifier}: {seconds:.0f} s, {megabytes:,} MB; {accuracy=}"
    )


if __name__ == "__main__":
    main()

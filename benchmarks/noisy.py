"""Vectors learned from noisy and from coarse labels of one place, judged by clean labels of another.

    python benchmarks/noisy.py IMAGES LABELS --out DIR [--field density] [--places city] [--minutes 1]

Cuts IMAGES into tiles and halves them by the field --places: its first values, in the order of the
alphabet, teach, the others judge, so that no label that teaches lies where one judges. Trains `small` with
`--objective supervised` and `contrastive` on the labels as they are, with 30 % and 60 % of them replaced by
another class, and with all classes but the first made one, each for the same time, beside triplets,
which need no labels. Prints the accuracy of logistic regression on clean labels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import shapely
from command import argument_parser, tile2vec
from numpy.typing import NDArray
from quality import prepared

from tile2vec_cli.labelling import labels
from tile2vec_cli.tiling.tiles import TileSet

Names = NDArray[np.object_]
N_LABELS = (100, 1000)


def named(tiles: TileSet, path: Path, field: str) -> Names:
    """(N,) the class of each tile, None where it has none."""
    index = tiles.table()
    geometry = np.asarray(shapely.from_wkb(index["geometry"].to_numpy()))
    found = labels.read(str(path), geometry, field=field)
    return np.array([*found.classes, None], dtype=object)[found.codes]  # code -1: none


def flipped(classes: Names, share: float, random: np.random.Generator) -> Names:
    """So many of the classes replaced by another one."""
    names = sorted(set(classes))
    wrong = random.random(len(classes)) < share
    steps = random.integers(1, len(names), len(classes))
    moved = [
        names[(names.index(name) + step) % len(names)] for name, step in zip(classes, steps, strict=True)
    ]
    return np.where(wrong, np.array(moved, dtype=object), classes)


def coarse(classes: Names) -> Names:
    first = min(classes)
    return np.where(classes == first, first, "other").astype(object)


def write(path: Path, tile_id: Names, classes: Names) -> Path:
    pyarrow.csv.write_csv(pa.table({"tile_id": list(tile_id), "label": list(classes)}), path)
    return path


def taught(folder: Path, tile_id: Names, classes: Names) -> dict[str, Path]:
    """Labels to learn from, as tables."""
    random = np.random.default_rng(0)
    kinds = {
        "clean": classes,
        "30 % wrong": flipped(classes, 0.3, random),
        "60 % wrong": flipped(classes, 0.6, random),
        "two coarse classes": coarse(classes),
    }
    return {
        name: write(folder / f"{name.replace(' ', '-').replace('%', 'percent')}.csv", tile_id, found)
        for name, found in kinds.items()
    }


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--field", default="density")
    parser.add_argument("--places", default="city")
    parser.add_argument("--minutes", default="1")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path, triplets = prepared(options.images, options.out)
    tiles = TileSet.open(path)
    tile_id = np.array(tiles.table()["tile_id"].to_pylist(), dtype=object)
    classes, places = (named(tiles, options.labels, name) for name in (options.field, options.places))
    known = np.array([None not in pair for pair in zip(classes, places, strict=True)])
    order = sorted(set(places[known]))
    first = np.isin(places, order[: len(order) // 2]) & known
    last = known & ~first
    print(f"{first.sum():,} tiles teach ({', '.join(order[: len(order) // 2])}), {last.sum():,} judge\n")
    judges = write(options.out / "judges.csv", tile_id[last], classes[last])
    rows: list[tuple[str, str, list[str]]] = [("triplet", "none", [])]
    for name, file in taught(options.out, tile_id[first], classes[first]).items():
        for objective in ("supervised", "contrastive"):
            rows.append((objective, name, ["--objective", objective, "--labels", str(file)]))
    print(f"| objective | labels that teach | {' | '.join(f'{n:,} labels' for n in N_LABELS)} |")
    print("|---|---|" + "--:|" * len(N_LABELS))
    for number, (objective, name, arguments) in enumerate(rows):
        folder = options.out / str(number)
        folder.mkdir(exist_ok=True)
        model, vectors = folder / "model", folder / "vectors.parquet"
        learn = ["--encoder", "small", "--minutes", options.minutes, *arguments]
        tile2vec("train", triplets, "--tiles", path, "--out", model, *learn)
        tile2vec("embed", path, "--model", model, "--out", vectors)
        chosen = ["--classifier", "logistic", "--n-labels", ",".join(map(str, N_LABELS))]
        extra = ["--tiles", path, "--baselines", "stats"] if objective == "triplet" else []
        found = tile2vec("probe", vectors, "--labels", judges, *chosen, *extra)["scores"]
        for features in dict.fromkeys(score["features"] for score in found):
            cells = [f"{s['accuracy']:.3f} ± {s['std']:.3f}" for s in found if s["features"] == features]
            title = (objective, name) if features == "embeddings" else (f"({features} of bands)", "")
            print(f"| {' | '.join(title)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

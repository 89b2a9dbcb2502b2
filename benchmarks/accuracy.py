"""Time to accuracy: how soon training reaches what the published way reaches after its time.

    python benchmarks/accuracy.py IMAGES LABELS --field FIELD --out DIR [--minutes 7] [--n-labels 1000]

Trains the paper's network the published way on the tiles of IMAGES for so many minutes, then `small` with
default settings for that time divided by 60, 30, 20, …, each from the start, until the probe finds it as
good: logistic regression with so many labels on held-out blocks, mean of ten draws. Only training is
timed. Prints every accuracy.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import published
from command import argument_parser, tile2vec
from embed import write_model
from quality import prepared, trained
from rounds import Row
from workbench import Bench

from tile2vec_cli.api.demonstration import SAMPLE
from tile2vec_cli.neural import batches
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.tiling.triplets import load

FRACTIONS = (60, 30, 20, 15, 10, 5, 2, 1)


def plain(tiles_path: Path, triplets_path: Path, out: Path, seconds: float) -> Path:
    """Vectors of the paper's network, trained the published way."""
    tiles = TileSet.open(tiles_path)
    ids = np.arange(len(tiles))
    mean, std = batches.normalisation(tiles, ids)
    shutil.rmtree(out / "files", ignore_errors=True)
    files = published.save(tiles.pixels(ids), out / "files")
    neighborhood = load(triplets_path, tiles).settings["neighborhood_m"]
    drawn = published.draw(tiles.ecef[:, :2], neighborhood, 20_000)
    net = published.TileNet(tiles.shape[1], mean, std)
    net.train(files, drawn, seconds)
    folder = write_model(out / f"published-{seconds:g}", tiles, "resnet18", net.encoder)
    vectors = out / f"published-{seconds:g}.parquet"
    tile2vec("embed", tiles_path, "--model", folder, "--out", vectors, "--overwrite")
    return vectors


def reached(
    images: Path, labels: Path, field: str | None, out: Path, seconds: float, n_labels: int
) -> tuple[float | None, float]:
    """Seconds of training until ours is as good; None where it never was. And the accuracy to reach."""
    tiles, triplets = prepared(images, out)
    chosen = ["--labels", labels, *(["--field", field] if field else [])]
    chosen += ["--classifier", "logistic", "--n-labels", n_labels, "--split", "blocks"]

    def score(vectors: Path) -> float:
        return float(tile2vec("probe", vectors, *chosen)["scores"][0]["accuracy"])

    asked = score(plain(tiles, triplets, out, seconds))
    print(f"published way, {seconds:.0f} s: {asked:.3f}", flush=True)
    for fraction in FRACTIONS:
        minutes = seconds / fraction / 60
        options = ["--encoder", "small", "--minutes", f"{minutes:.5f}"]
        report, vectors = trained(tiles, triplets, out, options)
        found = score(vectors)
        print(f"ours, {60 * minutes:.1f} s ({report['steps']} steps): {found:.3f}", flush=True)
        if found >= asked:
            return 60 * minutes, asked
    return None, asked


def stage(bench: Bench) -> Iterator[Row]:
    """On the project's sample."""
    seconds = 45.0 if bench.quick else 300.0
    mine, asked = reached(
        SAMPLE / "scenes", SAMPLE / "labels.tif", None, bench.folder / "sample", seconds, 300
    )
    work = f"train until a probe with 300 labels reaches {asked:.3f}"
    yield Row(work, "s", 1 / seconds, 1 / (mine or np.inf), None, "", seconds / (mine or np.inf), None)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--field")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7)
    parser.add_argument("--n-labels", type=int, default=1000)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    seconds = 60 * options.minutes
    mine, _ = reached(options.images, options.labels, options.field, options.out, seconds, options.n_labels)
    print(f"{seconds / mine:.0f} times sooner" if mine else "not reached")


if __name__ == "__main__":
    main()

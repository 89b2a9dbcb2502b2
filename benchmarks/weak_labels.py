"""What weak labels are worth: the studies of `tile2vec weak-segment` on one scene, as tables.

python benchmarks/weak_labels.py SCENE LABELS --positive CODES --out DIR [--draws 5] [--studies pixel,…]

    python benchmarks/weak_labels.py ../shared/data/landsat_gewata/gewata_L7_B1-5_7.tif \\
        ../shared/data/landsat_gewata/gewata_lulc.tif --positive 1 --out /tmp/weak

pixel  one labelled pixel in each of 20 and of 100 tiles, beside pixel classifiers on the same pixels
image  one label for each of 100 and of 300 tiles, beside classifiers of pixels that inherit it
many   1,000 single pixels, and all pixels of the same 1,000 tiles; tiles overlap, to have so many
noise  as `pixel`, with a fifth of the labels flipped
times  seconds of one training with 100 single pixels, of its predictions, and of each rival's
Each study is one command that goes on where it was stopped; tables are printed as they are done.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from command import argument_parser, tile2vec

from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.neural.device import choose
from tile2vec_cli.segmentation import teachers, weak_draws, weak_labels, weak_recipes
from tile2vec_cli.segmentation.pixel_classifiers import RIVALS, fit
from tile2vec_cli.segmentation.weak_draws import Task
from tile2vec_cli.tiling.tiles import TileSet

STUDIES: dict[str, tuple[int, list[str]]] = {  # stride of the tiles, options
    "pixel": (50, ["--supervision", "pixel", "--n-labels", "20,100"]),
    "image": (50, ["--supervision", "image", "--n-labels", "100,300", "--test-fraction", "0.2"]),
    "noise": (50, ["--supervision", "pixel", "--n-labels", "20,100", "--label-noise", "0.2"]),
    "many": (20, ["--supervision", "pixel,full", "--n-labels", "1000"]),
}


def table(report: dict[str, Any]) -> None:
    """A row for the network and each rival: means over the draws."""
    print("| labels | tiles | method | accuracy | F1 | wins by F1 |\n|---|---|---|---|---|---|")
    for study in report["curve"]:
        own = f"| {study['supervision']} | {study['n_labels']:,} |"
        rows = {"U-Net": study["test"], **study["baselines"]}
        for name, scores in rows.items():
            accuracy, f1 = (
                f"{scores[key]['mean']:.3f} ± {scores[key]['std']:.3f}" for key in ("accuracy", "f1")
            )
            wins = f"{study['wins'][name]} of {study['repeats']}" if name in study["wins"] else ""
            print(f"{own} {name} | {accuracy} | {f1} | {wins} |", flush=True)


def times(tiles_path: Path, labels_path: str, positive: str) -> None:
    """Each with the features it needs, on the test tiles of the first draw."""
    tiles, config = TileSet.open(tiles_path), WeakConfig(positive=positive)
    labels = weak_labels.read(labels_path, tiles, config)
    task = Task(tiles, labels, labels.pixels, config)
    drawn = weak_draws.sides(task, "pixel", 0)
    told = weak_draws.told(task, drawn, "pixel", 100, 0)
    runtime = choose()
    started = time.perf_counter()
    learned = weak_recipes.learn(tiles, told, "pixel", config, runtime, 0)
    trained = time.perf_counter()
    weak_draws.judge(task, learned.segmenter, drawn.test, runtime)
    print(f"| method | training, s | {len(drawn.test)} test tiles, s |\n|---|---|---|")
    print(f"| U-Net | {trained - started:.1f} | {time.perf_counter() - trained:.1f} |")
    standardise = learned.segmenter.standardise
    pixels = teachers.labelled_pixels(tiles, told.ids, told.states, standardise, np.random.default_rng(0))
    for name in RIVALS:
        started = time.perf_counter()
        fit(name, pixels.seen_by(name), pixels.states, 0)
        fitted = time.perf_counter()
        assert task.truth is not None
        weak_draws.judged(tiles, told, task.truth, drawn.test, standardise, 0, (name,))
        print(f"| {name} | {fitted - started:.1f} | {time.perf_counter() - fitted:.1f} |")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("scene")
    parser.add_argument("labels")
    parser.add_argument("--positive", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--studies", default=",".join([*STUDIES, "times"]))
    options = parser.parse_args()
    for name in options.studies.split(","):
        if name == "times":
            times(options.out / "tiles-50", options.labels, options.positive)
            continue
        stride, study = STUDIES[name]
        tiles = options.out / f"tiles-{stride}"
        tile2vec("tile", options.scene, "--out", tiles, "--stride", stride, "--min-valid", "0.5")
        common = ["--labels", options.labels, "--positive", options.positive, "--compare"]
        model = options.out / name
        report = tile2vec("weak-segment", tiles, *common, *study, "--repeats", options.draws, "--out", model)
        print(f"\n{name}, {report['seconds']:.0f} s\n")
        table(report)


if __name__ == "__main__":
    main()

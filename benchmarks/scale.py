"""Ten times the tiles: seconds and peak memory of every command on 100,000 and on 1,000,000 tiles.

    python benchmarks/scale.py FOLDER [--scenes 10,100] [--keep]

Makes scenes of 5,000 × 5,000 × 4 uint8 in FOLDER (100 MB and 10,000 tiles each, uncompressed) and runs the
pipeline on the first 10 and on all 100: 20 GB are needed. Prints a table; time a tile (a triplet, a step)
should be the same in both columns.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.csv
import rasterio
from command import argument_parser, measured
from rasterio.transform import from_origin

from tile2vec_cli.tiling.tiles import TileSet

SIDE, STEPS = 5_000, 100


def make(folder: Path, scenes: int) -> None:
    """Scenes in rows of ten, side by side. Their pixels are one scene's, rolled: drawing takes long."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    waves = np.sin(np.arange(SIDE) / 70) + np.sin(np.arange(SIDE) / 90)[:, None]
    pixels = (120 + 30 * waves + rng.integers(0, 24, (4, SIDE, SIDE), dtype=np.uint8)).astype(np.uint8)
    profile = {"driver": "GTiff", "dtype": "uint8", "width": SIDE, "height": SIDE, "count": 4}
    for number in range(scenes):
        path = folder / f"s{number:03}.tif"
        if path.exists():
            continue
        origin = (200_000 + SIDE * (number % 10), 4_400_000 - SIDE * (number // 10))
        profile |= {"crs": "EPSG:32614", "transform": from_origin(*origin, 1, 1)}
        with rasterio.open(path, "w", **profile) as target:
            target.write(np.roll(pixels, 37 * number, axis=2))


def label(tiles: Path, path: Path) -> None:
    """A table of labels that pixels decide: where the waves of the first band are high."""
    opened = TileSet.open(tiles)
    rng = np.random.default_rng(0)
    ids = np.sort(rng.choice(len(opened), min(20_000, len(opened) // 2), replace=False))
    names = opened.table()["tile_id"].take(ids)
    bright = opened.pixels(ids)[:, 0].mean((1, 2)) > 131
    classes = pyarrow.array(np.where(bright, "high", "low"))
    pyarrow.csv.write_csv(pyarrow.table({"tile_id": names, "label": classes}), path)


def commands(scenes: list[Path], folder: Path) -> Iterator[tuple[str, str, list[object]]]:
    """Name, what is counted (tiles, or the number itself), and arguments."""
    tiles, drawn, model = folder / "tiles", folder / "triplets.parquet", folder / "model"
    yield "tile", "tiles", ["tile", *scenes, "--out", tiles]
    yield "sample-triplets, 1,000,000", "1000000", [
        "sample-triplets", tiles, "--count", 1_000_000, "--out", drawn
    ]  # fmt: skip
    train = ["train", drawn, "--tiles", tiles, "--encoder", "small", "--val-fraction", 0]
    yield f"train, {STEPS} steps", str(128 * STEPS), [*train, "--steps", STEPS, "--out", model]
    vectors = folder / "vectors"
    yield "embed, int8", "tiles", ["embed", tiles, "--model", model, "--out", vectors, "--dtype", "int8"]
    probe = ["probe", vectors, "--labels", folder / "labels.csv", "--classifier", "logistic"]
    yield "probe, 1,000 labels", "tiles", [*probe, "--n-labels", 1000, "--repeats", 2]


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", default="10,100")
    parser.add_argument("--keep", action="store_true", help="leave what was made")
    options = parser.parse_args()
    sizes = [int(size) for size in options.scenes.split(",")]
    make(options.folder / "scenes", max(sizes))
    scenes = sorted((options.folder / "scenes").glob("*.tif"))
    found: dict[str, list[tuple[float, int]]] = {}
    for size in sizes:
        folder = options.folder / f"scale-{size}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, counted, arguments in commands(scenes[:size], folder):
            if name.startswith("probe"):
                label(folder / "tiles", folder / "labels.csv")
            _, seconds, peak = measured(*arguments, "--quiet")
            count = len(TileSet.open(folder / "tiles")) if counted == "tiles" else int(counted)
            found.setdefault(name, []).append((seconds / count * 1e6, peak))
            print(f"{size}: {name} {seconds:.1f} s, {peak:,} MB", file=sys.stderr, flush=True)
        if not options.keep:
            shutil.rmtree(folder)
    columns = [f"{size * (SIDE // 50) ** 2:,} tiles" for size in sizes]
    print(f"| command | {' | '.join(f'{column}: µs each, MB' for column in columns)} | ratio |")
    print("|---|" + "--:|" * (len(sizes) + 1))
    for name, rows in found.items():
        cells = " | ".join(f"{each:,.1f}, {peak:,}" for each, peak in rows)
        print(f"| {name} | {cells} | {rows[-1][0] / rows[0][0]:.2f} |")


if __name__ == "__main__":
    main()

"""Peak memory of every command at 1, 4 and 16 times the input, and the number of files it leaves.

    python benchmarks/memory.py FOLDER [--side 1000]

Makes deflated scenes of side, 2 side and 4 side pixels a side × 4 uint8, with labels, in FOLDER and runs
the pipeline on each: tiles of 50 × 50, triplets, a few steps of `small`, vectors in a folder and in one
file, a segmenter and its map. Prints a Markdown table of megabytes (ru_maxrss of the command's process).
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rasterio
from command import argument_parser, measured
from rasterio.transform import from_origin
from rasterio.windows import Window

STEPS = ("--steps", 3)


def make(folder: Path, side: int) -> None:
    """A scene of smooth fields with noise, and labels of two classes on its grid."""
    folder.mkdir(parents=True)
    profile = {
        "driver": "GTiff", "dtype": "uint8", "width": side, "height": side, "crs": "EPSG:32614",
        "transform": from_origin(500_000, 4_400_000, 1, 1), "tiled": True, "compress": "deflate",
        "blockxsize": 256, "blockysize": 256, "interleave": "pixel",
    }  # fmt: skip
    rng = np.random.default_rng(0)
    with (
        rasterio.open(folder / "scene.tif", "w", count=4, **profile) as scene,
        rasterio.open(folder / "labels.tif", "w", count=1, **profile) as labels,
    ):
        for row in range(0, side, 256):
            height = min(256, side - row)
            window = Window(0, row, side, height)
            waves = np.sin(np.arange(side) / 70) + np.sin((row + np.arange(height)) / 90)[:, None]
            noise = rng.integers(0, 24, (4, height, side))
            scene.write((120 + 30 * waves + noise).astype(np.uint8), window=window)
            labels.write((1 + (waves > 0)).astype(np.uint8), 1, window=window)


def commands(folder: Path) -> Iterator[tuple[str, list[object], Path]]:
    """Name, arguments and output of each command."""
    tiles, triplets, model = folder / "tiles", folder / "triplets.parquet", folder / "model"
    labels, segmenter = folder / "labels.tif", folder / "segmenter"
    yield "tile", ["tile", folder / "scene.tif", "--out", tiles], tiles
    yield "sample-triplets", ["sample-triplets", tiles, "--out", triplets], triplets
    train = ["train", triplets, "--tiles", tiles, "--encoder", "small", *STEPS]
    yield "train", [*train, "--out", model], model
    for name, out in (("embed, folder", "vectors"), ("embed, one file", "vectors.parquet")):
        yield name, ["embed", tiles, "--model", model, "--out", folder / out], folder / out
    probe = ["probe", folder / "vectors", "--labels", labels, "--n-labels", 100, "--repeats", 2]
    yield "probe", probe, folder / "none"
    weak = ["weak-segment", tiles, "--labels", labels, "--supervision", "pixel", "--positive", 1]
    weak += ["--recipe", "paper", "--epochs", 1, "--n-labels", 100]
    yield "weak-segment", [*weak, "--out", segmenter], segmenter
    maps = folder / "maps"
    yield "map", ["map", folder / "scene.tif", "--model", segmenter, "--out", maps], maps
    yield "check", ["check", tiles], folder / "none"


def files(path: Path) -> int:
    return sum(p.is_file() for p in path.rglob("*")) if path.is_dir() else int(path.is_file())


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=1000)
    options = parser.parse_args()
    sides = [options.side, 2 * options.side, 4 * options.side]
    rows: dict[str, list[str]] = {}
    for side in sides:
        folder = options.folder / f"memory-{side}"
        shutil.rmtree(folder, ignore_errors=True)
        make(folder, side)
        for name, arguments, out in commands(folder):
            rows.setdefault(name, []).append(f"{measured(*arguments, '--quiet')[2]:,}")
            rows.setdefault(f"{name} ", []).append(f"{files(out)}")
            print(f"{side}: {name} {rows[name][-1]} MB", file=sys.stderr, flush=True)
    print(f"| command | {' | '.join(f'{side}²' for side in sides)} | files |")
    print("|---|" + "--:|" * (len(sides) + 1))
    for name, peaks in rows.items():
        if not name.endswith(" "):
            print(f"| {name} | {' | '.join(peaks)} | {rows[f'{name} '][-1]} |")


if __name__ == "__main__":
    main()

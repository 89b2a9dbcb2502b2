"""`tile2vec tile` against reading a scene's blocks in order and writing the same bytes once.

    python benchmarks/tile.py FOLDER [--side 20000] [--scenes DIR] [--runs 3]
    python benchmarks/tile.py FOLDER --again 1000 [--than CHECKOUT]
    python benchmarks/tile.py FOLDER --chips 300 [--than CHECKOUT]

Makes a deflated scene of side × side × 4 uint8 in FOLDER (once), then alternates the two. With
--scenes, does the same for the rasters in DIR. Prints the median ratio and the peak memory.

With --again, cuts so many small scenes once, and measures what it takes to find that they are up to date:
processor time, of this version and, in turn, of the one in CHECKOUT.

With --chips, cuts so many scenes of 256 × 256 × 4 uint8, without and with a band tagged alpha, beside
reading and writing them: processor time a scene, the start of the program included.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import limits
import numpy as np
import rasterio
from command import argument_parser, measured
from rasterio.transform import from_origin
from rasterio.windows import Window

BLOCK = 512


def make_scene(path: Path, side: int) -> None:
    """Smooth fields with noise: deflate takes about a third off, as it does off imagery."""
    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 4, "width": side, "height": side,
        "crs": "EPSG:32614", "transform": from_origin(500_000, 4_400_000, 1, 1), "tiled": True,
        "blockxsize": BLOCK, "blockysize": BLOCK, "compress": "deflate", "zlevel": 1,
        "interleave": "pixel", "BIGTIFF": "YES",
    }  # fmt: skip
    rng = np.random.default_rng(0)
    with rasterio.open(path, "w", **profile) as target:
        for row in range(0, side, BLOCK):
            height = min(BLOCK, side - row)
            base = 120 + 60 * np.sin(np.arange(side) / 700 + row / 900)
            noise = rng.integers(0, 24, (4, height, side), dtype=np.uint8)
            target.write((base + noise).astype(np.uint8), window=Window(0, row, side, height))


def compare(name: str, paths: list[Path], folder: Path, runs: int) -> None:
    ratios, seconds, peaks = [], [], []
    for _ in range(runs):
        plain = limits.seconds(lambda: limits.copy(paths, folder / "copy"))
        _, ours, peak = measured("tile", *paths, "--out", folder / "tiles", "--quiet")
        shutil.rmtree(folder / "tiles")
        ratios.append(ours / plain)
        seconds.append((plain, ours))
        peaks.append(peak)
    plain, ours = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(f"| {name} | {plain:.2f} | {ours:.2f} | {statistics.median(ratios):.2f} | {max(peaks):,} |")


def again(folder: Path, count: int, than: Path | None, runs: int) -> None:
    scenes, tiles = folder / f"again_{count}", folder / f"again_{count}_tiles"
    if not tiles.exists():
        scenes.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        for number in range(count):
            profile = {"driver": "GTiff", "dtype": "uint8", "count": 2, "width": 40, "height": 40}
            place = {"crs": "EPSG:32614", "transform": from_origin(500_000 + 400 * number, 4_400_000, 10, 10)}
            with rasterio.open(scenes / f"scene_{number:05d}.tif", "w", **profile, **place) as target:
                target.write(rng.integers(1, 255, (2, 40, 40), dtype=np.uint8))
    command = [sys.executable, "-m", "tile2vec_cli", "tile", scenes, "--out", tiles, "--size", 20, "--quiet"]
    versions = {"this version": Path(__file__).resolve().parents[1], **({"than": than} if than else {})}
    seconds: dict[str, list[float]] = {name: [] for name in versions}
    for run in range(runs + 1):
        for name, checkout in versions.items():
            before = processor_seconds(resource.RUSAGE_CHILDREN)
            env = {**os.environ, "PYTHONPATH": str(checkout)}
            subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, env=env)
            if run:  # the first one cuts
                seconds[name].append(processor_seconds(resource.RUSAGE_CHILDREN) - before)
    print(f"| {count:,} scenes, up to date | processor time, s |\n|---|---:|")
    for name, found in seconds.items():
        print(f"| {name} | {statistics.median(found):.2f} |")


def make_chips(folder: Path, count: int, alpha: bool) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(1, 255, (4, 256 + count, 256), dtype=np.uint8)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 4, "width": 256, "height": 256}
    profile |= {
        "crs": "EPSG:32614",
        "compress": "deflate",
        "photometric": "RGB",
        "alpha": "YES" if alpha else "NO",
    }
    paths = [folder / f"chip_{number:05d}.tif" for number in range(count)]
    for number, path in enumerate(paths):
        place = from_origin(500_000 + 256 * (number % 40), 4_400_000 - 256 * (number // 40), 1, 1)
        with rasterio.open(path, "w", **profile, transform=place) as target:
            target.write(pixels[:, number : number + 256])
    return paths


def processor_seconds(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def chips(folder: Path, count: int, than: Path | None) -> None:
    versions = {"tile2vec tile": Path(__file__).resolve().parents[1]} | (
        {} if than is None else {"than": than}
    )
    print(f"| {count:,} scenes of 256 × 256 × 4 | processor time a scene, ms |\n|---|---:|")
    for alpha in (False, True):
        kind = "alpha tagged" if alpha else "plain"
        scenes, tiles = folder / f"chips_{count}_{alpha}", folder / "chips_tiles"
        paths = make_chips(scenes, count, alpha)
        start = processor_seconds(resource.RUSAGE_SELF)
        limits.copy(paths, folder / "copy")
        spent = processor_seconds(resource.RUSAGE_SELF) - start
        print(f"| {kind}: read and written | {1000 * spent / count:.1f} |")
        for name, checkout in versions.items():
            command = [sys.executable, "-m", "tile2vec_cli", "tile", scenes, "--out", tiles, "--quiet"]
            env = {**os.environ, "PYTHONPATH": str(checkout)}
            for state in ("cut", "up to date"):
                start = processor_seconds(resource.RUSAGE_CHILDREN)
                subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, env=env)
                spent = processor_seconds(resource.RUSAGE_CHILDREN) - start
                print(f"| {kind}: {name}, {state} | {1000 * spent / count:.1f} |")
            shutil.rmtree(tiles)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=20_000)
    parser.add_argument("--scenes", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--again", type=int)
    parser.add_argument("--chips", type=int)
    parser.add_argument("--than", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.chips:
        chips(arguments.folder, arguments.chips, arguments.than)
        return
    if arguments.again:
        again(arguments.folder, arguments.again, arguments.than, arguments.runs)
        return
    scene = arguments.folder / f"scene_{arguments.side}.tif"
    if not scene.exists():
        make_scene(scene, arguments.side)
    print("| scenes | read and write once, s | tile2vec tile, s | ratio | peak memory, MB |")
    print("|---|---:|---:|---:|---:|")
    if arguments.scenes:
        paths = sorted(arguments.scenes.glob("*.tif"))
        compare(f"{len(paths)} scenes of {arguments.scenes.name}", paths, arguments.folder, arguments.runs)
    compare(f"{arguments.side} × {arguments.side} × 4", [scene], arguments.folder, arguments.runs)


if __name__ == "__main__":
    main()

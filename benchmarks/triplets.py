"""Triplets a second, peak memory, and how far distances are from geodesics.

    python benchmarks/triplets.py [--count 1000000] [--runs 3]

Draws on made-up tile sets of 100,000 and of 1,000,000 tiles: side by side on one date, and
overlapping on seven dates, where a neighborhood holds thousands of tiles. Each case runs in a
process of its own; the best of its runs counts. Distances are compared with pyproj's Geod.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from command import argument_parser
from pyproj import Geod

from tile2vec_cli.config.pipeline import TripletConfig
from tile2vec_cli.geo.grid import ecef
from tile2vec_cli.job.resources import usable_cpus
from tile2vec_cli.tiling.shells import distance_m
from tile2vec_cli.tiling.triplets import draw

SIDE_M = 30.0
CASES = {  # tiles, dates, step from tile to tile in metres, neighbors
    "100,000 side by side": (100_000, 1, 30.0, "any"),
    "100,000 on 7 dates": (100_000, 7, 30.0, "any"),
    "100,000 on 7 dates, overlapping": (100_000, 7, 6.0, "any"),
    "1,000,000 side by side": (1_000_000, 1, 30.0, "any"),
    "1,000,000 on 7 dates, overlapping": (1_000_000, 7, 6.0, "any"),
    "… other-scene": (1_000_000, 7, 6.0, "other-scene"),
}


@dataclass(frozen=True)
class Places:
    """A tile set without pixels."""

    ecef: np.ndarray
    scene_codes: np.ndarray
    side_m: float = SIDE_M
    scenes: tuple[str, ...] = tuple("abcdefg")
    parts: tuple[()] = ()
    path: Path = Path("made up")

    def __len__(self) -> int:
        return len(self.ecef)


def places(count: int, dates: int, step_m: float) -> Places:
    side = int(np.sqrt(count / dates))
    row, col = np.divmod(np.arange(side * side), side)
    lat = 37 + row * step_m / 111_000
    lon = -120 + col * step_m / (111_320 * np.cos(np.radians(37)))
    one = np.column_stack([lon, lat])
    every = np.concatenate([one + np.array([date * 1e-5, 0]) for date in range(dates)])
    return Places(ecef(every), np.repeat(np.arange(dates, dtype=np.int32), len(one)))


def run(name: str, count: int, runs: int) -> None:
    tiles_count, dates, step_m, neighbors = CASES[name]
    tiles = places(tiles_count, dates, step_m)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        draw(tiles, TripletConfig(count=count, neighbors=neighbors), workers=usable_cpus())  # type: ignore[arg-type]
        seconds.append(time.perf_counter() - started)
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    around = dates * np.pi * (2 * SIDE_M / step_m) ** 2
    print(f"| {name} | {around:,.0f} | {min(seconds):.2f} | {count / min(seconds):,.0f} | {megabytes:,.0f} |")


def agreement() -> None:
    geod, rng = Geod(ellps="WGS84"), np.random.default_rng(0)
    print("\n| distance | worst difference from Geod |\n|---|---|")
    start = np.column_stack(
        [rng.uniform(-180, 180, 200_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 200_000)))]
    )
    for low, high in ((0, 1e3), (1e3, 1e4), (1e4, 1e5), (1e5, 1e6), (1e6, 1e7), (1e7, 2.0e7)):
        away = rng.uniform(low, high, len(start))
        lon, lat, _ = geod.fwd(*start.T, rng.uniform(-180, 180, len(start)), away)
        true = np.asarray(geod.inv(*start.T, lon, lat)[2])
        found = distance_m(ecef(start), ecef(np.column_stack([lon, lat])))
        worst, share = np.abs(found - true).max(), np.abs(found / true - 1).max()
        text = f"{worst * 1e6:.2g} µm" if high <= 1e4 else f"{share:.2g} of the distance"
        print(f"| {low / 1000:,.0f}–{high / 1000:,.0f} km | {text} |")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--case", choices=list(CASES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        run(options.case, options.count, options.runs)
        return
    print(f"{options.count:,} triplets; neighborhood 60 m; memory beyond that of the tile set\n")
    print("| tiles | neighbors a tile | seconds | triplets/s | MB |\n|---|--:|--:|--:|--:|", flush=True)
    for name in CASES:
        command = [sys.executable, __file__, "--case", name, "--count", str(options.count)]
        subprocess.run([*command, "--runs", str(options.runs)], check=True)
    agreement()


if __name__ == "__main__":
    main()

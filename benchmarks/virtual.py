"""`tile` and `embed` on a tile set with pixels and on one without (`tile --virtual`), in alternation.

    python benchmarks/virtual.py FOLDER [--side 6000] [--encoder small] [--runs 5]

Makes a deflated scene of side × side × 4 uint8 in FOLDER (once) and cuts it both ways into tiles of
50 pixels. Every run embeds both sets with the same untrained encoder, the one with pixels from a
warm cache, and compares the bytes. Prints medians, and the median of the runs' ratios.
"""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

from command import argument_parser, measured
from embed import make_model
from tile import make_scene

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.neural import device
from tile2vec_cli.tiling.tiles import TileSet

KINDS = {"in the tile set": [], "in the scene": ["--virtual"]}


def megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=6000)
    parser.add_argument("--encoder", choices=list(ENCODERS), default="small")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    scene = options.folder / f"scene_{options.side}.tif"
    if not scene.exists():
        make_scene(scene, options.side)
    sets = {kind: options.folder / f"tiles-{number}" for number, kind in enumerate(KINDS)}
    cut: dict[str, list[float]] = {kind: [] for kind in KINDS}
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    peaks: dict[str, list[int]] = {kind: [] for kind in KINDS}
    model = None
    for _ in range(options.runs):
        found = []
        for kind, flags in KINDS.items():
            shutil.rmtree(sets[kind], ignore_errors=True)
            cut[kind].append(measured("tile", scene, "--out", sets[kind], *flags, "--quiet")[1])
        model = model or make_model(options.folder, TileSet.open(sets["in the scene"]), options.encoder)
        for kind in KINDS:
            out = options.folder / "vectors.parquet"
            out.unlink(missing_ok=True)
            report, _, peak = measured("embed", sets[kind], "--model", model, "--out", out, "--quiet")
            rates[kind].append(report["tiles_per_second"])
            peaks[kind].append(peak)
            found.append(out.read_bytes())
        if found[0] != found[1]:
            raise SystemExit("the vectors differ")
    runtime, tiles = device.choose(), len(TileSet.open(sets["in the scene"]))
    where = f"{options.encoder}, {runtime.name} {runtime.precision}"
    print(f"{where}: {tiles:,} tiles of a deflated scene of {scene.stat().st_size / 1e6:,.0f} MB\n")
    print("| pixels lie | tile, s | tile set, MB | embed, tiles/s | embed, peak MB |\n|---|--:|--:|--:|--:|")
    for kind, folder in sets.items():
        seconds, rate, peak = (statistics.median(column[kind]) for column in (cut, rates, peaks))
        print(f"| {kind} | {seconds:.2f} | {megabytes(folder):,.1f} | {rate:,.0f} | {peak:,.0f} |")
    pixels, virtual = KINDS
    ratio = {
        name: statistics.median(b / a for a, b in zip(column[pixels], column[virtual], strict=True))
        for name, column in (("cut", cut), ("rate", rates))
    }
    print(f"| ratio | {ratio['cut']:.2f} | | {ratio['rate']:.2f} | |")


if __name__ == "__main__":
    main()

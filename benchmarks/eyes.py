"""What it takes to look at a million embeddings: `similar` and `preview`, float32 and int8.

    python benchmarks/eyes.py FOLDER [--tiles 1000000] [--dim 128] [--queries 20]

Makes embeddings of made-up scenes of 100 × 100 tiles in FOLDER with the writer of `embed`: vectors that
drift over the ground, in few directions more than in others, with noise of each tile's own. Loads them,
asks for the 20 tiles nearest to some of them (median and worst time), and compares the answers from int8
with those from float32; then runs `preview` in a process of its own. Prints Markdown.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from command import argument_parser, measured

from tile2vec_cli.embedding import embedding_files
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.geo import geoparquet
from tile2vec_cli.geo.grid import footprints
from tile2vec_cli.geo.places import to_lonlat
from tile2vec_cli.views import similarity

SIDE, SIZE, PIXEL_M = 100, 50, 1.0  # tiles a scene's side, pixels a tile's side
TOP = 20
KINDS = ("float32", "int8")


def index(scene: int, across: int) -> pa.Table:
    """The index of a scene of the mosaic, `across` scenes wide."""
    row, col = (axis.ravel() * SIZE for axis in np.indices((SIDE, SIDE)))
    south, east = divmod(scene, across)
    step = SIDE * SIZE * PIXEL_M
    transform = (PIXEL_M, 0.0, 400_000 + east * step, 0.0, -PIXEL_M, 4_400_000 - south * step)
    names = [f"scene{scene:04}"] * len(row)
    table = pa.table(
        {
            "tile_id": [f"{n}/{r}/{c}" for n, r, c in zip(names, row, col, strict=True)],
            "scene": names,
            "row": row,
            "col": col,
            "datetime": pa.nulls(len(row), pa.timestamp("ms", "UTC")),
            "valid_share": np.ones(len(row), np.float32),
        }
    )
    corners = to_lonlat("EPSG:32614", footprints(transform, row, col, SIZE), "made up")
    return geoparquet.with_footprints(table, corners)


def vectors(scene: int, across: int, dim: int) -> np.ndarray:
    """(SIDE², dim): as those of a trained encoder are, of one size in every dimension, but with nine tenths
    of the variance in six directions. Half of it drifts over the ground, half is each tile's own."""
    random, all_scenes = np.random.default_rng([0, scene]), np.random.default_rng(1)
    south, east = divmod(scene, across)
    y, x = (axis.ravel() for axis in np.indices((SIDE, SIDE)))
    waves = all_scenes.normal(0, 0.05, (2, dim))
    phase = np.outer(x + east * SIDE, waves[0]) + np.outer(y + south * SIDE, waves[1])
    drift = np.sin(phase + all_scenes.uniform(0, 6, dim)) * np.sqrt(2)
    strength = np.exp(-0.2 * np.arange(dim)) + 0.01
    turn, _ = np.linalg.qr(all_scenes.normal(size=(dim, dim)))
    found = (drift + random.normal(0, 1, drift.shape)) * strength
    return (np.sqrt(dim / (strength**2).sum()) * found @ turn).astype(np.float32)


def make(folder: Path, kind: str, scenes: int, dim: int) -> Path:
    path = folder / f"{kind}-{scenes}x{dim}.parquet"
    if path.exists():
        return path
    across = round(scenes**0.5)
    every = [vectors(scene, across, dim) for scene in range(scenes)]
    largest = max(float(np.abs(one).max()) for one in every)
    scale = embedding_files.int8_scale(largest) if kind == "int8" else None
    header = {
        "model": "made up",
        "architecture": {"encoder": "none", "dim": dim},
        "settings": {"dtype": kind},
        "parts": [],
    }
    first = embedding_files.rows(index(0, across), every[0], kind, scale)
    with geoparquet.writer(path, first.schema, embedding_files.footer(header, {}, scale)) as append:
        append(first)
        for scene in range(1, scenes):
            append(embedding_files.rows(index(scene, across), every[scene], kind, scale))
    return path


def asked(loaded: Embeddings, rows: list[int]) -> tuple[list[set[object]], list[float]]:
    """The ids found for each of some rows, and the seconds it took."""
    found, seconds = [], []
    for row, tile_id in zip(rows, loaded.ids(np.array(rows)), strict=True):
        example = {tile_id: loaded.vectors[row].astype(np.float64)}
        started = time.perf_counter()
        near = similarity.rank(loaded, example, {}, TOP).near
        seconds.append(time.perf_counter() - started)
        found.append({one.tile_id for one in near})
    return found, seconds


def previewed(path: Path, folder: Path) -> tuple[float, int]:
    """Seconds and peak megabytes of a COG of it, Python's start included."""
    out = folder / "preview.tif"
    for old in folder.glob("preview*"):
        old.unlink()
    _, seconds, peak = measured("preview", path, "--out", out, "--quiet")
    return seconds, peak


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiles", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--queries", type=int, default=20)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    scenes = max(1, options.tiles // SIDE**2)
    paths = {kind: make(options.folder, kind, scenes, options.dim) for kind in KINDS}
    random = np.random.default_rng(2)
    chosen = sorted(random.choice(scenes * SIDE**2, options.queries, replace=False).tolist())
    found: dict[str, list[set[object]]] = {}
    print(f"{scenes * SIDE**2:,} × {options.dim}, {options.queries} queries, top {TOP}\n")
    print("| vectors | file MB | loaded in s | vectors MB | query s, worst | recall | preview s | MB |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for kind, path in paths.items():
        started = time.perf_counter()
        loaded = Embeddings.open(path)
        size = loaded.vectors.nbytes / 1e6
        loading = time.perf_counter() - started
        found[kind], seconds = asked(loaded, chosen)
        del loaded
        recall = np.mean([len(a & b) / TOP for a, b in zip(found[kind], found["float32"], strict=True)])
        wall, peak = previewed(path, options.folder)
        print(
            f"| {kind} | {path.stat().st_size / 1e6:,.0f} | {loading:.1f} | {size:,.0f} "
            f"| {np.median(seconds):.3f}, {max(seconds):.3f} | {recall:.4f} | {wall:.1f} | {peak:,} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""What it takes to look at a million embeddings: `similar` and `preview`, float32 and int8.

    python benchmarks/eyes.py FOLDER [--tiles 1000000] [--dim 128] [--queries 20]

Makes embeddings of made-up scenes of 100 × 100 tiles in FOLDER with the writer of `embed`: vectors that
drift over the ground, in few directions more than in others, with noise of each tile's own. Loads them,
asks for the 20 tiles nearest to some of them, and compares the answers from int8 with those from float32;
then runs `preview` in a process of its own. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from tile2vec_cli import embedding_files, examples, geoparquet, similarity
from tile2vec_cli.grid import footprints
from tile2vec_cli.places import to_lonlat

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
    random = np.random.default_rng([0, scene])
    south, east = divmod(scene, across)
    y, x = (axis.ravel() for axis in np.indices((SIDE, SIDE)))
    y, x = y + south * SIDE, x + east * SIDE
    fields = np.random.default_rng(1)
    waves = fields.normal(0, 0.05, (2, dim)) * np.linspace(0.1, 1, dim)
    drift = np.sin(np.outer(x, waves[0]) + np.outer(y, waves[1]) + fields.uniform(0, 6, dim))
    strength = np.exp(-np.arange(dim) / (dim / 4))
    return (10 * strength * (drift + random.normal(0, 0.5, (len(x), dim)))).astype(np.float32)


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiles", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--queries", type=int, default=20)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    scenes = max(1, options.tiles // SIDE**2)
    for kind in KINDS:
        print(make(options.folder, kind, scenes, options.dim))


if __name__ == "__main__":
    main()

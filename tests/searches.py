"""Embeddings of two scenes and their tiles, and a search by brute force, for the tests of `similar`."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
from conftest import Run
from embedded import truth, write
from landscapes import scene

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

DIM = 6


SIZES = {"texture": 4, "place": 2}


def make(folder: Path) -> Path:
    """Two scenes of 256 tiles side by side, and their embeddings in every form."""
    scenes = [scene(folder / "scenes" / f"{name}.tif", seed=seed) for seed, name in enumerate("ab")]
    cutting.cut([str(path) for path in scenes], folder / "tiles", TileConfig(size=8))
    random = np.random.default_rng(0)
    parts = TileSet.open(folder / "tiles").parts
    for number, part in enumerate(parts):
        vectors = random.normal(0, 3 + number, (part.count, DIM))
        for kind in ("float32", "float16", "int8"):
            write(folder / kind / f"{part.name}.parquet", part, vectors, kind)
            write(folder / f"{kind}-parts" / f"{part.name}.parquet", part, vectors, kind, sizes=SIZES)
    ids, vectors, shapes = truth(folder / "float32")
    theirs = geopandas.GeoDataFrame({"embeddings": list(vectors)}, geometry=list(shapes), crs="OGC:CRS84")
    theirs.to_crs("EPSG:32633").to_parquet(folder / "theirs.parquet")
    (folder / "ids.txt").write_text(f"\n{ids[3]}\n{ids[7]}\n\n")
    return folder


def brute(
    ids: list[str],
    vectors: np.ndarray,
    to: list[str],
    without: tuple[str, ...] | list[str] = (),
    top: int = 20,
) -> list[tuple[str, float]]:
    """One loop over tiles, one over examples."""
    at = {name: row for row, name in enumerate(ids)}

    def nearest(row: int, names: tuple[str, ...] | list[str]) -> float:
        return min((float(np.sqrt(sum((vectors[row] - vectors[at[n]]) ** 2))) for n in names), default=np.inf)

    rows = [
        (nearest(row, to), name)
        for row, name in enumerate(ids)
        if name not in {*to, *without} and nearest(row, to) <= nearest(row, without)
    ]
    return [(name, distance) for distance, name in sorted(rows)[:top]]


def rows(run: Run) -> list[tuple[str, float]]:
    assert run.code == 0, run.err
    found = run.report["similar"]
    assert [row["rank"] for row in found] == list(range(1, len(found) + 1))
    return [(row["tile_id"], row["distance"]) for row in found]


def same(found: list[tuple[str, float]], wanted: list[tuple[str, float]]) -> None:
    assert [name for name, _ in found] == [name for name, _ in wanted]
    assert np.allclose([d for _, d in found], [d for _, d in wanted], rtol=1e-6)

"""Embeddings of ours with made-up vectors, and the command line in this process, for the tests of what reads
them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
from conftest import Run

from tile2vec_cli import cli
from tile2vec_cli.embedding import embedding_files
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.geo import geoparquet
from tile2vec_cli.job import interrupts
from tile2vec_cli.tiling.tile_files import Part

Tool = Callable[..., Run]
"""A fixture that runs one command, as `call` does."""


def write(
    path: Path,
    part: Part,
    vectors: np.ndarray,
    kind: str = "float32",
    model: str = "m",
    sizes: dict[str, int] | None = None,
) -> None:
    """A file of the tiles of one part; vectors (N, D) in the part's order, with parts of these sizes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = embedding_files.int8_scale(float(np.abs(vectors).max())) if kind == "int8" else None
    header = {
        "model": model,
        "architecture": {"encoder": "small", "dim": vectors.shape[1]},
        "settings": {"dtype": kind},
        "parts": [],
        **({embedding_files.PART_SIZES: sizes} if sizes else {}),
    }
    table = embedding_files.rows(part.index(), vectors.astype(np.float32), kind, scale)
    geoparquet.write(path, table, embedding_files.footer(header, {}, scale))


def truth(folder: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """ids, float64 vectors and footprints of a folder of ours, without the code under test."""
    frames = [pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
    scales = []
    for path in sorted(folder.glob("*.parquet")):
        scales.append(json.loads(geoparquet.read_metadata(path)["tile2vec"])["scale"])
    vectors = [
        np.stack(frame["embedding"].to_list()).astype(np.float64)
        * (1.0 if scale is None else np.float64(scale))
        for frame, scale in zip(frames, scales, strict=True)
    ]
    joined = pd.concat(frames)
    return joined["tile_id"].to_list(), np.concatenate(vectors), shapely.from_wkb(joined["geometry"])


def decoded(path: Path) -> None:
    """Errors in what files hold are found when they are read."""
    assert Embeddings.open(path).rows


def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, *arguments: object
) -> Run:
    """Run the command line in this process."""
    monkeypatch.setattr(interrupts, "install", lambda: None)
    monkeypatch.setattr(sys, "argv", ["tile2vec", command, *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = capsys.readouterr()
    return Run(int(stop.value.code or 0), said.out, said.err)

"""What the tests of `stac` put into catalogs: a map, models and embeddings that nothing was trained for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import rasterio
from conftest import SceneWriter

from tile2vec_cli.embedding import embedding_files
from tile2vec_cli.geo import geoparquet

LAYOUT = {"layout_type": "regular_grid", "chip_size": [10, 10], "stride": [10, 10]}


def write_map(write_scene: SceneWriter) -> Path:
    """A map as `map` writes one, but for the pixels."""
    path = write_scene("maps/farm_2021-05-18.tif", np.zeros((1, 30, 40), np.uint8), nodata=255)
    with rasterio.open(path, "r+") as file:
        file.update_tags(TILE2VEC_CLASS_0="other", TILE2VEC_CLASS_1="Corn & soy")
        file.write_colormap(1, {0: (222, 222, 214, 255), 1: (0, 114, 178, 255)})
    return path


def write_model(folder: Path, kind: str = "encoder") -> Path:
    """A model folder whose weights are of no use."""
    import torch

    from tile2vec_cli.neural import models

    own: dict[str, Any] = {
        "encoder": {"encoder": "small", "bands": 2, "dim": 8},
        "segmenter": {"network": "unet"},
    }
    folder.mkdir()
    described = models.Description(
        kind=kind,
        architecture=own[kind],
        bands=(1, 2),
        dtype="uint8",
        size=10,
        normalisation={"mean": [0.0, 0.0], "std": [1.0, 1.0]},
        settings={},
        provenance={"class": "cropland"},
        band_names=("red", None),
    )
    models.write(folder, described, {"w": torch.zeros(2)}, [])
    return folder


def write_embeddings(path: Path, days: tuple[str | None, ...], model: str = "m", lon: float = 8.0) -> Path:
    """One tile a day, from west to east, as int8."""
    west = lon + np.arange(len(days)) / 10
    west[west >= 180] -= 360
    corners = np.stack([west, west + 0.1, west + 0.1, west, *[np.full(len(days), y) for y in (1, 1, 2, 2)]])
    dates = [day and datetime.fromisoformat(day).replace(tzinfo=UTC) for day in days]
    index = {
        "tile_id": [f"s/0/{at}" for at in range(len(days))],
        "scene": ["s"] * len(days),
        **({"datetime": pa.array(dates, pa.timestamp("ms", "UTC"))} if any(days) else {}),
    }
    table = geoparquet.with_footprints(pa.table(index), corners.reshape(2, 4, -1).T)
    header = {
        "model": model,
        "architecture": {"encoder": "small", "dim": 4},
        "settings": {"dtype": "int8"},
        "parts": [{"name": path.stem, "fingerprint": "f"}],
    }
    vectors = np.random.default_rng(0).normal(size=(len(days), 4)).astype(np.float32)
    rows = embedding_files.rows(table, vectors, "int8", 0.1)
    path.parent.mkdir(exist_ok=True)
    geoparquet.write(path, rows, embedding_files.footer(header, LAYOUT, 0.1))
    return path


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def hrefs(document: dict[str, Any]) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in document["links"]}

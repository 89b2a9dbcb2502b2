"""Outputs of every kind, and what makes them strange."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fields
import pyarrow.parquet as pq
import pytest
import torch
from projects import write_model

from tile2vec_cli.config.pipeline import EmbedConfig, TripletConfig
from tile2vec_cli.embedding.inference import embed
from tile2vec_cli.errors import DataError
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.segmentation import segmenters
from tile2vec_cli.segmentation.unet import Segmenter, UNet
from tile2vec_cli.tiling import triplets

CPU = torch.device("cpu")


def make(folder: Path) -> Path:
    """A scene, its tiles, triplets, an encoder, embeddings and a segmenter."""
    fields.make(folder, side=64)
    tiles = fields.tile_set(folder)
    config = TripletConfig(count=50, neighborhood_m=700)
    triplets.save(folder / "triplets.parquet", triplets.draw(tiles, config))
    write_model(folder / "encoder", dim=4, mean=1050, std=150, dtype="int16", size=fields.SIDE)
    for name in ("vectors.parquet", "vectors"):
        embed(folder / "tiles", folder / "encoder", folder / name, EmbedConfig(device="cpu"))
    segmenter = Segmenter(Standardise([1050.0] * 3, [150.0] * 3), [UNet(3, width=4, levels=2)])
    provenance = {"resolution_m": 30.0, "tile_settings": tiles.settings}
    (folder / "segmenter").mkdir()
    segmenters.write(
        folder / "segmenter",
        segmenters.described(segmenter, tiles, {}, provenance, {}),
        segmenter.eval(),
        [],
    )
    return folder


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def edit_footer(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    table = pq.read_table(path)
    metadata = dict(pq.read_metadata(path).metadata)
    found = json.loads(metadata[b"tile2vec"])
    change(found)
    pq.write_table(table.replace_schema_metadata({**metadata, b"tile2vec": json.dumps(found).encode()}), path)


def refuses(what: Callable[[], object], *words: str) -> None:
    with pytest.raises(DataError) as caught:
        what()
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message

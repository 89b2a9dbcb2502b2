"""A segmenter that looks about but has learned nothing, and the maps that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fields
import numpy as np
import rasterio
import rasterio.shutil
import torch

from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.segmentation import mapping, segmenters
from tile2vec_cli.segmentation.unet import Segmenter, UNet

SMALL = MapConfig(probability=True, window=64, device="cpu", precision="fp32")


def write_model(land: Path, path: Path, seed: int) -> Segmenter:
    tiles = fields.tile_set(land)
    torch.manual_seed(seed)
    standardise = Standardise([1050.0] * 3, [150.0] * 3)
    segmenter = Segmenter(standardise, [UNet(3, width=4, levels=3, pixel_path=True)], threshold=0.5)
    with torch.no_grad():
        segmenter.unets[0].head.weight *= 20  # answers that differ from pixel to pixel
    provenance = {"resolution_m": 30.0, "tile_settings": tiles.settings, "class": "crop"}
    model = segmenters.described(segmenter, tiles, {}, provenance, {})
    path.mkdir()
    segmenters.write(path, model, segmenter.eval(), [])
    return segmenter.eval()


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return np.asarray(source.read(1))


def run(scenes: list[Path], model: Path, out: Path, config: MapConfig = SMALL, **options: Any) -> Any:
    return mapping.run([str(scene) for scene in scenes], model, out, config, **options)

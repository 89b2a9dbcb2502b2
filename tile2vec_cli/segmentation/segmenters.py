"""A segmenter applied to tiles, judged against known pixels, kept in a model folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.neural import models
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.neural.models import Description
from tile2vec_cli.segmentation.unet import Segmenter, UNet
from tile2vec_cli.tiling.tiles import TileSet

KIND = "segmenter"
_BATCH = 64  # tiles at a time

Probabilities = NDArray[np.float32]


@dataclass
class Counts:
    """How many pixels were told right and wrong; more are added batch by batch."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    def add(self, predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> None:
        self.true_positive += int((predicted & truth).sum())
        self.false_positive += int((predicted & ~truth).sum())
        self.false_negative += int((~predicted & truth).sum())
        self.true_negative += int((~predicted & ~truth).sum())

    def scores(self) -> dict[str, float]:
        """accuracy, f1, precision, recall, iou; a share of nothing is 0."""
        hit, false, missed = self.true_positive, self.false_positive, self.false_negative
        total = hit + false + missed + self.true_negative
        return {
            "accuracy": _share(hit + self.true_negative, total),
            "f1": _share(2 * hit, 2 * hit + false + missed),
            "precision": _share(hit, hit + false),
            "recall": _share(hit, hit + missed),
            "iou": _share(hit, hit + false + missed),
        }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def probabilities(
    segmenter: Segmenter, tiles: TileSet, ids: Ints, runtime: Runtime
) -> Iterator[tuple[range, Probabilities]]:
    """Rows of `ids` and the probabilities (B, S, S) of these tiles' pixels, some tiles at a time."""
    for start in range(0, len(ids), _BATCH):
        chunk = ids[start : start + _BATCH]
        yield (
            range(start, start + len(chunk)),
            probability(segmenter, tiles.pixels(chunk), tiles.valid(chunk), runtime),
        )


def probability(
    segmenter: Segmenter, pixels: NDArray[Any], valid: NDArray[np.bool_], runtime: Runtime
) -> Probabilities:
    """(B, H, W) probabilities of raw pixels (B, C, H, W), of which `valid` (B, H, W) are known."""
    with torch.inference_mode(), runtime.autocast():
        raw = torch.from_numpy(pixels.astype(np.float32)).to(runtime.device)
        logits = segmenter(raw, torch.from_numpy(valid).to(runtime.device))
    return np.asarray(logits.float().sigmoid().cpu().numpy())


def write(folder: Path, model: Description, segmenter: Segmenter, metrics: list[dict[str, Any]]) -> None:
    models.write(folder, model, segmenter.state_dict(), metrics)


def described(
    segmenter: Segmenter,
    tiles: TileSet,
    settings: dict[str, Any],
    provenance: dict[str, Any],
    scores: dict[str, Any],
) -> Description:
    """What model.json says of a segmenter trained on these tiles."""
    standardise = segmenter.standardise
    return Description(
        kind=KIND,
        architecture={
            "network": "unet",
            "bands": len(tiles.bands),
            "members": [member.shape for member in segmenter.unets],
        },
        bands=tiles.bands,
        band_names=tiles.band_names,
        dtype=str(tiles.dtype),
        scaled=tiles.is_scaled,
        scaling=tiles.scaling,
        size=tiles.size,
        normalisation={
            "mean": standardise.mean.flatten().tolist(),
            "std": standardise.std.flatten().tolist(),
        },
        settings=settings,
        provenance=provenance,
        scores=scores,
    )


def load(path: Path, device: torch.device) -> tuple[Segmenter, Description]:
    """The segmenter of a model folder, in evaluation mode on `device`, and what model.json says.

    Raises InputError and DataError.
    """
    model = models.describe(path)
    models.require_kind(path, model.kind, KIND)
    segmenter = _build(path, model)
    models.load_weights(path / models.WEIGHTS, segmenter)
    return segmenter.eval().to(device), model


def origin(path: Path, model: Description) -> tuple[float, TileConfig]:
    """The resolution in metres of the scenes that a segmenter was trained on, and how they were cut.

    Raises DataError where model.json does not tell.
    """
    try:
        resolution_m, found = float(model.provenance["resolution_m"]), model.provenance["tile_settings"]
        bands, nodata = found["bands"], found["nodata"]
        config = TileConfig(
            bands=None if bands is None else tuple(map(int, bands)),
            alpha=found["alpha"],
            nodata=None if nodata is None else float(nodata),
            scaled=model.scaled,
        )
        if not 0 < resolution_m < math.inf:
            raise ValueError(resolution_m)
    except (KeyError, TypeError, ValueError, OverflowError, UsageError) as error:
        raise DataError(
            f"{path / models.DESCRIPTION}: does not tell how the scenes of its training were read; "
            "a model of `tile2vec weak-segment` is needed. Train it again."
        ) from error
    return resolution_m, config


def _build(path: Path, model: Description) -> Segmenter:
    """The segmenter that model.json describes, without memory for its weights."""
    try:
        bands = int(model.architecture["bands"])
        shapes = [{**shape} for shape in model.architecture["members"]]
        if model.architecture["network"] != "unet" or not 1 <= bands <= 2**12 or not 1 <= len(shapes) <= 64:
            raise ValueError(f"{bands} bands, {len(shapes)} members")
        with torch.device("meta"):
            members = [UNet(bands, **_checked(shape)) for shape in shapes]
            return Segmenter(Standardise([0.0] * bands, [1.0] * bands), members)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path / models.DESCRIPTION}: its architecture is unknown: {error}; "
            "a model of `tile2vec weak-segment` is needed. Train it again."
        ) from error


def _checked(shape: dict[str, Any]) -> dict[str, Any]:
    width, levels, pixel_path = shape.pop("width"), shape.pop("levels"), shape.pop("pixel_path")
    if shape or type(width) is not int or type(levels) is not int or type(pixel_path) is not bool:
        raise ValueError(f"a member of {width}, {levels}, {pixel_path}, {shape}")
    if not 1 <= width <= 4096 or not 1 <= levels <= 8:
        raise ValueError(f"width {width}, {levels} levels")
    return {"width": width, "levels": levels, "pixel_path": pixel_path}

"""Scores against scikit-learn's, and models that come back as they were, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import fields
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn import metrics

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.segmentation import segmenters
from tile2vec_cli.segmentation.segmenters import Counts
from tile2vec_cli.segmentation.unet import Segmenter, UNet


def test_scores_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.random((2, 500)) > 0.6
    counts = Counts()
    for part in range(5):
        counts.add(predicted[part::5], truth[part::5])
    found = counts.scores()
    for name, score in (
        ("accuracy", metrics.accuracy_score),
        ("f1", metrics.f1_score),
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("iou", metrics.jaccard_score),
    ):
        assert found[name] == pytest.approx(score(truth, predicted), abs=1e-6)


def test_a_share_of_nothing_is_0() -> None:
    counts = Counts()
    counts.add(np.zeros(3, bool), np.zeros(3, bool))
    assert counts.scores() == {"accuracy": 1.0, "f1": 0.0, "precision": 0.0, "recall": 0.0, "iou": 0.0}


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, Segmenter]:
    """A model folder and the segmenter written to it."""
    fields.make(tmp_path)
    tiles = fields.tile_set(tmp_path)
    standardise = Standardise([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    members = [UNet(3, width=4, levels=2, pixel_path=True, drop=0.2), UNet(3, width=2, levels=3)]
    segmenter = Segmenter(standardise, members, threshold=0.4).eval()
    model = segmenters.described(segmenter, tiles, {}, {"resolution_m": 30.0}, {})
    path = tmp_path / "model"
    path.mkdir()
    segmenters.write(path, model, segmenter, [{"step": 1, "loss": 0.5}])
    return path, segmenter


def test_a_model_comes_back_as_it_was(folder: tuple[Path, Segmenter]) -> None:
    path, segmenter = folder
    found, model = segmenters.load(path, torch.device("cpu"))
    assert model.kind == "segmenter"
    assert model.bands == (1, 2, 3) and model.dtype == "int16" and model.size == fields.SIDE
    assert model.normalisation == {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}
    pixels, valid = torch.randn(2, 3, 20, 20), torch.rand(2, 20, 20) > 0.1
    assert torch.equal(found(pixels, valid), segmenter(pixels, valid))
    assert float(found.threshold) == pytest.approx(0.4)


@pytest.mark.parametrize(
    "change",
    [
        {"network": "resnet"},
        {"bands": 4},
        {"bands": "three"},
        {"members": []},
        {"members": [{"width": 4, "levels": 2}]},
        {"members": [{"width": 10**9, "levels": 2, "pixel_path": True}]},
        {"members": [{"width": 4, "levels": 2, "pixel_path": True, "drop": 3}]},
        {"members": [3]},
        {"members": [{"width": 8, "levels": 2, "pixel_path": True}]},
    ],
)
def test_another_architecture_is_refused(folder: tuple[Path, Segmenter], change: dict[str, object]) -> None:
    path, _ = folder
    description = json.loads((path / "model.json").read_text())
    description["architecture"] |= change
    (path / "model.json").write_text(json.dumps(description))
    with pytest.raises(DataError, match=r"model\.(json|safetensors)"):
        segmenters.load(path, torch.device("cpu"))


def test_other_models_and_no_models_are_refused(folder: tuple[Path, Segmenter], tmp_path: Path) -> None:
    path, _ = folder
    weights = load_file(path / "model.safetensors")
    save_file(weights | {"extra": torch.zeros(1)}, path / "model.safetensors")
    with pytest.raises(DataError, match="extra"):
        segmenters.load(path, torch.device("cpu"))
    description = json.loads((path / "model.json").read_text())
    (path / "model.json").write_text(json.dumps(description | {"kind": "encoder"}))
    with pytest.raises(DataError, match="weak-segment"):
        segmenters.load(path, torch.device("cpu"))
    with pytest.raises(InputError):
        segmenters.load(tmp_path / "nowhere", torch.device("cpu"))

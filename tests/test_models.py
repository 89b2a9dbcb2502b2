"""The model folder: what is written is read back, and what is not ours is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from encoded import MODEL, network
from safetensors.torch import load_file, save_file

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.neural import models

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    models.write(path, MODEL, network().state_dict(), [{"epoch": 1, "val_loss": 1.25}])
    return path


def edit(folder: Path, **changes: Any) -> None:
    path = folder / models.DESCRIPTION
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_encoder_comes_back_as_it_was(folder: Path) -> None:
    encoder, model = models.load_encoder(folder, CPU)
    assert model == MODEL
    assert not encoder.training
    pixels = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(encoder(pixels), network().eval()(pixels))
    assert models.metrics(folder) == [{"epoch": 1, "val_loss": 1.25}]


def test_the_folder_can_be_read_by_others(folder: Path) -> None:
    modes = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert len(modes) == 1
    assert {path.name for path in folder.iterdir()} == {"model.json", "model.safetensors", "metrics.jsonl"}


def test_the_fingerprint_is_of_the_weights(folder: Path) -> None:
    before = models.fingerprint(folder)
    edit(folder, scores={})
    assert models.fingerprint(folder) == before
    weights = load_file(folder / models.WEIGHTS)
    weights["columns.0.stem.weight"][0, 0, 0, 0] += 1
    save_file(weights, folder / models.WEIGHTS)
    assert models.fingerprint(folder) != before


def test_no_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        models.load_encoder(tmp_path / "none", CPU)
    with pytest.raises(DataError, match=r"holds no model\.json"):
        models.load_encoder(tmp_path, CPU)


def test_another_kind_is_refused(folder: Path) -> None:
    edit(folder, kind="segmenter")
    with pytest.raises(DataError, match="its kind is 'segmenter'"):
        models.load_encoder(folder, CPU)


@pytest.mark.parametrize(
    "changes",
    [
        {"bands": "all"},
        {"bands": [1, "2"]},
        {"size": True},
        {"architecture": {"encoder": "large", "bands": 3, "dim": 16}},
        {"architecture": {"encoder": "small", "bands": 3, "dim": 10**12}},
        {"architecture": {"encoder": "small", "bands": -1, "dim": 16}},
        {"architecture": {"encoder": "small", "bands": 3}},
        {"architecture": {"encoder": ["small"], "bands": 3, "dim": 16}},
    ],
)
def test_a_description_that_makes_no_sense_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    edit(folder, **changes)
    with pytest.raises(DataError, match=r"model\.json: "):
        models.load_encoder(folder, CPU)


def test_a_missing_key_is_named(folder: Path) -> None:
    found = json.loads((folder / models.DESCRIPTION).read_text())
    del found["normalisation"]
    (folder / models.DESCRIPTION).write_text(json.dumps(found))
    with pytest.raises(DataError, match="normalisation"):
        models.load_encoder(folder, CPU)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    edit(folder, architecture={"encoder": "small", "bands": 3, "dim": 32})
    with pytest.raises(DataError, match=r"model\.safetensors: tensor columns\.0\.stages\.3"):
        models.load_encoder(folder, CPU)


def test_a_vast_architecture_takes_no_memory(folder: Path) -> None:
    edit(folder, architecture={"encoder": "small", "bands": 3, "dim": 2**20})  # 40 TB of weights
    with pytest.raises(DataError, match="tensor columns"):
        models.load_encoder(folder, CPU)


def test_tensors_missing_added_or_of_another_type_are_named(folder: Path) -> None:
    weights = load_file(folder / models.WEIGHTS)
    save_file({**weights, "more": torch.zeros(2)}, folder / models.WEIGHTS)
    with pytest.raises(DataError, match="tensor more is not part of the network"):
        models.load_encoder(folder, CPU)
    save_file(
        {name: t for name, t in weights.items() if name != "columns.0.stem.weight"}, folder / models.WEIGHTS
    )
    with pytest.raises(DataError, match=r"tensor columns\.0\.stem\.weight is missing"):
        models.load_encoder(folder, CPU)
    save_file(
        {**weights, "columns.0.stem.weight": weights["columns.0.stem.weight"].half()}, folder / models.WEIGHTS
    )
    with pytest.raises(DataError, match=r"tensor columns\.0\.stem\.weight is F16"):
        models.load_encoder(folder, CPU)


def test_missing_weights_and_broken_metrics_are_named(folder: Path) -> None:
    (folder / models.WEIGHTS).unlink()
    with pytest.raises(InputError, match=r"model\.safetensors"):
        models.load_encoder(folder, CPU)
    (folder / models.METRICS).write_text("{\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        models.metrics(folder)


def test_json_holds_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        models.write(tmp_path, replace(MODEL, scores={"val_loss": float("nan")}), {}, [])

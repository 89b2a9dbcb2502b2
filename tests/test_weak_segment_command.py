"""`weak-segment` and `map` as a user runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio

QUICK = ("--positive", "1", "--epochs", "1", "--device", "cpu", "--precision", "fp32")


def test_from_labels_to_a_map(land: Path, tile2vec: Callable[..., Any]) -> None:
    model, maps = land / "model", land / "maps"
    train = ("weak-segment", land / "tiles", "--labels", land / "labels.tif", "--out", model, *QUICK)
    done = tile2vec(*train, "--n-labels", "20", "--json", "--quiet")
    assert done.code == 0 and done.err == ""
    report = done.report
    assert report["command"] == "weak-segment" and report["labels_used"] == 20
    assert set(report["test"]) == {"accuracy", "f1", "precision", "recall", "iou"}
    again = tile2vec(*train, "--n-labels", "20")
    assert again.code == 0 and "up to date" in again.err
    assert "U-Net" in again.out
    other = tile2vec(*train, "--n-labels", "30")
    assert other.code == 65 and "n_labels" in other.err
    scene = land / "scenes" / "land.tif"
    done = tile2vec("map", scene, "--model", model, "--out", maps, "--probability", "--json", "--quiet")
    assert done.code == 0 and done.report["made"] == 1
    with rasterio.open(maps / "land.tif") as made, rasterio.open(maps / "land.probability.tif") as shares:
        assert made.dtypes == ("uint8",) and shares.dtypes == ("float32",)
    again = tile2vec("map", land / "scenes", "--model", model, "--out", maps, "--probability", "--json")
    assert again.code == 0 and again.report["up_to_date"]
    wrong = tile2vec("map", land / "labels.tif", scene, "--model", model, "--out", maps, "--probability")
    assert wrong.code == 65 and "labels.tif" in wrong.err


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [("--n-labels", "0", 2), ("--n-labels", "x", 2), ("--threshold", "high", 2), ("--positive", "77", 65)],
)
def test_bad_input_is_one_line(
    land: Path, tmp_path: Path, tile2vec: Callable[..., Any], option: str, value: str, code: int
) -> None:
    arguments = ("weak-segment", land / "tiles", "--labels", land / "labels.tif", "--out", tmp_path / "m")
    done = tile2vec(*arguments, option, value)
    assert done.code == code
    assert done.out == "" and done.err.count("\n") == 1 and done.err.startswith("error: ")
    assert not (tmp_path / "m").exists()

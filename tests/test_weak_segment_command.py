"""From weak labels to a map, on the sample landscape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import Run

from tile2vec_cli.commands.demo import SAMPLE

Command = Callable[..., Run]
LABELS = SAMPLE / "labels.tif"


@pytest.fixture(scope="module")
def tiles(tile2vec: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weak") / "tiles"
    assert tile2vec("tile", SAMPLE / "scenes", "--out", folder).code == 0
    return folder


@pytest.fixture(scope="module")
def trained(tile2vec: Command, tiles: Path) -> tuple[Path, Run]:
    model = tiles.parent / "model"
    fit = ["weak-segment", tiles, "--labels", LABELS, "--supervision", "pixel", "--positive", "111"]
    return model, tile2vec(*fit, "--n-labels", 100, "--epochs", 4, "--compare", "--out", model, "--json")


def test_the_report_has_its_keys(trained: tuple[Path, Run]) -> None:
    model, run = trained
    assert run.code == 0, run.err
    report = run.report
    assert report["supervision"] == "pixel"
    assert 0 < report["labels_used"] <= 100
    assert set(report["test"]) == {"accuracy", "f1", "precision", "recall", "iou"}
    assert {"logistic", "forest", "svm", "forest-context"} <= set(report["baselines"])
    assert {"model.json", "model.safetensors"} <= {path.name for path in model.iterdir()}


def test_a_map_is_a_cog_on_the_scenes_grid(tile2vec: Command, trained: tuple[Path, Run]) -> None:
    model, _ = trained
    scene, out = SAMPLE / "scenes" / "cedar_2021-05-18.tif", model.parent / "maps"
    run = tile2vec("map", scene, "--model", model, "--out", out, "--probability")
    assert run.code == 0, run.err
    with rasterio.open(scene) as source, rasterio.open(out / scene.name) as made:
        assert (made.shape, made.transform, made.crs) == (source.shape, source.transform, source.crs)
        assert (made.dtypes[0], made.nodata) == ("uint8", 255)
        assert made.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert set(np.unique(made.read(1))) <= {0, 1, 255}
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert tile2vec("map", scene, "--model", model, "--out", out, "--probability").code == 0
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--supervision", "some"], 2),
        (["--n-labels", "0"], 2),
        (["--positive", "99"], 65),
        (["--labels", "none.tif"], 66),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tile2vec: Command, tiles: Path, tmp_path: Path, options: list[str], code: int
) -> None:
    fit = ["weak-segment", tiles, "--labels", LABELS, "--supervision", "pixel", "--positive", "111"]
    run = tile2vec(*fit, "--out", tmp_path / "model", *options)
    assert run.code == code, run.err
    assert run.err.startswith("error: ") and run.err.count("\n") == 1
    assert not (tmp_path / "model").exists()

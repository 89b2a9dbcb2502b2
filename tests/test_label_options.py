"""Every command that reads label rasters reads several of them, a band of theirs, and leaves out fill."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import embedded
import numpy as np
import pytest
import rasterio
from conftest import Run, SceneWriter
from rasterio.transform import from_origin

from tile2vec_cli.config.pipeline import TileConfig, TripletConfig
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling import triplets as triplet_files
from tile2vec_cli.tiling.tiles import TileSet

SIDE, TILE = 128, 8
Call = Callable[..., Run]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    return lambda command, *arguments: embedded.call(capsys, monkeypatch, command, *arguments)


@pytest.fixture
def land(write_scene: SceneWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """tiles/, e.parquet and labels/ of two bands: the east of the land is class 2 in the second one."""
    codes = np.ones((SIDE, SIDE), np.int16)
    codes[:, SIDE // 2 :] = 2
    random = np.random.default_rng(0)
    write_scene("scene.tif", (40 * codes + random.integers(0, 9, codes.shape)).astype(np.uint8)[None])
    codes[random.random(codes.shape) < 0.05] = -9999  # fill, which is not declared
    both = np.stack([np.full_like(codes, 7), codes])
    half = SIDE // 2
    for row in (0, half):
        for col in (0, half):
            corner = from_origin(500_000 + 10 * col, 4_400_000 - 10 * row, 10, 10)
            write_scene(
                f"labels/{row}_{col}.tif", both[:, row : row + half, col : col + half], transform=corner
            )
    write_scene("labels/z_far.tif", both, transform=from_origin(700_000, 4_400_000, 10, 10))
    write_scene("labels/z_over.tif", np.full((2, TILE, TILE), 3, np.int16))  # the first tile's place
    cutting.cut([str(tmp_path / "scene.tif")], tmp_path / "tiles", TileConfig(size=TILE))
    tiles = TileSet.open(tmp_path / "tiles")
    index = tiles.table().to_pandas()
    east = (index.col >= half).to_numpy()
    embedded.write(
        tmp_path / "e.parquet", tiles.parts[0], random.normal(size=(len(tiles), 4)) + 3 * east[:, None]
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


OPTIONS = ("--labels", "labels", "--label-band", 2, "--label-nodata", "0,-9999")
FOUND = {"rasters": 6, "without_tiles": 1, "tiles_disputed": 1}


def requires(said: str) -> None:
    assert "--labels: 1 of 6 rasters label no tile." in said
    assert "--labels: rasters disagree in 1 tiles; the first one given counts." in said


def test_probe(land: Path, call: Call, write_scene: SceneWriter) -> None:
    def probe(*more: object) -> Run:
        options = ("--n-labels", 50, "--repeats", 2, "--block", 160, "--out", "p", "--json")
        options += ("--classifier", "logistic")
        return call("probe", "e.parquet", *OPTIONS, *options, *more)

    done = probe()
    assert done.report["label_rasters"] == FOUND
    assert done.report["classes"] == ["1", "2"]
    assert done.report["tiles_labelled"] == 256
    assert done.report["inputs"] == ["e.parquet", "labels"]
    requires(done.err)
    again = probe()
    assert again.report["up_to_date"]
    requires(again.err)
    refused = probe("--label-nodata", 1)
    assert refused.code == 65
    assert "made with label_nodata = [-9999.0, 0.0]; this run has [-9999.0, 0.0, 1.0]" in refused.err
    plain = call("probe", "e.parquet", "--labels", "labels", "--out", "p")
    assert (plain.code, "p: made with" in plain.err) == (65, True)
    os.utime("labels/z_over.tif", (1, 1))
    assert probe().report["up_to_date"]
    write_scene("labels/z_more.tif", np.full((2, 4, 4), 1, np.int16))
    assert probe().report["label_rasters"] == {**FOUND, "rasters": 7}


def test_bands_without_a_name_are_refused(land: Path, call: Call) -> None:
    done = call("probe", "e.parquet", "--labels", "labels", "--n-labels", 50)
    assert done.code == 65
    assert done.err.count("\n") == 1
    assert "has 2 bands; the one that holds class codes is needed" in done.err
    assert "5 more label rasters cannot be used" in done.err


def test_analogy_and_inspect(land: Path, call: Call) -> None:
    done = call("analogy", "e.parquet", *OPTIONS, "--score", "--draws", 20, "--block", 160, "--json")
    assert done.report["label_rasters"] == FOUND
    requires(done.err)
    done = call(
        "analogy", "e.parquet", "1", "2", "scene/0/0", *OPTIONS, "--top", 3, "--json", "--out", "near.csv"
    )
    assert done.report["label_rasters"] == FOUND
    requires(
        call("analogy", "e.parquet", "1", "2", "scene/0/0", *OPTIONS, "--top", 3, "--out", "near.csv").err
    )
    done = call("inspect", "e.parquet", *OPTIONS, "--out", "i", "--block", 160, "--json")
    assert done.report["probe"]["label_rasters"] == FOUND
    requires(done.err)


def test_train(land: Path, call: Call) -> None:
    drawn = triplet_files.draw(TileSet.open(land / "tiles"), TripletConfig(count=400), lambda *_: None)
    triplet_files.save(land / "t.parquet", drawn)
    options = ("t.parquet", "--tiles", "tiles", "--objective", "supervised", "--steps", 2, "--device", "cpu")
    done = call("train", *options, *OPTIONS, "--encoder", "small", "--out", "m", "--json")
    assert done.report["label_rasters"]["rasters"] == 6
    assert "--labels: 1 of 6 rasters label no tile." in done.err
    assert call("train", *options, *OPTIONS, "--encoder", "small", "--out", "m", "--json").report[
        "up_to_date"
    ]
    refused = call("train", *options, *OPTIONS[:2], "--label-band", 1, "--encoder", "small", "--out", "m")
    assert (refused.code, "made with label_band = 2; this run has 1" in refused.err) == (65, True)


def test_weak_segment(land: Path, call: Call) -> None:
    def weak(*more: object) -> Run:
        options = ("--positive", "2", "--recipe", "paper", "--epochs", 1, "--device", "cpu", "--out", "w")
        return call("weak-segment", "tiles", *more, *options, "--json")

    done = weak(*OPTIONS, "--evaluate", "labels/*.tif")
    assert done.report["label_rasters"] == done.report["evaluate_rasters"] == FOUND
    requires(done.err)
    assert "--evaluate: 1 of 6 rasters label no tile." in done.err
    assert weak(*OPTIONS, "--evaluate", "labels/*.tif").report["up_to_date"]
    refused = weak("--labels", "labels", "--label-band", 2)
    assert (refused.code, "made with label_nodata" in refused.err) == (65, True)


def test_a_picture_is_no_label_raster(land: Path, call: Call, write_scene: SceneWriter) -> None:
    colours = np.array([[0, 0, 0], [255, 0, 0], [255, 255, 0]], np.uint8)
    with rasterio.open("scene.tif") as scene:
        east = (scene.read(1) > 60).astype(int) + 1
    write_scene("rgb.tif", colours[east].transpose(2, 0, 1), photometric="RGB")
    for command, tail in (
        ("weak-segment", ("tiles", "--positive", "255", "--out", "seg")),
        ("probe", ("e.parquet",)),
        ("compare", ("tiles", "--minutes", 1, "--out", "c")),
        ("inspect", ("e.parquet", "--out", "i")),
        ("analogy", ("e.parquet", "1", "2", "3")),
        ("suggest", ("e.parquet", "--out", "s.csv")),
    ):
        done = call(command, *tail, "--labels", "rgb.tif")
        assert done.code == 65, command
        assert "error: rgb.tif: is a picture, 3 bands (red, green, blue)" in done.err
    assert not {"seg", "c", "i"} & {
        path.name for path in land.iterdir() if list(path.iterdir() if path.is_dir() else [])
    }


@pytest.mark.parametrize(
    "command",
    [
        "train t --tiles t --out m",
        "inspect e.parquet --out i",
        "analogy e.parquet a b c",
        "suggest e.parquet --out s.csv",
    ],
)
def test_options_of_labels_need_labels(land: Path, call: Call, command: str) -> None:
    done = call(*command.split(), "--label-band", 1)
    assert (done.code, "--label-band and --label-nodata: describe --labels" in done.err) == (2, True)


@pytest.mark.parametrize("values", [("x",), ("0,",), ("inf",), ("nan",), ("0", "1e999")])
def test_values_that_are_no_numbers(land: Path, call: Call, values: tuple[str, ...]) -> None:
    options = [word for value in values for word in ("--label-nodata", value)]
    done = call("probe", "e.parquet", "--labels", "labels", *options)
    assert (done.code, "--label-nodata" in done.err) == (2, True)

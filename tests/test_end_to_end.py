"""The pipeline on the sample data, as a user runs it, and what it has to show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pytest
import rasterio

from tile2vec_cli.commands.demo import SAMPLE, pipeline

BUDGET = "--steps 30"  # not minutes: the machine may be busy


def shortened(out: Path) -> list[list[str]]:
    """The demo's commands with less training, and of the probe what is looked at here."""
    *steps, probe = pipeline(SAMPLE, out, BUDGET)
    for step in steps:
        if step[0] == "weak-segment":
            step += ["--epochs", "6"]
    probe[probe.index("--repeats") + 1] = "2"
    probe[probe.index("--n-labels") + 1] = "400"
    return [*steps, [*probe, "--baselines", "stats,pca"]]


def run(*arguments: str) -> dict[str, Any]:
    done = forks.run((*arguments, "--json", "--quiet"))
    assert (done.code, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["format"] == "tile2vec-report/1"
    assert report["command"] == arguments[0]
    return dict(report)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return [run(*step) for step in shortened(tmp_path_factory.mktemp("demo"))]


def test_tile2vec_beats_colour_statistics(reports: list[dict[str, Any]]) -> None:
    best: dict[str, float] = {}
    for score in reports[-1]["scores"]:
        if score["n_labels"] == max(s["n_labels"] for s in reports[-1]["scores"]):
            name = score["features"]
            best[name] = max(best.get(name, 0.0), score["accuracy"])
    own = best["embeddings"]
    assert own > best["stats"] + 0.1, best
    assert own > best["pca"] + 0.1, best


def test_one_pixel_a_tile_teaches_more_than_pixels_know(reports: list[dict[str, Any]]) -> None:
    segmented = reports[4]
    assert segmented["labels_used"] == 300
    best = max(scores["f1"] for scores in segmented["baselines"].values())
    assert segmented["test"]["f1"] > best + 0.02, segmented


def test_each_command_makes_what_the_next_one_needs(reports: list[dict[str, Any]]) -> None:
    cut, drawn, _, embedded, _, mapped, judged = reports
    assert cut["tiles"] == embedded["tiles"] == 6 * 12 * 12
    assert cut["parts"] == 6
    assert drawn["triplets"] == 20_000
    assert mapped["made"] == 6
    assert 0 < judged["tiles_labelled"] <= cut["tiles"]
    for report in reports:
        assert all(Path(path).exists() for path in report["outputs"])


def test_a_second_run_does_no_work(reports: list[dict[str, Any]]) -> None:
    out = Path(reports[0]["outputs"][0]).parent
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    for step in shortened(out):
        done = forks.run((*step, "--json", "--quiet"))
        assert (done.code, done.stderr) == (0, "") and json.loads(done.stdout)["up_to_date"]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_the_sample_is_small_and_made_by_its_script() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) < 5_000_000
    space: dict[str, Any] = {"__file__": str(SAMPLE / "make.py"), "__name__": "make"}
    exec(compile((SAMPLE / "make.py").read_text(), "make.py", "exec"), space)
    name, date = space["PLACES"][0], space["DATES"][0]
    parcel = space["parcels"](np.random.default_rng(space["SEED"]))
    made = space["scene"](name, date, parcel, space["SEED"])
    with rasterio.open(SAMPLE / "scenes" / f"{name}_{date}.tif") as source:
        # Other releases of numpy and scipy may round a few pixels to the next grey level.
        assert np.mean(source.read() == made) > 0.99
        assert source.nodata == 0
        assert source.crs.to_epsg() == 32614

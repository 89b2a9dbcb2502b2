"""`tile2vec probe` as a user runs it, on embeddings of other people and on our own."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import embedded
import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from conftest import Run
from embedded import Tool
from probed import SIDE, make
from rasterio.transform import from_origin

from tile2vec_cli.tiling.tiles import TileSet

REGIONS = ("ours.parquet", "--split", "region", "--labels")
QUICK = ("--n-labels", "40,150", "--repeats", "2", "--classifier", "logistic")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("probe"))


@pytest.fixture
def probe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tool:
    def run(*arguments: object, cwd: Path) -> Run:
        monkeypatch.chdir(cwd)
        return embedded.call(capsys, monkeypatch, "probe", *arguments)

    return run


def test_foreign_embeddings_and_a_label_raster(probe: Tool, data: Path) -> None:
    run = probe("theirs.parquet", "--labels", "labels.tif", *QUICK, "--json", cwd=data)
    assert run.code == 0, run.err
    report = run.report
    assert report["format"] == "tile2vec-report/1"
    assert report["command"] == "probe"
    assert report["inputs"] == ["theirs.parquet", "labels.tif"]
    assert report["outputs"] == []
    assert report["classes"] == ["Corn", "Soybeans", "Grassland/Pasture"]
    assert report["tiles_labelled"] == SIDE**2
    assert report["split"] == "blocks"
    assert report["block_m"] == pytest.approx(20 * 80, rel=0.01)
    assert [score["n_labels"] for score in report["scores"]] == [40, 150]
    for score in report["scores"]:
        assert {"features", "classifier", "n_labels", "accuracy", "std", "balanced_accuracy"} <= set(score)
        assert {"macro_f1", "repeats", "random_split"} <= set(score)
        assert score["accuracy"] > 0.85
        assert score["repeats"] == 2
    assert "Class Winter Wheat dropped: 2 tiles, fewer than 7." in run.err


@pytest.mark.parametrize("labels", ["labels.gpkg", "points.geojson", "labels.csv"])
def test_other_labels_of_the_same_tiles_give_the_same_scores(probe: Tool, data: Path, labels: str) -> None:
    by_raster = probe("ours.parquet", "--labels", "labels.tif", *QUICK, "--json", cwd=data).report
    run = probe("ours.parquet", "--labels", labels, "--field", "crop", *QUICK, "--json", cwd=data)
    assert run.code == 0, run.err
    assert set(run.report["classes"]) == set(by_raster["classes"])
    assert run.report["tiles_labelled"] == by_raster["tiles_labelled"]
    for one, other in zip(run.report["scores"], by_raster["scores"], strict=True):
        assert one["accuracy"] == pytest.approx(other["accuracy"], abs=0.03)


def test_whole_regions(probe: Tool, data: Path) -> None:
    base = ("ours.parquet", "--labels", "states.csv", "--field", "crop", "--region-field", "state", *QUICK)
    run = probe(*base, "--split", "region", "--test-fraction", "0.5", "--json", cwd=data)
    assert run.code == 0, run.err
    assert run.report["split"] == "region" and run.report["block_m"] is None
    assert run.report["regions"]["field"] == "state"
    assert run.report["regions"]["names"] == ["Kansas", "Nebraska"]
    assert all(names in (["Kansas"], ["Nebraska"]) for names in run.report["regions"]["tested"])
    assert run.report["test_tiles"] == pytest.approx(SIDE**2 / 2, abs=4)
    assert all(score["accuracy"] > 0.85 for score in run.report["scores"])


def test_embeddings_of_points(probe: Tool, data: Path) -> None:
    run = probe("points.parquet", "--labels", "labels.tif", *QUICK, "--json", cwd=data)
    assert run.code == 0, run.err
    assert run.report["block_m"] == 1000
    assert run.report["scores"][1]["accuracy"] > 0.85


def test_each_part_stands_beside_the_whole(probe: Tool, data: Path) -> None:
    """What a part reaches is what its numbers reach in a file of their own."""
    (part,) = TileSet.open(data / "tiles").parts
    vectors = np.random.default_rng(1).normal(size=(part.count, 12))
    vectors[:, :8] += np.stack(geopandas.read_parquet(data / "ours.parquet")["embedding"])[:, :8]
    embedded.write(data / "both.parquet", part, vectors, sizes={"texture": 8, "place": 4})
    embedded.write(data / "texture.parquet", part, vectors[:, :8])
    embedded.write(data / "place.parquet", part, vectors[:, 8:])
    base = ("--labels", "labels.tif", *QUICK, "--json")
    run = probe("both.parquet", *base, "--parts", "--beside", "texture.parquet", cwd=data)
    assert run.code == 0, run.err
    scores = {(s["features"], s["n_labels"]): s for s in run.report["scores"]}
    beside = f"{data.name}/texture"
    assert [*dict.fromkeys(name for name, _ in scores)] == ["embeddings", "texture", "place", beside]
    for name in ("texture", "place"):
        alone = probe(f"{name}.parquet", *base, cwd=data).report["scores"]
        assert [{**s, "features": name} for s in alone] == [scores[name, n] for n in (40, 150)]
    assert scores["texture", 150]["accuracy"] > 0.7 > 0.5 > scores["place", 150]["accuracy"]
    assert probe("both.parquet", *base, cwd=data).report["scores"] == [
        scores["embeddings", n] for n in (40, 150)
    ]


def test_baselines_lose_on_noise(probe: Tool, data: Path) -> None:
    options = ("--tiles", "tiles", "--baselines", "stats,pca,random,rcf")
    run = probe("ours.parquet", "--labels", "labels.tif", *QUICK, *options, "--json", cwd=data)
    assert run.code == 0, run.err
    last = {
        score["features"]: score["accuracy"] for score in run.report["scores"] if score["n_labels"] == 150
    }
    assert list(last) == ["embeddings", "stats", "pca", "random", "rcf"]
    assert max(last[name] for name in ("stats", "pca", "random", "rcf")) < 0.5 < last["embeddings"]


def test_the_table(probe: Tool, tile2vec: Tool, data: Path) -> None:
    run = tile2vec("probe", "theirs.parquet", "--labels", "labels.tif", *QUICK, cwd=data)
    header, row = run.out.splitlines()
    assert header.split()[:2] == ["features", "classifier"]
    assert "40 labels (random split)  150 labels (random split)" in header
    assert row.split()[:2] == ["embeddings", "logistic"]
    assert row.count("±") == 2
    quiet = probe("theirs.parquet", "--labels", "labels.tif", *QUICK, "--quiet", cwd=data)
    assert (quiet.out, quiet.err) == (run.out, "")


# --- the folder --------------------------------------------------------------------------------


def test_the_folder(probe: Tool, data: Path, tmp_path: Path) -> None:
    arguments = ("theirs.parquet", "--labels", "labels.tif", *QUICK, "--out", tmp_path / "out", "--json")
    first = probe(*arguments, cwd=data)
    assert first.code == 0, first.err
    names = ["report.json", "confusion.csv", "curve.png", "confusion.png"]
    assert [Path(path).name for path in first.report["outputs"]] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved["format"] == "tile2vec-probe/1"
    assert saved["scores"] == first.report["scores"]
    assert "seconds" not in saved
    with (tmp_path / "out" / "confusion.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header[1:] == [row[0] for row in rows] == first.report["classes"]
    matrix = np.array([[int(cell) for cell in row[1:]] for row in rows])
    assert np.diag(matrix).sum() / matrix.sum() == pytest.approx(saved["scores"][1]["accuracy"], abs=0.01)

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = probe(*arguments, cwd=data)
    assert again.code == 0
    assert again.report["up_to_date"]
    assert again.report["scores"] == first.report["scores"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert "up to date" in probe(*arguments[:-1], cwd=data).err

    other = probe(*arguments, "--seed", 1, cwd=data)
    assert other.code == 65
    assert "out: made with seed = 0; this run has 1" in other.err
    assert "--overwrite" in other.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    replaced = probe(*arguments, "--seed", 1, "--overwrite", cwd=data)
    assert replaced.code == 0
    assert not replaced.report["up_to_date"]


def test_changed_labels_are_judged_again(probe: Tool, data: Path, tmp_path: Path) -> None:
    table = pd.read_csv(data / "labels.csv")
    table.to_csv(tmp_path / "labels.csv", index=False)
    arguments = (data / "ours.parquet", "--labels", tmp_path / "labels.csv", "--field", "crop")
    arguments = (*arguments, *QUICK, "--out", tmp_path / "out", "--json")
    first = probe(*arguments, cwd=data)
    table[table.crop != "Corn"].to_csv(tmp_path / "labels.csv", index=False)
    second = probe(*arguments, cwd=data)
    assert second.code == 0, second.err
    assert not second.report["up_to_date"]
    assert len(second.report["classes"]) == len(first.report["classes"]) - 1
    (tmp_path / "out" / "curve.png").unlink()
    assert not probe(*arguments, cwd=data).report["up_to_date"]
    assert (tmp_path / "out" / "curve.png").exists()


@pytest.mark.parametrize("name", ["confusion.csv", "curve.png", "confusion.png"])
def test_somebody_elses_files_are_not_replaced(probe: Tool, data: Path, tmp_path: Path, name: str) -> None:
    arguments = ("theirs.parquet", "--labels", "labels.tif", *QUICK, "--out", tmp_path)
    (tmp_path / name).write_text("mine")
    done = probe(*arguments, cwd=data)
    assert (done.code, done.out, done.err.count("\n")) == (65, "", 1)
    assert f"{name}: exists and is not what `probe` wrote" in done.err and "--overwrite" in done.err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    assert probe(*arguments, "--overwrite", cwd=data).code == 0
    assert "up to date" in probe(*arguments, cwd=data).err


def test_a_folder_of_an_older_version_is_its_own(probe: Tool, data: Path, tmp_path: Path) -> None:
    arguments = ("theirs.parquet", "--labels", "labels.tif", *QUICK, "--out", tmp_path)
    probe(*arguments, cwd=data)
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    older = json.loads(whole["report.json"])
    del older["files"]
    (tmp_path / "report.json").write_text(json.dumps(older))
    assert "up to date" in probe(*arguments, cwd=data).err
    older["made_from"]["content"]["labels"] = "before they changed"
    (tmp_path / "report.json").write_text(json.dumps(older))
    assert probe(*arguments, cwd=data).code == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole


def test_two_undisturbed_runs_write_the_same_bytes(probe: Tool, data: Path) -> None:
    contents = []
    for name in ("one", "other"):
        probe("ours.parquet", "--labels", "labels.tif", *QUICK, "--out", name, cwd=data)
        contents.append({path.name: path.read_bytes() for path in (data / name).iterdir()})
    assert contents[0] == contents[1]


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("missing.parquet", "--labels", "labels.tif"), 66, "missing.parquet: no such file"),
        (("ours.parquet", "--labels", "missing.tif"), 66, "missing.tif: no such file"),
        (("labels.csv", "--labels", "labels.tif"), 65, "labels.csv"),
        (
            ("ours.parquet", "--labels", "labels.csv", "--field", "corp"),
            65,
            "has no field 'corp'; it has crop",
        ),
        (("ours.parquet", "--labels", "far.tif"), 65, "do not overlap"),
        (("ours.parquet", "--labels", "labels.tif", "--min-purity", "1.1"), 2, "--min-purity 1.1"),
        (("ours.parquet", "--labels", "labels.tif", "--min-purity", "nan"), 2, "--min-purity nan"),
        (("ours.parquet", "--labels", "labels.tif", "--classifier", "svm"), 2, "--classifier svm: unknown"),
        (("ours.parquet", "--labels", "labels.tif", "--n-labels", "ten"), 2, "--n-labels ten"),
        (("ours.parquet", "--labels", "labels.tif", "--n-labels", "0"), 2, "--n-labels 0"),
        (("ours.parquet", "--labels", "labels.tif", "--repeats", "0"), 2, "--repeats 0"),
        (("ours.parquet", "--labels", "labels.tif", "--split", "odd"), 2, "--split odd"),
        (("ours.parquet", "--labels", "labels.tif", "--split", "region"), 2, "--region-field: each needs"),
        (("ours.parquet", "--labels", "labels.csv", "--region-field", "crop"), 2, "--split region and"),
        ((*REGIONS, "labels.tif", "--region-field", "state"), 2, "labels.tif is a raster, without fields"),
        ((*REGIONS, "states.csv", "--region-field", "state"), 2, "--field"),
        ((*REGIONS, "states.csv", "--field", "crop", "--region-field", "town"), 65, "town"),
        (("ours.parquet", "--labels", "labels.tif", "--block", "-5"), 2, "--block -5"),
        (("ours.parquet", "--labels", "labels.tif", "--parts"), 65, "have no parts to judge by themselves"),
        (("ours.parquet", "--labels", "labels.tif", "--block", "1e6"), 65, "make --block smaller"),
        (("ours.parquet", "--labels", "labels.tif", "--baselines", "stats"), 2, "--tiles"),
        (("ours.parquet", "--labels", "labels.tif", "--tiles", "nowhere"), 66, "nowhere: no such folder"),
        (("theirs.parquet", "--labels", "labels.tif", "--tiles", "tiles"), 65, "has no tile_id"),
        (
            ("theirs.parquet", "--labels", "labels.csv"),
            65,
            "names tiles by tile_id, which the embeddings lack",
        ),
    ],
)
def test_bad_input_is_one_line(
    probe: Tool, data: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    with rasterio.open(data / "labels.tif") as source:
        profile = {**source.profile, "transform": from_origin(700_000, 4_400_000, 10, 10)}
        if not (data / "far.tif").exists():
            with rasterio.open(data / "far.tif", "w", **profile) as target:
                target.write(source.read())
    run = probe(*arguments, "--quiet", cwd=data)
    assert run.code == code, run.err
    assert run.err.startswith("error: ")
    assert len(run.err.splitlines()) == 1
    assert message in run.err
    assert run.out == ""


def test_a_folder_that_cannot_be_written(probe: Tool, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    options = (*QUICK, "--quiet", "--out", tmp_path / "file")
    run = probe("ours.parquet", "--labels", "labels.tif", *options, cwd=data)
    assert run.code == 73
    assert "file" in run.err

"""`tile2vec classify` as a user runs it: labels of every kind, outputs read back by other libraries."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import geopandas
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from classified import NAMES, make
from embedded import Tool, call, truth
from rio_cogeo.cogeo import cog_validate
from sklearn.ensemble import RandomForestClassifier

from tile2vec_cli.evaluation import classification
from tile2vec_cli.labelling import legends
from tile2vec_cli.outputs import parts as output_parts

BLOCK = ("--block", 200)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("classify"))


@pytest.fixture
def classify(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path) -> Tool:
    monkeypatch.chdir(data)
    monkeypatch.setattr(classification, "REPEATS", 3)
    return partial(call, capsys, monkeypatch, "classify")


@pytest.mark.parametrize(
    "labels",
    [("labels.csv",), ("areas.geojson",), ("points.gpkg", "--field", "cover")],
    ids=lambda one: one[0],
)
def test_labels_of_every_kind_give_every_tile_its_class(
    classify: Tool, data: Path, tmp_path: Path, labels: tuple[str, ...]
) -> None:
    out = tmp_path / "m.parquet"
    run = classify("all", "--labels", *labels, *BLOCK, "--out", out, "--json")
    assert run.code == 0, run.err
    found = geopandas.read_parquet(out)
    ids, _, shapes = truth(data / "all")
    assert found["tile_id"].tolist() == ids
    assert shapely.equals_exact(found.geometry.to_numpy(), shapes, 1e-12).all()
    wanted = pd.read_csv(data / "truth.csv").set_index("tile_id")["cover"]
    assert (found["class"] == wanted[ids].to_numpy()).mean() > 0.95
    each = found[[f"probability_{name}" for name in NAMES]].to_numpy()
    assert np.allclose(each.sum(axis=1), 1, atol=1e-5)
    assert (np.array(NAMES)[each.argmax(axis=1)] == found["class"]).all()
    assert np.allclose(each.max(axis=1), found["probability"])
    assert set(found["datetime"].dt.year) == {2010}
    report = run.report
    assert report["classes"] == list(NAMES) and report["labels_used"] == 100
    assert report["counts"] == found["class"].value_counts().sort_index().to_dict()
    assert report["held_out"]["accuracy"] > 0.9 and report["held_out"]["std"] >= 0
    assert report["held_out_why"] is None and report["calibration"]["method"] == "temperature"
    assert report["reliability"]["expected_calibration_error"] < 0.3


def test_label_rasters_keep_their_codes_on_the_map(classify: Tool, data: Path, tmp_path: Path) -> None:
    run = classify("few", "--labels", "codes.tif", *BLOCK, "--out", tmp_path / "m.tif", "--json")
    assert run.code == 0, run.err
    assert run.report["classes"] == ["7", "9", "40"]
    with rasterio.open(tmp_path / "m.tif") as file, rasterio.open(data / "codes.tif") as labels:
        assert file.nodata == 0 and file.crs.to_epsg() == 32633
        assert (file.read(1) == labels.read(1)[4::8, 4::8]).mean() > 0.9


def test_examples_are_enough(classify: Tool, data: Path, tmp_path: Path) -> None:
    known = pd.read_csv(data / "truth.csv")
    ids = {name: known["tile_id"][known["cover"] == name].tolist() for name in NAMES}
    (tmp_path / "not.txt").write_text("\n".join([*ids["crop"][:3], *ids["wood"][:3]]))
    options = [word for one in ids["water"][:3] for word in ("--positive", one)]
    place = geopandas.read_parquet(data / "all" / "east_20100701.parquet").set_index("tile_id").geometry
    point = place[next(one for one in ids["water"][3:] if one in place.index)].centroid
    run = classify(
        "all", *options, f"--positive={point.x},{point.y}", "--negative", f"@{tmp_path / 'not.txt'}",
        "--out", tmp_path / "m.csv", "--json",
    )  # fmt: skip
    assert run.code == 0, run.err
    found = pd.read_csv(tmp_path / "m.csv").set_index("tile_id")
    wanted = known.set_index("tile_id")["cover"] == "water"
    assert ((found["class"] == "positive") == wanted[found.index]).mean() > 0.85
    assert run.report["labels"] == {"negative": 6, "positive": 4}


def test_the_classifier_is_scikit_learns(classify: Tool, data: Path, tmp_path: Path) -> None:
    options = ("--classifier", "forest", *BLOCK, "--out", tmp_path / "m.parquet", "--json")
    run = classify("all", "--labels", "labels.csv", "--part", "texture", *options)
    ids, vectors, _ = truth(data / "all")
    labels = pd.read_csv(data / "labels.csv").set_index("tile_id")["cover"]
    own = [row for row, name in enumerate(ids) if name in labels.index]
    model = RandomForestClassifier(300, random_state=1)
    model.fit(vectors[own, :3], [labels[ids[row]] for row in own])
    wanted = model.predict(vectors[:, :3])
    assert (geopandas.read_parquet(tmp_path / "m.parquet")["class"] == wanted).mean() > 0.97
    assert run.report["calibration"]["temperature"] > 0


def test_maps_pictures_and_polygons_say_the_same(classify: Tool, data: Path, tmp_path: Path) -> None:
    outs = [word for name in ("m.tif", "m.geojson") for word in ("--out", tmp_path / name)]
    base = ("all", "--labels", "labels.csv", *BLOCK)
    run = classify(*base, *outs, "--picture", tmp_path / "m.png", "--dissolve", "--json")
    assert run.code == 0, run.err
    assert classify(*base, "--out", tmp_path / "m.parquet").code == 0
    assert (
        classify(*base, "--out", tmp_path / "p.tif", "--probability", "water", "--tiles", "tiles").code == 0
    )
    rows = geopandas.read_parquet(tmp_path / "m.parquet")
    seen = 0
    for code in (32632, 32633):
        path = tmp_path / f"m-EPSG_{code}.tif"
        assert str(path) in run.report["outputs"] and cog_validate(path, quiet=True)[0]
        named = legends._category_names(str(path), 1)
        with rasterio.open(path) as file, rasterio.open(tmp_path / f"p-EPSG_{code}.tif") as shares:
            legend = json.loads(file.tags()["TILE2VEC_CLASSES"])
            assert {int(value): name for value, name in legend.items()} == named
            assert file.colormap(1)[1][3] == 255 and file.nodata == 0 and np.isnan(shares.nodata)
            places = rows.geometry.to_crs(file.crs).centroid
            for row, place in zip(rows.itertuples(), places, strict=True):
                at = file.index(place.x, place.y)
                if min(at) >= 0 and max(at) < 12:
                    assert named[int(file.read(1)[at])] == row[2]
                    assert shares.read(1)[at] == pytest.approx(row.probability_water, abs=1e-6)
                    seen += 1
    assert seen == 288
    polygons = geopandas.read_file(tmp_path / "m.geojson")
    assert polygons["tiles"].sum() == 288 and polygons.is_valid.all()
    for name in NAMES:
        wanted = shapely.union_all(shapely.set_precision(rows.geometry[rows["class"] == name], 1e-9))
        assert len(shapely.get_parts(wanted)) == (polygons["class"] == name).sum()
        own = polygons.geometry[polygons["class"] == name].union_all()
        assert shapely.area(shapely.symmetric_difference(own, wanted)) < 1e-3 * wanted.area
    assert matplotlib.image.imread(tmp_path / "m.png").shape[1] > 1000


def test_again_is_no_work_and_other_settings_are_refused(classify: Tool, tmp_path: Path) -> None:
    base = ("all", "--labels", "labels.csv", *BLOCK, "--out", tmp_path / "m.tif", "--out", tmp_path / "m.csv")
    first = classify(*base, "--json")
    state = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    again = classify(*base, "--json")
    assert again.report["up_to_date"] and again.report["counts"] == first.report["counts"]
    assert again.report["outputs"] == first.report["outputs"]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == state
    other = classify(*base, "--seed", 1)
    assert other.code == 65 and "made with seed = 0; this run has 1" in other.err
    (tmp_path / "m-EPSG_32632.tif").unlink()
    assert classify(*base).code == 0
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {k: v[1] for k, v in state.items()}
    assert classify(*base, "--seed", 1, "--overwrite").code == 0


def test_a_run_that_is_killed_leaves_nothing_half(
    classify: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = ("all", "--labels", "labels.csv", *BLOCK, "--out", tmp_path / "m.parquet")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(output_parts, "_put", die)
        assert classify(*base).code == 130
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert classify(*base).code == 0


def test_a_folder_gets_new_files_only_and_keeps_its_classifier(
    classify: Tool, data: Path, tmp_path: Path
) -> None:
    grow, out = tmp_path / "grow", tmp_path / "out"
    grow.mkdir()
    (grow / "a.parquet").write_bytes((data / "all" / "east_20100701.parquet").read_bytes())
    base = (grow, "--labels", "labels.csv", *BLOCK, "--out", out, "--json")
    first = classify(*base)
    assert first.code == 0 and first.report["tiles"] == 144
    before = (out / "a.parquet").stat().st_mtime_ns
    (grow / "b.parquet").write_bytes((data / "all" / "far_20100701.parquet").read_bytes())
    second = classify(*base)
    assert second.report["tiles"] == 288 and second.report["labels_used"] == first.report["labels_used"]
    assert (out / "a.parquet").stat().st_mtime_ns == before and "1 new files are classified" in second.err
    assert len(geopandas.read_parquet(out / "b.parquet")) == 144
    assert classify(*base).report["up_to_date"]
    other = classify(*base, "--classifier", "knn")
    assert other.code == 65 and "made with classifier" in other.err
    whole = classify(*base, "--overwrite").report
    assert whole["labels_used"] == 100
    (grow / "c.parquet").write_bytes(b"PAR1 broken")
    bad = classify(*base)
    assert bad.code == 65 and "c.parquet" in bad.err and (out / "b.parquet").exists()


def test_too_few_labels_work_and_say_so(classify: Tool, tmp_path: Path) -> None:
    run = classify("all", "--labels", "lone.csv", "--out", tmp_path / "m.csv", "--json")
    assert run.code == 0, run.err
    assert run.report["held_out"] is None and "lake has one tile" in run.report["held_out_why"]
    assert run.report["calibration"]["method"] == "none" and "lake has one tile" in run.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--labels", "one_class.csv", "--field", "cover"), 65, "all of class wood"),
        (("--labels", "strange.csv"), 65, "none of its 2 tile_ids"),
        (("--labels", "nowhere.csv"), 66, "nowhere.csv: no such file"),
        (("--positive", "x/0/0", "--negative", "east_20100701/0/0"), 65, "holds no tile x/0/0"),
        (("--positive", "east_20100701/0/0", "--negative", "east_20100701/0/0"), 2, "given with --positive"),
        (("--positive", "east_20100701/0/0"), 2, "--positive and --negative: each needs the other"),
        ((), 2, "the one or the other is needed"),
        (("--labels", "labels.csv", "--out", "x.shp"), 2, "needs .parquet, .geojson, .csv, .tif"),
        (
            ("--labels", "labels.csv", "--out", "x.tif", "--probability", "sea"),
            65,
            "--probability sea: no class",
        ),
        (("--labels", "labels.csv", "--probability", "crop"), 2, "--probability: is of a map"),
        (("--labels", "labels.csv", "--dissolve"), 2, "--dissolve: m.csv holds no polygons"),
        (("--labels", "labels.csv", "--classifier", "svm"), 2, "--classifier svm: unknown"),
        (("--labels", "labels.csv", "--out", "folder"), 2, "a folder is made alone"),
    ],
)
def test_errors(classify: Tool, data: Path, options: tuple[str, ...], code: int, message: str) -> None:
    before = {*data.rglob("*")}
    run = classify("all", "--out", "m.csv", *options)
    assert run.code == code and message in run.err, run.err
    lines = [line for line in run.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and not run.out and {*data.rglob("*")} == before


def test_places_in_no_grid_are_no_map(classify: Tool, data: Path, tmp_path: Path) -> None:
    options = ("--positive", "0", "--positive", "1", "--negative", "39", "--negative", "38")
    run = classify("scattered.parquet", *options, "--out", tmp_path / "m.tif")
    assert run.code == 65 and "footprints stand in no grid" in run.err and not list(tmp_path.iterdir())
    run = classify("scattered.parquet", *options, "--out", tmp_path / "m.parquet")
    assert run.code == 0 and geopandas.read_parquet(tmp_path / "m.parquet")["tile_id"].tolist() == [
        *range(40)
    ]

"""`tile2vec suggest` as a user runs it."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import geopandas
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import shapely
from embedded import Tool, call, truth, write
from landscapes import scene

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.config.views import SuggestConfig
from tile2vec_cli.labelling import labels as labelling
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import suggestions

COLUMNS = ["rank", "tile_id", "scene", "row", "col", "longitude", "latitude", "uncertainty"]


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path) -> Tool:
    monkeypatch.chdir(data)
    return partial(call, capsys, monkeypatch)


@pytest.fixture
def suggest(tool: Tool) -> Tool:
    return partial(tool, "suggest")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dates, a and b, of 64 places of two kinds, west and east; labels of eight places, by table."""
    folder = tmp_path_factory.mktemp("suggest")
    scenes = [scene(folder / "scenes" / f"{name}.tif", side=64, seed=seed) for seed, name in enumerate("ab")]
    cutting.cut([str(path) for path in scenes], folder / "tiles", TileConfig(size=8))
    random = np.random.default_rng(0)
    for part in TileSet.open(folder / "tiles").parts:
        west = np.array([int(name.split("/")[2]) < 32 for name in part.index()["tile_id"].to_pylist()])
        vectors = random.normal(0, 1, (part.count, 6)) + np.where(west, -1, 1)[:, None]
        write(folder / "both" / f"{part.name}.parquet", part, vectors)
    rows = [(f"a/{row}/{col}", "east" if col else "west") for row in (0, 16, 32, 48) for col in (0, 56)]
    pd.DataFrame(rows, columns=["tile_id", "kind"]).to_csv(folder / "labels.csv", index=False)
    pd.DataFrame(rows[::2], columns=["tile_id", "kind"]).to_csv(folder / "one.csv", index=False)
    _, vectors, shapes = truth(folder / "both")
    theirs = geopandas.GeoDataFrame({"embedding": list(vectors)}, geometry=list(shapes), crs="OGC:CRS84")
    theirs.to_parquet(folder / "theirs.parquet")
    return folder


def places(rows: list[dict]) -> list[tuple[str, str]]:
    return [tuple(row["tile_id"].split("/")[1:]) for row in rows]


def test_with_labels_the_least_sure_at_places_without_one(suggest: Tool, tmp_path: Path) -> None:
    run = suggest("both", "--labels", "labels.csv", "--count", 12, "--out", tmp_path / "n.csv", "--json")
    assert run.code == 0, run.err
    report = run.report
    assert report["labels_used"] == 8 and "least sure" in report["strategy"]
    found = report["suggested"]
    assert [row["rank"] for row in found] == list(range(1, 13))
    assert set(COLUMNS) == set(found[0])
    labelled = {(str(row), str(col)) for row in (0, 16, 32, 48) for col in (0, 56)}
    assert len(set(places(found))) == 12 and not set(places(found)) & labelled
    assert min(row["uncertainty"] for row in found) >= 0
    every = suggest("both", "--labels", "labels.csv", "--count", 999, "--out", tmp_path / "all.csv", "--json")
    assert len(every.report["suggested"]) == 64 - 8
    assert "56 tiles are all whose place has no label." in every.err
    chosen, all_of_them = ([row["uncertainty"] for row in run["suggested"]] for run in (report, every.report))
    assert chosen[0] == max(all_of_them)
    assert np.mean(chosen) > np.mean(all_of_them)


@pytest.mark.parametrize("suffix", [".csv", ".geojson", ".parquet"])
def test_the_filled_in_file_goes_back_as_labels(suggest: Tool, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"next{suffix}"
    first = suggest("both", "--count", 10, "--out", out, "--json")
    assert first.code == 0, first.err
    assert "stand for the most others" in first.report["strategy"]
    assert first.report["labels_used"] == 0 and first.report["left_out"] == {}
    found = first.report["suggested"]
    assert sum(row["stands_for"] for row in found) <= 128
    assert [row["stands_for"] for row in found] == sorted((r["stands_for"] for r in found), reverse=True)
    kinds = ["west" if row["col"] < 32 else "east" for row in found]
    assert set(kinds) == {"west", "east"}
    kinds[3] = kinds[7] = None
    filled = tmp_path / f"filled{suffix}"
    if suffix == ".csv":
        frame = pd.read_csv(out)
        assert list(frame.columns) == [*COLUMNS, "stands_for", "label"]
        assert frame["label"].isna().all()
        frame.assign(label=kinds).to_csv(filled, index=False)
    else:
        read = geopandas.read_parquet if suffix == ".parquet" else geopandas.read_file
        frame = read(out)
        assert frame["label"].isna().all()
        assert (frame["tile_id"] == [row["tile_id"] for row in found]).all()
        frame["label"] = kinds
        frame.to_parquet(filled) if suffix == ".parquet" else frame.to_file(filled)
    line = ("both", "--labels", filled, "--field", "label", "--count", 5, "--out", tmp_path / "more.csv")
    again = suggest(*line, "--json")
    assert again.code == 0, again.err
    assert {2} == {count for reason, count in again.report["left_out"].items() if "without a class" in reason}
    assert not set(places(again.report["suggested"])) & {
        place for place, kind in zip(places(found), kinds, strict=True) if kind
    }


def test_labels_of_one_class_choose_as_without(suggest: Tool, tmp_path: Path) -> None:
    out = tmp_path / "n.csv"
    run = suggest("both", "--labels", "one.csv", "--field", "kind", "--count", 6, "--out", out, "--json")
    assert run.code == 0, run.err
    assert "one.csv: its 4 labelled tiles are of 1 class, and a classifier needs two" in run.err
    assert run.report["labels_used"] == 0 and "stand for" in run.report["strategy"]
    assert not set(places(run.report["suggested"])) & {(str(row), "0") for row in (0, 16, 32, 48)}


def test_same_seed_same_bytes_and_again_is_no_work(suggest: Tool, tmp_path: Path) -> None:
    outs = ("--out", tmp_path / "n.geojson", "--tiles", "tiles", "--picture", tmp_path / "n.png")
    base = ("both", "--labels", "labels.csv", "--count", 7, "--json", *outs)
    first = suggest(*base)
    assert first.code == 0, first.err
    picture = matplotlib.image.imread(tmp_path / "n.png")
    assert picture.shape[1] > 1000 and picture.std() > 0.05
    state = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    again = suggest(*base)
    assert again.report["up_to_date"] and again.report["suggested"] == first.report["suggested"]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == state
    (tmp_path / "n.geojson").unlink()
    assert suggest(*base).code == 0
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {p: b for p, (_, b) in state.items()}
    other = suggest(*base, "--seed", 1)
    assert other.code == 65 and "made with seed = 0; this run has 1" in other.err
    assert suggest(*base, "--seed", 1, "--overwrite").code == 0


def test_rows_of_others_go_by_their_number_and_place(suggest: Tool, data: Path, tmp_path: Path) -> None:
    run = suggest("theirs.parquet", "--count", 4, "--out", tmp_path / "n.csv", "--json")
    assert run.code == 0, run.err
    _, _, shapes = truth(data / "both")
    with (tmp_path / "n.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert "tile_id" not in rows[0]
    for row in rows:
        point = shapely.Point(float(row["longitude"]), float(row["latitude"]))
        assert shapely.contains(shapes[int(row["number"])], point)
    labels = [{**row, "label": kind} for row, kind in zip(rows, ("x", "y", "", ""), strict=True)]
    pd.DataFrame(labels).to_csv(tmp_path / "filled.csv", index=False)
    line = ("theirs.parquet", "--labels", tmp_path / "filled.csv", "--field", "label", "--count", 3)
    run = suggest(*line, "--out", tmp_path / "more.csv", "--json")
    assert run.code == 0, run.err
    assert run.report["labels_used"] == 4  # each point lies in the tiles of both dates
    assert run.report["left_out"]["rows without a class"] == 2


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--count", 0), 2, "--count 0: needs a number of at least 1."),
        (("--classifier", "svm"), 2, "--classifier svm: unknown; needs one of logistic,"),
        (("--picture", "n.png"), 2, "--picture and --tiles: each needs the other."),
        (("--out", "n.xlsx"), 2, "--out n.xlsx: its suffix names no format; needs .parquet, .geojson, .csv."),
        (("--label-band", 1), 2, "describe --labels. Give it as well."),
        (("--labels", "none.csv"), 66, "none.csv: no such file"),
        (("--labels", "empty.csv"), 65, "empty.csv: column 'label': is empty everywhere"),
        (("--labels", "all.csv"), 65, "both: every place has a label"),
        (("--part", "place"), 65, "its vectors have no parts; a part place is needed."),
    ],
)
def test_errors_are_one_line(
    suggest: Tool, data: Path, tmp_path: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    ids, _, _ = truth(data / "both")
    pd.DataFrame({"tile_id": ids[:4], "label": [""] * 4}).to_csv(data / "empty.csv", index=False)
    pd.DataFrame({"tile_id": ids, "label": ["x", "y"] * 64}).to_csv(data / "all.csv", index=False)
    run = suggest("both", "--out", tmp_path / "n.csv", *options)
    assert run.code == code, run.err
    assert message in run.err and len(run.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("labels", [None, "one.csv", "labels.csv"])
def test_progress_never_goes_back_and_ends_at_its_total(data: Path, labels: str | None) -> None:
    seen: list[tuple[int, int]] = []
    source = None if labels is None else labelling.named([str(data / labels)])
    suggestions.suggest(data / "both", source, SuggestConfig(count=6), lambda *now: seen.append(now))
    assert seen == sorted(seen)
    total = 128 * (2 if labels is None else 3)
    assert {now[1] for now in seen} == {total} and seen[-1][0] == total


def test_every_fit_counts(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestions, "spatial_blocks", lambda places, _side: np.arange(len(places)) // 8)
    seen: list[int] = []
    rows = [(f"a/{r}/{c}", (r + c) % 16 == 0) for r in range(0, 48, 8) for c in range(0, 64, 8)]
    pd.DataFrame(rows, columns=["tile_id", "kind"]).to_csv(tmp_path / "many.csv", index=False)
    source = labelling.named([str(tmp_path / "many.csv")])
    suggestions.suggest(data / "both", source, SuggestConfig(count=6), lambda done, _total: seen.append(done))
    assert sum(128 < done < 256 for done in seen) > 3

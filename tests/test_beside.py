"""Vectors of others beside ours: the same tiles, by tile_id or by place, and the table of both."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import embedded
import geopandas
import landscapes
import numpy as np
import pandas as pd
import pytest
import shapely
from embedded import Tool

from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import UsageError
from tile2vec_cli.evaluation import beside
from tile2vec_cli.evaluation.beside import Common
from tile2vec_cli.tiling.tiles import TileSet

QUICK = ("--labels", "labels.csv", "--field", "rough", "--n-labels", "40", "--repeats", "2")
QUICK += ("--classifier", "logistic", "--block", "160")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """256 tiles: noise as their vectors, and others' files that know the labels, in another order."""
    folder = tmp_path_factory.mktemp("beside")
    tiles = TileSet.open(landscapes.make(folder, count=10)[0])
    part = tiles.parts[0]
    rough = np.arange(256) % 2
    ids = tiles.table()["tile_id"].to_pylist()
    pd.DataFrame({"tile_id": ids, "rough": rough}).to_csv(folder / "labels.csv", index=False)
    random = np.random.default_rng(0)
    embedded.write(folder / "ours.parquet", part, random.normal(size=(256, 4)))
    known = np.eye(9)[rough] + 0.1 * random.normal(size=(256, 9))
    frame = geopandas.GeoDataFrame({"tile_id": ids}, geometry=tiles.footprints(), crs="OGC:CRS84")
    frame["embedding"] = list(known)
    frame = frame.iloc[random.permutation(256)[:200]]
    frame.to_parquet(folder / "same-ids.parquet")
    foreign = frame[["embedding", "geometry"]].to_crs("EPSG:3857")
    foreign.assign(geometry=foreign.centroid).to_parquet(folder / "foreign.parquet")
    frame.assign(tile_id=[f"x/{k}" for k in range(200)]).to_parquet(folder / "other-ids.parquet")
    # The ids of our tiles at the places of others: cut from the same scenes, but otherwise.
    turned = frame.assign(tile_id=np.roll(frame["tile_id"], 1))
    turned.to_parquet(folder / "turned.parquet")
    far = frame.assign(geometry=frame.translate(1.0, 0.0))
    far.to_parquet(folder / "far.parquet")
    return folder


@pytest.fixture
def probe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path) -> Tool:
    monkeypatch.chdir(data)
    return partial(embedded.call, capsys, monkeypatch, "probe")


def test_they_stand_in_the_same_table(probe: Tool, data: Path, tmp_path: Path) -> None:
    others = ("same-ids", "foreign", "other-ids", "turned")
    options = [option for name in others for option in ("--beside", f"{name}.parquet")]
    run = probe("ours.parquet", *QUICK, *options, "--out", tmp_path / "p", "--json")
    assert run.code == 0, run.err
    report = run.report
    assert report["tiles_used"] == 200
    found = {score["features"]: score["accuracy"] for score in report["scores"]}
    assert list(found) == ["embeddings", *others]
    assert found["embeddings"] < 0.7 and min(found[name] for name in others) > 0.95
    ways = {"same-ids": "tile_id", "foreign": "place", "other-ids": "place", "turned": "place"}
    assert report["beside"] == {"matched_by": ways, "tiles_left_out": 56}
    assert "56 tiles left out" in run.err
    assert report["inputs"][2:] == [f"{name}.parquet" for name in others]
    assert probe("ours.parquet", *QUICK, *options, "--out", tmp_path / "p", "--json").report["up_to_date"]
    alone = probe("ours.parquet", *QUICK, "--out", tmp_path / "p")
    assert alone.code == 65 and "made with beside same-ids" in alone.err


def test_vectors_are_those_of_the_tile(data: Path) -> None:
    own = Embeddings.open(data / "ours.parquet")
    common = Common.of(own, {"a": data / "foreign.parquet", "b": data / "same-ids.parquet"})
    frame = geopandas.read_parquet(data / "same-ids.parquet").set_index("tile_id")
    assert own.tile_id is not None and common.own.tile_id is not None
    assert list(common.own.tile_id) == [name for name in own.tile_id if name in frame.index]
    expected = np.stack(frame.loc[list(common.own.tile_id), "embedding"].to_list())
    for name in ("a", "b"):
        assert common.others[name] == pytest.approx(expected, abs=1e-6)


def test_of_several_dates_the_nearest_counts(tmp_path: Path) -> None:
    box = shapely.box(10, 45, 10.001, 45.001)
    days = np.array(["2020-07-01", "2021-07-01", "2019-07-01"], dtype="datetime64[ms]")
    frame = geopandas.GeoDataFrame({"embedding": [[0.0], [1.0], [2.0]], "datetime": days}, geometry=[box] * 3)
    frame.set_crs("OGC:CRS84").to_parquet(tmp_path / "dated.parquet")
    dates = np.array(["2021-06-01", "2019-01-01", "2020-08-01"], dtype="datetime64[ms]")
    geometry = np.array([box] * 3, dtype=object)
    own = Embeddings.of(np.zeros((3, 2)), geometry, datetime=dates)
    common = Common.of(own, {"dated": tmp_path / "dated.parquet"})
    assert common.others["dated"].ravel().tolist() == [1, 2, 0]


def test_names() -> None:
    paths = [Path("/a/vectors.parquet"), Path("/b/vectors.parquet"), Path("/c/rcf.parquet"), Path("/d/x.y")]
    assert list(beside.names(paths, ["rcf"])) == ["a/vectors", "b/vectors", "c/rcf", "x"]
    with pytest.raises(UsageError, match="a second a/x"):
        beside.names([Path("/1/a/x.parquet"), Path("/2/a/x.parquet")], [])


@pytest.mark.parametrize(
    ("other", "code", "message"),
    [
        ("none.parquet", 66, "none.parquet: no such file"),
        ("labels.csv", 65, "labels.csv"),
        ("far.parquet", 65, "far.parquet: none of its 200 vectors is of a tile of ours.parquet"),
    ],
)
def test_errors_are_one_line(probe: Tool, other: str, code: int, message: str) -> None:
    run = probe("ours.parquet", *QUICK, "--beside", other)
    assert run.code == code, run.err
    assert message in run.err
    assert len(run.err.splitlines()) == 1 and not run.out


def test_no_tile_in_common_to_all(probe: Tool, data: Path, tmp_path: Path) -> None:
    frame = geopandas.read_parquet(data / "same-ids.parquet")
    frame[:90].to_parquet(tmp_path / "some.parquet")
    frame[90:].to_parquet(tmp_path / "rest.parquet")
    run = probe(
        "ours.parquet", *QUICK, "--beside", tmp_path / "some.parquet", "--beside", tmp_path / "rest.parquet"
    )
    assert run.code == 65 and "no tile stands in all of" in run.err

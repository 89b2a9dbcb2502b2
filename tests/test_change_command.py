"""`tile2vec change` as a user runs it, against pairs and distances by brute force."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import geopandas
import landscapes
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from embedded import Tool, call, truth, write
from rio_cogeo.cogeo import cog_validate

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

DIM = 5
# date, zone -> corner: 2020 lies 20 m east and 10 m south of 2010; tiles are 80 m wide.
SCENES = {
    "east_20100701": ((500_000, 5_400_000), "EPSG:32633"),
    "east_20200701": ((500_020, 5_399_990), "EPSG:32633"),
    "far_20100701": ((600_000, 5_400_000), "EPSG:32632"),
    "far_20200701": ((600_000, 5_400_000), "EPSG:32632"),
}
BEFORE, AFTER = ("--before-scenes", "*2010*"), ("--after-scenes", "*2020*")
SHEET = ("--picture", "x.png", "--tiles-before", "tiles")


@pytest.fixture
def change(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path) -> Tool:
    monkeypatch.chdir(data)
    return partial(call, capsys, monkeypatch, "change")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two places on two dates, of 64 tiles each; from 2010 to 2020 all vectors move, and some move more."""
    folder = tmp_path_factory.mktemp("change")
    scenes = [
        landscapes.scene(folder / "scenes" / f"{name}.tif", side=64, corner=corner, crs=crs)
        for name, (corner, crs) in SCENES.items()
    ]
    cutting.cut([*map(str, scenes)], folder / "tiles", TileConfig(size=8))
    random = np.random.default_rng(0)
    for part in TileSet.open(folder / "tiles").parts:
        vectors = np.random.default_rng(len(part.name)).normal(0, 1, (part.count, DIM))
        if "2020" in part.name:
            vectors += 7 + random.exponential(0.3, (part.count, 1)) * random.normal(0, 1, (part.count, DIM))
        write(folder / "all" / f"{part.name}.parquet", part, vectors, sizes={"texture": DIM - 2, "place": 2})
        write(folder / f"{part.name}.parquet", part, vectors)
        write(folder / "other_model.parquet", part, vectors, model="n")
        write(folder / "other_dim.parquet", part, vectors[:, :3])
    cutting.cut([str(scenes[0])], folder / "coarse", TileConfig(size=16))
    cutting.cut([*map(str, scenes)], folder / "grey", TileConfig(size=8, bands=(1,)))
    part = TileSet.open(folder / "coarse").parts[0]
    write(folder / "coarse.parquet", part, np.zeros((part.count, DIM)))
    return folder


def brute(folder: Path, *, centre: bool = True, columns: slice = slice(None)) -> pd.DataFrame:
    """Each tile of 2010 with the tile of 2020 whose centre is nearest on the map, in UTM."""
    ids, vectors, shapes = truth(folder)
    vectors = vectors[:, columns]
    frame = geopandas.GeoDataFrame({"id": ids}, geometry=list(shapes), crs="OGC:CRS84").to_crs("EPSG:32633")
    xy = shapely.get_coordinates(frame.geometry.centroid)
    before = [row for row, name in enumerate(ids) if "2010" in name]
    after = [row for row, name in enumerate(ids) if "2020" in name]
    rows = []
    for row in before:
        away = np.hypot(*(xy[after] - xy[row]).T)
        best = int(away.argmin())
        if away[best] <= 40:
            rows.append((row, after[best], away[best]))
    one, other, apart = (np.array(column) for column in zip(*rows, strict=True))
    moved = vectors[other] - vectors[one]
    distance = np.linalg.norm(moved - centre * moved.mean(axis=0), axis=1)
    found = pd.DataFrame(
        {
            "before": [ids[row] for row in one],
            "after": [ids[row] for row in other],
            "distance": distance,
            "apart_m": apart,
            "footprint": shapes[other],
        }
    )
    return found.sort_values("distance", ascending=False, ignore_index=True)


@pytest.mark.parametrize("options", [(), ("--no-centre",), ("--part", "place")])
def test_pairs_and_distances_are_those_of_brute_force(
    change: Tool, data: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    out = tmp_path / "change.parquet"
    run = change("all", "all", *BEFORE, *AFTER, *options, "--out", out, "--json", "--top", 7)
    assert run.code == 0, run.err
    centred, columns = "--no-centre" not in options, slice(DIM - 2 if "--part" in options else 0, DIM)
    wanted = brute(data / "all", centre=centred, columns=columns)
    found = geopandas.read_parquet(out)
    assert found["tile_id_before"].tolist() == wanted["before"].tolist()
    assert found["tile_id_after"].tolist() == wanted["after"].tolist()
    assert np.allclose(found["distance"], wanted["distance"], rtol=1e-5)
    assert np.allclose(found["relative"], wanted["distance"] / wanted["distance"].median(), rtol=1e-5)
    assert np.allclose(found["apart_m"], wanted["apart_m"], rtol=1e-2, atol=0.01)
    assert shapely.equals_exact(found.geometry.to_numpy(), wanted["footprint"].to_numpy(), 1e-12).all()
    assert found["rank"].tolist() == [*range(1, 129)]
    less = [100 * float((wanted["distance"] < d).mean()) for d in wanted["distance"]]
    assert np.allclose(found["percentile"], less)
    assert set(found["datetime_before"].dt.year) == {2010}
    assert set(found["datetime_after"].dt.year) == {2020}
    report = run.report
    assert report["pairs"] == 128
    assert report["centred"] == centred
    assert [row["tile_id_after"] for row in report["changed"]] == wanted["after"].tolist()[:7]
    assert report["shift"] == pytest.approx(7 * (DIM - columns.start) ** 0.5, rel=0.05)


def test_each_pixel_of_the_maps_is_the_place_it_lies_at(change: Tool, data: Path, tmp_path: Path) -> None:
    run = change("all", "all", *BEFORE, *AFTER, "--out", tmp_path / "change.tif", "--json")
    names = ["change-EPSG_32633.tif", "change-EPSG_32632.tif"]
    assert run.report["outputs"] == [str(tmp_path / name) for name in names]
    assert run.report["maps"] == names
    wanted = brute(data / "all")
    centres = shapely.centroid(wanted["footprint"].to_numpy())
    seen = 0
    for name in names:
        assert cog_validate(tmp_path / name, quiet=True)[0]
        with rasterio.open(tmp_path / name) as file:
            assert file.dtypes == ("float32",) and np.isnan(file.nodata)
            assert np.allclose(file.res, 80, rtol=1e-3)
            pixels = file.read(1)
            assert pixels.shape == (8, 8)
            points = geopandas.GeoSeries(list(centres), crs="OGC:CRS84").to_crs(file.crs)
            for point, distance in zip(points, wanted["distance"], strict=True):
                row, col = file.index(point.x, point.y)
                if 0 <= row < 8 and 0 <= col < 8:
                    assert pixels[row, col] == pytest.approx(distance, rel=1e-5)
                    seen += 1
    assert seen == 128
    again = change("all", "all", *BEFORE, *AFTER, "--out", tmp_path / "change.tif", "--json")
    assert again.report["up_to_date"] and again.report["outputs"] == run.report["outputs"]


def test_a_map_has_holes_where_nothing_was_compared(change: Tool, data: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(data / "far_20200701.parquet")
    ids = frame["tile_id"].tolist()
    few = geopandas.read_parquet(data / "far_20200701.parquet").drop(columns="embedding")
    few["embedding"] = [list(map(float, v)) for v in frame["embedding"]]
    few[[name not in (ids[5], ids[9]) for name in ids]].to_parquet(tmp_path / "few.parquet")
    theirs = few.assign(embedding=few["embedding"])
    theirs.to_parquet(tmp_path / "theirs.parquet")  # no model known on either side
    run = change(tmp_path / "theirs.parquet", tmp_path / "few.parquet", "--out", tmp_path / "c.tif", "--json")
    assert run.code == 0, run.err
    with rasterio.open(tmp_path / "c.tif") as file:
        pixels = file.read(1)
    assert np.isnan(pixels).sum() == 2
    assert (pixels[~np.isnan(pixels)] == 0).all()  # the very same vectors
    assert run.report["unmatched_before"] == 2
    assert {row["relative"] for row in run.report["changed"]} == {0}


def test_csv_geojson_and_table_say_the_same(change: Tool, data: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "c.csv", tmp_path / "c.geojson"]
    files = ("east_20100701.parquet", "east_20200701.parquet")
    run = change(*files, "--out", outs[0], "--out", outs[1], "--top", 3)
    assert "64 places compared, 22.4 m apart" in run.err
    lines = run.out.splitlines()
    assert lines[0].split()[:2] == ["rank", "tile_id_before"] and len(lines) == 4
    with outs[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    frame = geopandas.read_file(outs[1])
    assert len(rows) == len(frame) == 64
    assert rows[0]["tile_id_after"] == frame["tile_id_after"][0] == lines[1].split()[2]
    assert rows[0]["datetime_after"] == "2020-07-01T00:00:00+00:00"
    assert np.allclose([float(row["distance"]) for row in rows], frame["distance"])


def test_several_dates_on_a_side_are_named_and_each_tile_is_in_one_pair(change: Tool) -> None:
    run = change("all", "east_20200701.parquet", "--json", "--top", 200)
    assert run.report["pairs"] == 64
    assert run.report["spare_before"] == 64
    assert "64 tiles of all are left out: others of it show the same places. --before-scenes" in run.err
    # Of tiles that lie as near, none was taken twice.
    assert len({row["tile_id_before"] for row in run.report["changed"]}) == 64


def test_few_places_are_not_centred(change: Tool, data: Path, tmp_path: Path) -> None:
    frame = geopandas.read_parquet(data / "east_20200701.parquet")
    frame["embedding"] = [list(map(float, v)) for v in frame["embedding"]]
    frame.head(4).to_parquet(tmp_path / "few.parquet")
    frame.head(9).assign(embedding=[[0.0] * DIM] * 9).to_parquet(tmp_path / "none.parquet")
    run = change(tmp_path / "few.parquet", tmp_path / "none.parquet", "--json")
    assert run.report["pairs"] == 4 and not run.report["centred"]
    assert "Too few places" in run.err
    assert run.report["distance"]["min"] > 5


def test_the_sheet_shows_pairs_and_again_is_no_work(change: Tool, tmp_path: Path) -> None:
    base = ("all", "all", *BEFORE, *AFTER, "--tiles-before", "tiles", "--picture", tmp_path / "c.png")
    base = (*base, "--out", tmp_path / "c.csv", "--top", 6, "--json")
    first = change(*base)
    assert first.code == 0, first.err
    picture = matplotlib.image.imread(tmp_path / "c.png")
    assert picture.shape[1] > 2000 and picture.shape[0] < picture.shape[1] / 2
    state = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    again = change(*base)
    assert again.report["up_to_date"]
    assert again.report["changed"] == first.report["changed"]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == state
    other = change(*base, "--no-centre")
    assert other.code == 65 and "made with centre = True; this run has False" in other.err
    assert change(*base, "--no-centre", "--overwrite").code == 0
    assert (tmp_path / "c.csv").read_bytes() != state[tmp_path / "c.csv"][1]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("east_20100701.parquet", "far_20200701.parquet"), 65, "no place in common; the nearest tiles lie"),
        (("east_20100701.parquet", "east_20200701.parquet", "--within", 5), 65, "22.4 m apart, and 5 m are"),
        (("all", "other_model.parquet"), 65, "made by another model than all;"),
        (("all", "other_dim.parquet"), 65, "vectors of 3 numbers, but 5 in all;"),
        (("all", "coarse.parquet"), 65, "its tiles measure 160.1 m, those of all 80.03 m"),
        (("all", "all"), 65, "256 tiles, such as east_20100701/"),
        (
            ("all", "all", *BEFORE, "--after-scenes", "*1999*"),
            65,
            "holds no scene like *1999*; it holds east_",
        ),
        (("all", "none.parquet"), 66, "none.parquet: no such file"),
        (("all", "all", "--top", 0), 2, "--top 0"),
        (("all", "all", "--within", 0), 2, "--within 0"),
        (("all", "all", "--out", "x.shp"), 2, "needs .parquet, .geojson, .csv, .tif"),
        (("all", "all", "--picture", "x.png"), 2, "--picture: needs the tiles' pixels"),
        (
            ("all", "all", *SHEET, "--tiles-after", "grey"),
            65,
            "grey: its tiles differ from those of tiles in",
        ),
        (("all", "all", "--out", "x.tif", "--out", "y.tif"), 2, "x.tif, y.tif are maps; needs one at most"),
        (("all", "all", "--tiles-after", "tiles"), 2, "--tiles-after: needs"),
        (("all", "all", "--out", "all/x.csv"), 2, "lies where all does"),
        (("all", "all", "--out", "tiles"), 2, "its suffix names no format"),
    ],
)
def test_errors(change: Tool, options: tuple[object, ...], code: int, message: str) -> None:
    run = change(*options)
    assert run.code == code, run.err
    assert message in run.err
    lines = [line for line in run.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and not run.out

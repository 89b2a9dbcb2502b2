"""`tile2vec similar` as a user runs it, against a search by brute force."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import geopandas
import matplotlib.image
import numpy as np
import pytest
import shapely
from embedded import Tool, call, truth
from searches import DIM, brute, make, rows, same


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("similar"))


@pytest.fixture
def similar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path) -> Tool:
    """Run the command line in this process, in the folder of the data."""
    monkeypatch.chdir(data)
    return partial(call, capsys, monkeypatch, "similar")


# --- the search ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_the_nearest_are_those_of_brute_force(similar: Tool, data: Path, kind: str) -> None:
    ids, vectors, _ = truth(data / kind)
    same(
        rows(similar(kind, "--to", ids[5], "--json")),
        brute(ids, vectors, [ids[5]]),
    )


def test_examples_and_counter_examples(similar: Tool, data: Path) -> None:
    ids, vectors, _ = truth(data / "float32")
    to, without = [ids[3], ids[7], ids[300]], [ids[11], ids[400]]
    options = [*("--to", "@ids.txt", "--to", ids[300]), *(x for name in without for x in ("--not", name))]
    run = similar("float32", *options, "--top", 400, "--json")
    wanted = brute(ids, vectors, to, without, 400)
    assert len(wanted) < 400
    same(rows(run), wanted)
    assert run.report["examples"] == to
    assert run.report["ruled_out"] == len(ids) - len(to) - len(without) - len(wanted)
    assert "nearer to a counter-example" in run.err


def test_ties_stand_in_the_order_of_their_ids(similar: Tool, tmp_path: Path) -> None:
    count = 20_000  # several batches
    names = np.random.default_rng(1).permutation([f"t{number:05}" for number in range(count)])
    vectors = np.tile(np.random.default_rng(2).normal(size=(1, 16)), (count, 1))
    vectors[names == "t00042"] += 0.1
    frame = geopandas.GeoDataFrame(
        {"tile_id": names, "embedding": list(vectors)}, geometry=[shapely.Point(1, 2)] * count, crs=4326
    )
    frame.to_parquet(tmp_path / "same.parquet")
    found = rows(similar(tmp_path / "same.parquet", "--to", "t00042", "--top", 50, "--json"))
    assert [name for name, _ in found] == sorted(set(names) - {"t00042"})[:50]
    assert len({distance for _, distance in found}) == 1


def test_a_point_means_the_tile_that_holds_it(similar: Tool, data: Path) -> None:
    ids, vectors, shapes = truth(data / "float32")
    row = next(i for i, name in enumerate(ids) if name == "a/40/56")
    lon, lat = shapes[row].centroid.x + 1e-5, shapes[row].centroid.y - 1e-5
    run = similar("float32", f"--to={lon},{lat}", "--json")
    # Both scenes show this place: the same centre, so the lower id.
    assert run.report["examples"] == ["a/40/56"]
    same(rows(run), brute(ids, vectors, ["a/40/56"]))
    run = similar("float32", "--to", "-10.5,49.2")
    assert run.code == 65
    assert "no footprint holds -10.5,49.2; the nearest, of " in run.err
    assert "km" not in run.err and "m away" in run.err


def test_other_peoples_rows_go_by_their_number(similar: Tool, data: Path) -> None:
    ids, vectors, shapes = truth(data / "float32")
    names = [str(number) for number in range(len(ids))]
    found = rows(similar("theirs.parquet", "--to", "17", "--json"))
    same([(str(name), d) for name, d in found], brute(names, vectors, ["17"]))
    point = shapes[17].centroid
    run = similar("theirs.parquet", f"--to={point.x},{point.y}", "--json")
    assert shapely.contains(shapes[run.report["examples"][0]], point)


@pytest.mark.parametrize("kind", ["float32", "int8"])
@pytest.mark.parametrize(("part", "columns"), [("texture", slice(0, 4)), ("place", slice(4, 6))])
def test_one_part_of_the_vectors_alone(
    similar: Tool, data: Path, kind: str, part: str, columns: slice
) -> None:
    ids, vectors, _ = truth(data / kind)
    to, without = [ids[5], ids[300]], [ids[11]]
    base = (f"{kind}-parts", "--to", to[0], "--to", to[1], "--not", without[0], "--json")
    same(rows(similar(*base, "--part", part)), brute(ids, vectors[:, columns], to, without))
    same(rows(similar(*base)), brute(ids, vectors, to, without))


def test_a_part_that_is_not_there(similar: Tool, data: Path, tmp_path: Path) -> None:
    ids, _, _ = truth(data / "float32")
    for file, has in (("float32", "have no parts"), ("float32-parts", "are made of texture, place")):
        run = similar(file, "--to", ids[0], "--part", "small", "--out", tmp_path / "near.csv")
        assert (run.code, len(run.err.splitlines())) == (65, 1)
        assert f": its vectors {has}; a part small is needed." in run.err
    assert not list(tmp_path.iterdir())
    whole = ("float32-parts", "--to", ids[0], "--out", tmp_path / "near.csv")
    assert similar(*whole, "--part", "place").code == 0
    run = similar(*whole)
    assert run.code == 65
    assert "near.csv: made with part = 'place'; this run has None" in run.err


# --- what is written ---------------------------------------------------------------------------


def test_the_table(similar: Tool, data: Path) -> None:
    ids, vectors, _ = truth(data / "float32")
    lines = similar("float32", "--to", ids[0], "--top", 3).out.splitlines()
    assert lines[0].split() == ["rank", "tile_id", "distance", "longitude", "latitude"]
    assert [line.split()[1] for line in lines[1:]] == [
        name for name, _ in brute(ids, vectors, [ids[0]], top=3)
    ]
    assert len(lines[1].split()[3].split(".")[1]) == 6


@pytest.mark.parametrize("suffix", [".parquet", ".geojson", ".csv"])
def test_each_format_reads_back(similar: Tool, data: Path, tmp_path: Path, suffix: str) -> None:
    ids, _, shapes = truth(data / "float32")
    out = tmp_path / f"near{suffix}"
    run = similar("float32", "--to", ids[0], "--top", 5, "--out", out, "--json")
    assert run.report["outputs"] == [str(out)]
    if suffix == ".csv":
        with out.open(newline="") as file:
            found = list(csv.DictReader(file))
    else:
        frame = geopandas.read_parquet(out) if suffix == ".parquet" else geopandas.read_file(out)
        assert frame.crs.to_epsg() == 4326 or frame.crs.to_string() == "OGC:CRS84"
        wanted = [shapes[ids.index(name)] for name in frame["tile_id"]]
        assert shapely.equals_exact(frame.geometry.to_numpy(), wanted, 1e-12).all()
        found = frame.to_dict("records")
    for read, row in zip(found, run.report["similar"], strict=True):
        assert read["tile_id"] == row["tile_id"]
        assert [float(read[key]) for key in ("rank", "distance", "longitude", "latitude")] == [
            row[key] for key in ("rank", "distance", "longitude", "latitude")
        ]


def test_points_of_others_are_written_as_points(similar: Tool, data: Path, tmp_path: Path) -> None:
    frame = geopandas.read_parquet(data / "theirs.parquet")
    frame.set_geometry(frame.geometry.centroid).to_parquet(tmp_path / "points.parquet")
    out = tmp_path / "out" / "near.parquet"
    assert similar(tmp_path / "points.parquet", "--to", "3", "--out", out).code == 0
    assert set(geopandas.read_parquet(out).geometry.geom_type) == {"Point"}


def test_again_is_no_work_and_other_settings_are_refused(similar: Tool, data: Path, tmp_path: Path) -> None:
    ids, _, _ = truth(data / "float32")
    out, sheet = tmp_path / "near.csv", tmp_path / "near.png"
    base = ("float32", "--to", ids[0], "--out", out, "--tiles", "tiles", "--picture", sheet)
    first = similar(*base, "--json")
    state = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    again = similar(*base, "--json")
    assert again.report["up_to_date"] and not first.report["up_to_date"]
    assert again.report["similar"] == first.report["similar"]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == state
    other = similar(*base, "--top", 3)
    assert other.code == 65
    assert "made with top = 20; this run has 3" in other.err
    assert similar(*base, "--top", 3, "--overwrite").code == 0
    assert len(out.read_text().splitlines()) == 4
    # Killed between the record and its output: the output is made again, the same.
    whole = out.read_bytes()
    out.unlink()
    assert similar(*base, "--top", 3).code == 0
    assert out.read_bytes() == whole


def test_a_changed_input_is_searched_again(similar: Tool, data: Path, tmp_path: Path) -> None:
    ids, vectors, _ = truth(data / "float32")
    own = tmp_path / "own"
    own.mkdir()
    for path in sorted((data / "float32").iterdir())[:1]:
        (own / path.name).write_bytes(path.read_bytes())
    line = (own, "--to", ids[0], "--out", tmp_path / "near.geojson", "--json")
    assert len(rows(similar(*line))) == 20
    for path in (data / "float32").iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    run = similar(*line)
    assert not run.report["up_to_date"]
    same(rows(run), brute(ids, vectors, [ids[0]]))


def test_an_unrelated_file_is_left_alone(similar: Tool, data: Path, tmp_path: Path) -> None:
    ids, _, _ = truth(data / "float32")
    for name in ("near.csv", "near.csv.json"):
        (tmp_path / name).write_text("mine")
        run = similar("float32", "--to", ids[0], "--out", tmp_path / "near.csv")
        assert run.code == 65
        assert f"{name}: exists and is not what `similar` wrote" in run.err
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    run = similar("float32", "--to", ids[0], "--out", data / "float32" / "near.parquet", "--overwrite")
    assert run.code == 2
    run = similar("theirs.parquet", "--to", "0", "--out", "theirs.parquet", "--overwrite")
    assert run.code == 2


# --- the picture -------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--rgb", "2"), ("--rgb", "3,2,1")])
def test_the_sheet_shows_the_tiles(similar: Tool, data: Path, tmp_path: Path, options: tuple) -> None:
    ids, _, _ = truth(data / "float32")
    base = ("--to", ids[0], "--not", ids[9], "--top", 12, "--tiles", "tiles", "--picture")
    assert similar("float32", *base, tmp_path / "near.png", *options).code == 0
    picture = matplotlib.image.imread(tmp_path / "near.png")[..., :3]
    blue = (np.abs(picture - np.array([0, 0x72, 0xB2]) / 255) < 0.02).all(axis=-1)
    orange = (np.abs(picture - np.array([0xD5, 0x5E, 0]) / 255) < 0.02).all(axis=-1)
    assert blue.any() and orange.any()
    inner = picture[~blue & ~orange]
    assert (np.ptp(inner, axis=-1).max() < 0.5) == (options == ("--rgb", "2"))


# --- what a user can get wrong -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--to", "a/9999/0"), 65, "float32: holds no tile a/9999/0;"),
        (("--to", "a/9999/9"), 65, "the nearest are a/120/8, a/120/16, a/112/8."),
        (("--to", "a/0/0", "--top", 0), 2, "--top 0: needs a number of at least 1."),
        (("--to", "a/0/0", "--part", "colour"), 2, "--part colour: unknown; needs one of texture,"),
        (("--to", "@empty.txt"), 65, "empty.txt: is empty; --to needs one tile_id or X,Y a line."),
        (("--to", "@none.txt"), 66, "none.txt: No such file"),
        (("--to", ""), 2, "--to: names nothing"),
        (("--to", "200,10"), 2, "200,10: no place on the Earth; needs LONGITUDE,LATITUDE."),
        (("--to", "nan,10"), 2, "no place on the Earth"),
        (("--to", "a/0/0", "--not", "a/0/0"), 65, "a/0/0: given with --to and with --not"),
        (("--to", "a/0/0", "--out", "near.xlsx"), 2, "--out near.xlsx: its suffix names no format"),
        (("--to", "a/0/0", "--picture", "near.png"), 2, "--picture and --tiles: each needs the other."),
        (
            ("--to", "a/0/0", "--tiles", "tiles", "--picture", "p.jpg"),
            2,
            "names no picture; needs .png",
        ),
        (("--to", "a/0/0", "--tiles", "scenes", "--picture", "p.png"), 66, "scenes/manifest.json: no such"),
        (
            ("--to", "a/0/0", "--tiles", "tiles", "--picture", "p.png", "--rgb", "1,2,9"),
            65,
            "--rgb asks for band 9",
        ),
        (("--to", "a/0/0", "--tiles", "tiles", "--picture", "p.png", "--rgb", "1,2"), 2, "--rgb 1,2: needs"),
    ],
)
def test_errors_are_one_line(
    similar: Tool, data: Path, options: tuple[object, ...], code: int, message: str
) -> None:
    (data / "empty.txt").write_text("\n \n")
    run = similar("float32", *options)
    assert run.code == code, run.err
    assert message in run.err
    assert len(run.err.splitlines()) == 1
    assert run.err.startswith("error: ")


def test_unusable_embeddings(similar: Tool, data: Path, tmp_path: Path) -> None:
    assert similar("nowhere.parquet", "--to", "0").code == 66
    run = similar("tiles", "--to", "0")
    assert run.code == 65
    assert "holds no *.parquet" in run.err
    frame = geopandas.read_parquet(data / "theirs.parquet")
    frame.at[4, "embeddings"] = np.full(DIM, np.nan)
    frame.to_parquet(tmp_path / "nan.parquet")
    run = similar(tmp_path / "nan.parquet", "--to", "0")
    assert run.code == 65
    assert "hold NaN" in run.err
    frame.iloc[:1].to_parquet(tmp_path / "one.parquet")
    run = similar(tmp_path / "one.parquet", "--to", "0")
    assert run.code == 65
    assert "holds no tiles beyond those given" in run.err

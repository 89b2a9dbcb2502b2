"""`tile2vec analogy`: against brute force, and on vectors whose arithmetic is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import geopandas
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import shapely
from conftest import Run
from embedded import Tool, call, truth, write
from landscapes import scene

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.config.views import AnalogyConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.labelling import labels
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import analogy_scores

DIM = 8
KINDS = ("dry", "wet", "town")


@pytest.fixture
def analogy(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path) -> Tool:
    monkeypatch.chdir(data)
    return partial(call, capsys, monkeypatch, "analogy")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """256 tiles of three classes, whose vectors say nothing, and a table of the classes."""
    folder = tmp_path_factory.mktemp("analogy")
    cutting.cut([str(scene(folder / "scenes" / "a.tif"))], folder / "tiles", TileConfig(size=8))
    random = np.random.default_rng(0)
    (part,) = TileSet.open(folder / "tiles").parts
    for kind in ("float32", "int8"):
        write(folder / kind / "a.parquet", part, random.normal(size=(part.count, DIM)), kind)
    ids = part.index(["tile_id"])["tile_id"].to_pylist()
    table = pd.DataFrame({"tile_id": ids, "kind": np.array(KINDS)[np.arange(len(ids)) % 3], "one": "same"})
    table.iloc[:-20].to_csv(folder / "kinds.csv", index=False)  # the last ones have no class
    return folder


def brute(folder: Path, target: np.ndarray, left_out: list[str], top: int = 20) -> list[tuple[str, float]]:
    ids, vectors, _ = truth(folder)
    away = [
        (float(np.sqrt(((vector - target) ** 2).sum())), name)
        for name, vector in zip(ids, vectors, strict=True)
    ]
    return [(name, distance) for distance, name in sorted(away) if name not in left_out][:top]


def require_same(run: Run, wanted: list[tuple[str, float]]) -> None:
    assert run.code == 0, run.err
    found = run.report["nearest"]
    assert [row["tile_id"] for row in found] == [name for name, _ in wanted]
    assert [row["distance"] for row in found] == pytest.approx([distance for _, distance in wanted], rel=1e-6)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_tiles_and_places(analogy: Tool, data: Path, kind: str) -> None:
    ids, vectors, shapes = truth(data / kind)
    place = shapes[7].centroid
    run = analogy(kind, ids[3], f"{place.x},{place.y}", ids[100], "--json")
    require_same(run, brute(data / kind, vectors[3] - vectors[7] + vectors[100], [ids[3], ids[7], ids[100]]))
    assert [term["tile_id"] for term in run.report["terms"]] == [ids[3], ids[7], ids[100]]


def test_one_part_of_the_vectors_alone(analogy: Tool, data: Path) -> None:
    (part,) = TileSet.open(data / "tiles").parts
    vectors = np.random.default_rng(1).normal(size=(part.count, 5))
    write(data / "parts" / "a.parquet", part, vectors, sizes={"texture": 3, "place": 2})
    ids, vectors, _ = truth(data / "parts")
    kinds = pd.read_csv(data / "kinds.csv").set_index("tile_id")["kind"].reindex(ids).to_numpy()
    run = analogy(
        "parts",
        KINDS[0],
        ids[7],
        ids[100],
        "--labels",
        "kinds.csv",
        "--field",
        "kind",
        "--part",
        "place",
        "--json",
    )
    own = vectors[:, 3:]
    wanted = own[kinds == KINDS[0]].mean(axis=0) - own[7] + own[100]
    away = sorted(zip(np.linalg.norm(own - wanted, axis=1), ids, strict=True))
    require_same(run, [(name, d) for d, name in away if name not in (ids[7], ids[100])][:20])


def test_classes_are_means_and_may_answer(analogy: Tool, data: Path) -> None:
    ids, vectors, _ = truth(data / "float32")
    kinds = pd.read_csv(data / "kinds.csv").set_index("tile_id")["kind"].reindex(ids)
    dry, wet = (vectors[(kinds == name).to_numpy()].mean(axis=0) for name in ("dry", "wet"))
    run = analogy("float32", "dry", "wet", ids[5], "--labels", "kinds.csv", "--field", "kind", "--json")
    require_same(run, brute(data / "float32", dry - wet + vectors[5], [ids[5]]))
    for row in run.report["nearest"]:
        known = kinds[row["tile_id"]]
        assert row["class"] == (known if isinstance(known, str) else None)
    assert run.report["terms"][0] == {"class": "dry", "tiles": int((kinds == "dry").sum())}
    assert f"dry: the mean of {(kinds == 'dry').sum()} tiles, which may also be answers." in run.err


def test_west_of_greenwich_a_place_is_no_option(analogy: Tool, tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).normal(size=(9, 3))
    boxes = [shapely.box(-70 + x, -9, -69 + x, -8) for x in range(9)]
    frame = geopandas.GeoDataFrame({"embedding": list(vectors)}, geometry=boxes, crs="OGC:CRS84")
    frame.to_parquet(tmp_path / "theirs.parquet")
    run = analogy(tmp_path / "theirs.parquet", "-69.5,-8.5", "-67.5,-8.2", "8", "--top", 50, "--json")
    assert run.code == 0, run.err
    away = ((vectors - (vectors[0] - vectors[2] + vectors[8])) ** 2).sum(axis=1)
    wanted = [row for row in np.argsort(away).tolist() if row not in (0, 2, 8)]
    assert [row["tile_id"] for row in run.report["nearest"]] == wanted
    assert "6 tiles are all there are." in run.err


def test_files_and_the_sheet(analogy: Tool, data: Path, tmp_path: Path) -> None:
    ids, _, _ = truth(data / "float32")
    labelled = ("--labels", "kinds.csv", "--field", "kind")
    files = ("--out", tmp_path / "near.csv", "--tiles", "tiles", "--picture", tmp_path / "near.png")
    first = analogy("float32", "dry", "wet", ids[5], *labelled, *files, "--json")
    assert first.code == 0, first.err
    assert pd.read_csv(tmp_path / "near.csv")["class"].notna().any()
    picture = matplotlib.image.imread(tmp_path / "near.png")[..., :3]
    for colour in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)):
        assert (np.abs(picture - np.array(colour) / 255) < 0.02).all(axis=-1).any()
    again = analogy("float32", "dry", "wet", ids[5], *labelled, *files, "--json")
    assert again.report["up_to_date"] and again.report["nearest"] == first.report["nearest"]
    other = analogy("float32", "wet", "dry", ids[5], *labelled, *files)
    assert other.code == 65 and "made with terms = " in other.err
    run = analogy("float32", ids[1], ids[2], ids[5], "--tiles", "tiles", "--picture", tmp_path / "tiles.png")
    assert run.code == 0, run.err


# --- the score -----------------------------------------------------------------------------------


def scored(folder: Path, make: Callable[[np.random.Generator, int, int], np.ndarray]) -> tuple:
    """Embeddings of 3 classes in each of 40 places 10 km apart, five tiles of each: the score's inputs.

    make: (generator, class, place) -> (5, D) vectors.
    """
    random = np.random.default_rng(5)
    vectors, points, kinds = [], [], []
    for place in range(40):
        for kind in range(3):
            vectors.append(make(random, kind, place))
            points += [shapely.Point(0.1 * place, 0.001 * number) for number in range(5)]
            kinds += [KINDS[kind]] * 5
    frame = geopandas.GeoDataFrame(
        {"tile_id": [str(n) for n in range(len(points))], "embedding": list(np.concatenate(vectors))},
        geometry=points,
        crs="OGC:CRS84",
    )
    frame.to_parquet(folder / "embeddings.parquet")
    pd.DataFrame({"tile_id": frame["tile_id"], "kind": kinds}).to_csv(folder / "kinds.csv", index=False)
    every = Embeddings.open(folder / "embeddings.parquet")
    return every, labels.read(folder / "kinds.csv", every.geometry, every.tile_id, field="kind")


def test_where_places_hide_classes_arithmetic_finds_them(tmp_path: Path) -> None:
    """vector = class + 10 × place, places on two axes: alone, neither A nor C tells the class."""
    steps = np.random.default_rng(6).integers(0, 6, (40, 2))

    def make(random: np.random.Generator, kind: int, place: int) -> np.ndarray:
        return np.concatenate([np.eye(3)[kind], 10 * steps[place]]) + random.normal(0, 0.01, (5, 5))

    found = analogy_scores.score(*scored(tmp_path, make), AnalogyConfig(score=True, draws=600))
    assert found.pairs == 6 and found.all.draws == 600
    assert sorted(share.draws for share in found.classes) == [200, 200, 200]
    assert found.all.accuracy > 0.95 and found.all.means > 0.95
    assert found.all.chance == pytest.approx(1 / 3, abs=1e-9)
    assert found.all.c_alone < 0.05


def test_vectors_that_say_nothing_score_as_chance(tmp_path: Path) -> None:
    every, classes = scored(tmp_path, lambda random, *_: random.normal(size=(5, 4)))
    found = analogy_scores.score(every, classes, AnalogyConfig(score=True, draws=3000))
    for share in (found.all.accuracy, found.all.means, found.all.a_alone, found.all.c_alone):
        assert share == pytest.approx(1 / 3, abs=0.06)
    again = analogy_scores.score(every, classes, AnalogyConfig(score=True, draws=3000))
    other = analogy_scores.score(every, classes, AnalogyConfig(score=True, draws=3000, seed=1))
    assert found == again and found != other


def test_no_answer_lies_in_the_blocks_of_the_question(tmp_path: Path) -> None:
    """Where a place is all that a vector says, the tiles beside A would always be right."""

    def make(random: np.random.Generator, kind: int, place: int) -> np.ndarray:
        return random.normal(0, 1e-3, (5, 2)) + np.array([1000 * place + 10 * kind, 0])

    every, classes = scored(tmp_path, make)
    drawn = analogy_scores._drawn(classes.codes, [0, 1, 2], 50, np.random.default_rng(0))
    assert (classes.codes[drawn[:, 1]] == classes.codes[drawn[:, 2]]).all()
    assert (classes.codes[drawn[:, 0]] != classes.codes[drawn[:, 1]]).all()
    assert (drawn[:, 1] != drawn[:, 2]).all()
    blocks = np.repeat(np.arange(40), 15)
    right = analogy_scores._judged(every.vectors, classes.codes, blocks, drawn, lambda *_: None)
    for (a, b, c), row in zip(drawn, right, strict=True):
        allowed = np.flatnonzero(~np.isin(blocks, blocks[[a, b, c]]))
        vectors = every.vectors.astype(np.float64)
        for column, target in ((0, vectors[a] - vectors[b] + vectors[c]), (2, vectors[a]), (3, vectors[c])):
            nearest = allowed[((vectors[allowed] - target) ** 2).sum(axis=1).argmin()]
            assert row[column] == (classes.codes[nearest] == classes.codes[a])
        assert row[4] == pytest.approx((classes.codes[allowed] == classes.codes[a]).mean())


def test_the_score_as_a_user_asks_for_it(analogy: Tool, tmp_path: Path) -> None:
    scored(tmp_path, lambda random, kind, _: random.normal(size=(5, 3)) + 9 * np.eye(3)[kind])
    options = ("--labels", tmp_path / "kinds.csv", "--field", "kind", "--score", "--draws", 60)
    run = analogy(tmp_path / "embeddings.parquet", *options, "--json")
    assert run.report["score"]["accuracy"] > 0.9 and run.report["score"]["a_alone"] == 1
    lines = analogy(tmp_path / "embeddings.parquet", *options).out.splitlines()
    assert lines[0].split() == ["class", "draws", "accuracy", "means", "chance", "a_alone", "c_alone"]
    assert [line.split()[0] for line in lines[1:]] == ["dry", "town", "wet", "all"]


# --- what a user can get wrong ----------------------------------------------------------------------

_LABELS = ("--labels", "kinds.csv", "--field", "kind")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("a/0/0", "a/0/8"), 2, "2 terms: needs three, A B C, or --score alone."),
        (("a/0/0", "a/0/8", "a/0/16", "--score", *_LABELS), 2, "3 terms and --score: needs three, A B C"),
        (("a/0/0", "a/0/0", "a/0/16"), 2, "A and B are the same"),
        (("a/0/0", "a/0/8", "a/0/17"), 65, "no tile a/0/17; an example has to be in it. Check the id: the"),
        (("dri", "wet", "a/0/16", *_LABELS), 65, "The classes of kinds.csv are: dry, town, wet."),
        (("a/0/0", "a/0/8", "200,10"), 2, "200,10: no place on the Earth"),
        (("a/0/0", "a/0/8", "-20.5,10"), 65, "no footprint holds -20.5,10"),
        (("a/0/0", "a/0/8", "a/0/16", "--tilse"), 2, "--tilse: no such option."),
        (("a/0/0", "a/0/8", "a/0/16", "--picture", "p.png"), 2, "--picture and --tiles"),
        (("a/0/0", "a/0/8", "a/0/16", "--out", "p.xlsx"), 2, "its suffix names no format"),
        (("--score",), 2, "--score: needs classes. Give --labels."),
        (("--score", "--out", "x.csv", *_LABELS), 2, "--score: writes no files"),
        (("--score", "--draws", 0, *_LABELS), 2, "--draws 0: needs a number of at least 1."),
        (
            ("--score", "--labels", "kinds.csv", "--field", "one", "--block", 300),
            65,
            "class same alone has tiles in 4 blocks of 300 m; two classes are needed.",
        ),
        (("--score", "--block", 1e5, *_LABELS), 65, "no class has tiles in 4 blocks of 100000 m; dry: "),
        (("--score", "--labels", "none.csv"), 66, "none.csv: no such file"),
    ],
)
def test_errors_are_one_line(analogy: Tool, options: tuple[object, ...], code: int, message: str) -> None:
    run = analogy("float32", *options)
    assert run.code == code, run.err
    assert message in run.err
    assert len(run.err.splitlines()) == 1

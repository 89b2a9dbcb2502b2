"""import tile2vec_cli as t2v: the toolkit in Python, against the command line."""

from __future__ import annotations

import hashlib
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import landscapes
import numpy as np
import pytest
import rasterio
import stubs
from conftest import Run

import tile2vec_cli as t2v
from tile2vec_cli import cli
from tile2vec_cli.api import calls

DOCS = (Path(__file__).resolve().parents[1] / "docs" / "python.md").read_text()
OF_THE_CONSOLE = {"json", "quiet", "help", "to_json"}
FAST = {"n_labels": (20,), "repeats": 2, "block": 100.0, "baselines": [], "classifier": "logistic"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The contract's five lines on a small scene, and the numbers that were told of the progress."""
    folder = tmp_path_factory.mktemp("api")
    land(folder)
    told: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tiles = t2v.tile(["scenes"], out="tiles", size=8, on_progress=lambda *now: told.append(now))
        triplets = t2v.sample_triplets(tiles, out="t.parquet", count=2_000)
        model = t2v.train(triplets, tiles=tiles, out="model", steps=3)
        vectors = t2v.embed(tiles, model=model, out="e.parquet")
        verdict = t2v.probe(vectors, labels="lc.tif", tiles=tiles, **FAST)
    return SimpleNamespace(**{k: v for k, v in locals().items() if k != "patch"})


def land(folder: Path) -> None:
    scene = landscapes.scene(folder / "scenes" / "a.tif", side=256)
    classes = np.kron(np.random.default_rng(0).integers(1, 3, (16, 16)), np.ones((16, 16)))
    with rasterio.open(scene) as file:
        profile = {**file.profile, "count": 1}
    with rasterio.open(folder / "lc.tif", "w", **profile) as file:
        file.write(classes.astype(np.uint8), 1)


@pytest.fixture(autouse=True)
def at_home(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made.folder)


def content(path: Path) -> dict[str, str]:
    files = sorted(file for file in path.rglob("*") if file.is_file()) or [path]
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.name not in {"metrics.jsonl", "part.json"}  # which say when, and where from
    }


def test_the_command_line_makes_the_same_bytes(made: SimpleNamespace, tile2vec: Callable[..., Run]) -> None:
    one = tile2vec("tile", "scenes", "--out", "c/tiles", "--size", "8", "--json", cwd=made.folder)
    steps = [
        ("sample-triplets", "tiles", "--out", "c/t.parquet", "--count", "2000"),
        ("embed", "tiles", "--model", "model", "--out", "c/e.parquet"),
        (
            "probe",
            "e.parquet",
            "--labels",
            "lc.tif",
            "--classifier",
            "logistic",
            "--n-labels",
            "20",
            "--repeats",
            "2",
            "--block",
            "100",
        ),
    ]
    runs = [one, *(tile2vec(*step, "--json", cwd=made.folder) for step in steps)]
    for name in ("tiles", "t.parquet", "e.parquet"):
        assert content(made.folder / "c" / name) == content(made.folder / name), name
    objects = (made.tiles, made.triplets, made.vectors, made.verdict)
    for run, found in zip(runs, objects, strict=True):
        assert run.report.keys() == found.report.keys()
    assert runs[0].report["tiles"] == len(made.tiles) == made.tiles.report["tiles"]
    assert runs[3].report["scores"] == made.verdict.report["scores"]


def test_objects(made: SimpleNamespace) -> None:
    tiles, vectors, model = made.tiles, made.vectors, made.model
    assert tiles.index.crs.equals("OGC:CRS84") and len(tiles.index) == len(tiles) == 32 * 32
    with rasterio.open(made.folder / "scenes" / "a.tif") as file:
        row, col = tiles.index.loc[77, ["row", "col"]]
        assert (tiles.pixels(77)[0] == file.read()[:, row : row + 8, col : col + 8]).all()
    mask = (tiles.index.row == 0).to_numpy()
    assert (tiles.pixels(mask) == tiles.pixels(np.flatnonzero(mask))).all()
    with pytest.raises(IndexError):
        tiles.pixels([-1])
    again = t2v.Triplets.open("t.parquet")
    assert "array" not in repr(again)
    assert (again.ids == made.triplets.ids).all() and again.ids.shape == (2000, 3)
    opened = t2v.Embeddings.open(made.folder / "e.parquet")
    assert opened.vectors.shape == (len(tiles), model.dim) and opened.vectors.dtype == np.float32
    assert list(opened.parts) == list(model.parts) == ["texture", "place"]
    frame = vectors.to_geopandas()
    places = tiles.positions(frame.tile_id.tolist())
    assert (frame.geometry.to_numpy() == tiles.index.geometry.to_numpy()[places]).all()
    assert (np.stack(frame.embedding) == vectors.vectors).all()
    found = model.encode(tiles.pixels(places))  # in other batches: sums may be rounded otherwise
    np.testing.assert_allclose(found, vectors.vectors, rtol=1e-4, atol=1e-4)
    assert model.encode(tiles.pixels([])).shape == (0, model.dim)
    assert list(made.verdict.scores.columns)[:4] == ["features", "classifier", "n_labels", "accuracy"]
    assert "embeddings" in repr(made.verdict)


def test_without_files(made: SimpleNamespace) -> None:
    tiles, vectors = made.tiles, t2v.embed(made.tiles, model=made.model)
    assert vectors.path is None
    assert (vectors.vectors[tiles.positions(made.vectors.tile_id.tolist())] == made.vectors.vectors).all()
    assert (t2v.sample_triplets("tiles", count=2_000).ids == made.triplets.ids).all()
    by_file = t2v.probe(vectors, labels="lc.tif", **FAST | {"baselines": None})
    by_tiles = t2v.probe(vectors.vectors, "lc.tif", tiles=tiles, **FAST)
    assert by_tiles.report["scores"] == by_file.report["scores"]
    with rasterio.open("lc.tif") as file:
        blocks = file.read(1)[::8, ::8].ravel()
    by_hand = t2v.probe(vectors.vectors, labels=list(map(str, blocks)), tiles=tiles, **FAST)
    assert by_hand.report["scores"] == by_file.report["scores"]
    at = t2v.probe(vectors.vectors, labels=blocks, places=tiles.index, **FAST | {"baselines": None})
    assert at.report["scores"] == by_file.report["scores"]
    with pytest.raises(t2v.errors.UsageError, match="in memory"):
        t2v.similar(vectors, to="a/0/0")


def test_progress_rises(made: SimpleNamespace) -> None:
    done = [number for number, _ in made.told]
    assert done == sorted(done) and made.told[-1] == (1024, 1024)


def test_errors(made: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match="sizes"):
        t2v.tile("scenes", "x", sizes=8)
    with pytest.raises(TypeError, match="out"):
        t2v.tile("scenes")
    for bad in ({"size": 1}, {"size": "wide"}, {"alpha": "some"}, {"bands": ["red"]}):
        with pytest.raises(t2v.errors.UsageError):
            t2v.tile("scenes", "x", **bad)
    for empty in ({"scenes": ""}, {"scenes": ["scenes", ""]}, {"out": ""}, {"aoi": ""}):
        with pytest.raises(t2v.errors.UsageError, match="is empty; a path is needed"):
            t2v.tile(**{"scenes": "scenes", "out": "x", **empty})
    for empty in ({"embeddings": ""}, {"labels": ""}, {"tiles": ""}):
        with pytest.raises(t2v.errors.UsageError, match="is empty; a path is needed"):
            t2v.probe(**{"embeddings": "e.parquet", "labels": "lc.tif", **empty})
    with pytest.raises(t2v.errors.InputError, match="nowhere"):
        t2v.tile("nowhere.tif", "x")
    with pytest.raises(t2v.errors.DataError, match="size"):
        t2v.tile("scenes", "tiles", size=16)
    with pytest.raises(t2v.errors.DataError, match="uint8"):
        made.model.encode(np.zeros((1, 3, 8, 8)))
    with pytest.raises(t2v.errors.UsageError, match="labels = None"):
        t2v.probe(made.vectors, labels=None)


def test_addresses_stay_as_they_are() -> None:
    assert calls.taken("scenes", "s3://host/a.tif", "Sequence[str]") == ("s3://host/a.tif",)


def test_a_bad_scene_is_raised_behind_the_others(made: SimpleNamespace) -> None:
    with pytest.raises(t2v.errors.InputError, match="nowhere"):
        t2v.tile(["nowhere.tif", Path("scenes")], out="some", size=8)
    assert len(t2v.TileSet.open("some")) == len(made.tiles)


def test_other_functions_take_objects(made: SimpleNamespace) -> None:
    found = t2v.similar(made.vectors, to=["a/0/0", tuple(made.tiles.lonlat[5])], top=2)
    assert found.report["command"] == "similar" and len(found.report["similar"]) == 2
    drawn = t2v.preview(made.vectors, "p.tif", tiles=made.tiles)
    assert drawn.path == drawn.files[0] and drawn.path.exists()
    for one in (made.tiles, made.triplets, made.model, made.vectors):
        assert t2v.check(one).report["damaged"] == 0


def test_every_command_and_option_is_there() -> None:
    for name, function in cli.COMMANDS.items():
        own = set(inspect.signature(getattr(t2v, function)).parameters)
        missing = {option.name for option in cli.program(name).params} - own - OF_THE_CONSOLE
        assert not missing, f"{name}: its function in api/ takes no {missing}"


def test_the_stub_says_what_the_functions_are() -> None:
    assert stubs.STUB.read_text() == stubs.text(), "run PYTHONPATH=. python tests/stubs.py"


def test_importing_loads_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "geopandas", "rasterio", "typer", "rich", "pandas")
    program = "import sys, tile2vec_cli as t2v; assert 'tile' in dir(t2v); t2v.errors.DataError\n"
    program += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_hides_a_function() -> None:
    modules = {path.stem for path in Path(t2v.__file__).parent.iterdir()}
    assert not modules & set(t2v._FUNCTIONS)


def test_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    land(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL):
        exec(block, names)
    assert capfd.readouterr().out == ""

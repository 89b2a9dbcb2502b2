"""`tile2vec inspect` as a user runs it, on vectors made of known factors."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import landscapes
import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from embedded import Tool, call, write

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import inspection


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path) -> Tool:
    monkeypatch.chdir(data)
    monkeypatch.setattr(inspection, "_REPEATS", 2)
    return partial(call, capsys, monkeypatch, "inspect")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """256 tiles of four bands; vectors hold the mean of band 2 in dimension 3, contrast in 0, and noise."""
    folder = tmp_path_factory.mktemp("inspect")
    path = landscapes.scene(folder / "scenes" / "a_20200701.tif", bands=4)
    cutting.cut([str(path)], folder / "tiles", TileConfig(size=8))
    part = TileSet.open(folder / "tiles").parts[0]
    pixels = part.filled(slice(None)).astype(np.float64)
    vectors = np.random.default_rng(0).normal(size=(part.count, 6))
    vectors[:, 3] = pixels[:, 1].mean(axis=(1, 2))
    vectors[:, 0] = 3 * pixels.std(axis=(2, 3)).mean(axis=1)
    write(folder / "good.parquet", part, vectors)
    write(folder / "parts.parquet", part, vectors, sizes={"texture": 3, "place": 3})
    write(folder / "flat.parquet", part, np.full((part.count, 6), 2.0))
    write(folder / "few.parquet", part, vectors)
    pd.DataFrame(
        {
            "tile_id": part.index()["tile_id"].to_pylist(),
            "bright": np.where(vectors[:, 3] > np.median(vectors[:, 3]), "yes", "no"),
        }
    ).to_csv(folder / "labels.csv", index=False)
    np.save(folder / "truth.npy", vectors[:, [3, 0]])
    return folder


BASE = ("good.parquet", "--tiles", "tiles", "--block", 320)


def test_it_finds_what_the_vectors_were_made_of(inspect: Tool, data: Path, tmp_path: Path) -> None:
    run = inspect(*BASE, "--labels", "labels.csv", "--field", "bright", "--out", tmp_path / "i", "--json")
    assert run.code == 0, run.err
    report = run.report
    factors = {row["factor"]: row for row in report["factors"]}
    assert set(factors) == {
        *("latitude", "longitude", "band 1", "band 2", "band 3", "band 4", "NDVI", "contrast", "gradient")
    }
    for name, dimension in (("band 2", 3), ("contrast", 0)):
        assert factors[name]["together"] > 0.99 and factors[name]["alone"] > 0.99
        assert factors[name]["dimension"] == dimension
    assert factors["gradient"]["alone"] > 0.8  # follows from contrast, for noise
    assert factors["latitude"]["together"] < 0.6
    first = report["components"][0]
    assert first["factor"] in {"band 2", "contrast", "gradient"}
    assert abs(first["correlations"][first["factor"]]) > 0.8
    assert report["dim"] == 6 and report["tiles"] == 256 and report["blocks"] == 24
    assert 1.5 < report["effective_rank"] < 2.5  # two dimensions hold nearly all
    assert {score["features"] for score in report["probe"]["scores"]} == {"embeddings", "stats", "rcf"}
    verdicts = report["verdicts"]
    assert verdicts["disentangled"].startswith("yes") or verdicts["disentangled"].startswith("partly")
    assert verdicts["spread"].startswith("no collapse")
    assert verdicts["easier tasks"].split(":")[0] in {"yes", "hardly", "no"}
    names = ["report.json", "inspect.html", "factors.png", "spectrum.png", "components.png"]
    assert [Path(path).name for path in report["outputs"]] == names
    page = (tmp_path / "i" / "inspect.html").read_text()
    assert all(f'src="{name}"' in page for name in names[2:])
    assert verdicts["spread"].replace("%", "%") in page
    for name in names[2:]:
        assert matplotlib.image.imread(tmp_path / "i" / name).shape[1] > 1500
    # The ends of the components are the ends: by a projection of all vectors at once.
    frame = pd.read_parquet(data / "good.parquet")
    vectors = np.stack(frame["embedding"].to_list()).astype(np.float64)
    values = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    order = frame["tile_id"].to_numpy()[np.argsort(values.U[:, 0])]
    assert {first["lowest"][0], first["highest"][0]} == {order[0], order[-1]}
    assert len(first["lowest"]) == 10


def test_each_part_is_judged_by_itself(inspect: Tool, data: Path, tmp_path: Path) -> None:
    """Contrast is in the one part, the mean of band 2 in the other."""
    base = (*BASE[1:], "--labels", "labels.csv", "--field", "bright", "--json")
    report = inspect("parts.parquet", *base, "--out", tmp_path / "i").report
    vectors = np.stack(pd.read_parquet(data / "parts.parquet")["embedding"].to_list()).astype(np.float64)
    total = vectors.var(axis=0, ddof=1).sum()
    for name, columns, own, other in (
        ("texture", slice(0, 3), "contrast", "band 2"),
        ("place", slice(3, 6), "band 2", "contrast"),
    ):
        part = report["parts"][name]
        variances = np.linalg.svd(vectors[:, columns] - vectors[:, columns].mean(axis=0))[1] ** 2 / 255
        shares = variances / variances.sum()
        assert part["dim"] == 3
        assert part["share"] == pytest.approx(variances.sum() / total, abs=1e-3)
        assert part["effective_rank"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), abs=1e-2)
        assert part["factors"][own] > 0.99 > 0.7 > part["factors"][other]
        assert f"; {name} alone: rank {part['effective_rank']:.1f} of 3" in report["verdicts"]["spread"]
    scores = {s["features"]: s["accuracy"] for s in report["probe"]["scores"]}
    assert set(scores) == {"embeddings", "texture", "place", "stats", "rcf"}
    alone = f"(texture {scores['texture']:.3f}, place {scores['place']:.3f} alone)"
    assert alone in report["verdicts"]["easier tasks"]
    page = (tmp_path / "i" / "inspect.html").read_text()
    assert "<th>R², texture</th><th>R², place</th>" in page and "<td>whole</td>" in page
    assert "parts" not in inspect("good.parquet", *base, "--out", tmp_path / "j").report
    assert "<td>whole</td>" not in (tmp_path / "j" / "inspect.html").read_text()


def test_without_tiles_it_judges_places_alone(inspect: Tool, tmp_path: Path) -> None:
    run = inspect("good.parquet", "--block", 320, "--out", tmp_path / "i", "--sample", 100, "--json")
    assert {row["factor"] for row in run.report["factors"]} == {"latitude", "longitude"}
    assert run.report["sample"] == 100
    assert run.report["pictures"] == ["factors.png", "spectrum.png"]
    assert run.report["verdicts"]["easier tasks"].startswith("not judged")


def test_collapse_is_said(inspect: Tool, tmp_path: Path) -> None:
    run = inspect("flat.parquet", "--tiles", "tiles", "--out", tmp_path / "i", "--json")
    assert run.code == 0, run.err
    assert run.report["verdicts"]["spread"].startswith("collapsed")
    assert run.report["components"] == [] and "components.png" not in run.report["pictures"]
    # By default the tiles of so small a scene lie in one block or two.
    assert run.report["blocks"] < 4


def test_again_is_no_work(inspect: Tool, data: Path, tmp_path: Path) -> None:
    base = (*BASE, "--out", tmp_path, "--components", 2, "--json")
    first = inspect(*base)
    state = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    again = inspect(*base)
    assert again.report["up_to_date"] and not first.report["up_to_date"]
    assert again.report["verdicts"] == first.report["verdicts"]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == state
    other = inspect(*base, "--seed", 1)
    assert other.code == 65 and "made with seed = 0; this run has 1" in other.err
    # A picture that is gone is made again, to the same bytes.
    (tmp_path / "components.png").unlink()
    assert not inspect(*base).report["up_to_date"]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {
        path: content for path, (_, content) in state.items()
    }
    whole = json.loads((tmp_path / "report.json").read_text())
    for edited in ({"format": "mine"}, {**whole, "pictures": None}):
        (tmp_path / "report.json").write_text(json.dumps(edited))
        assert inspect(*base).code == 65


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("none.parquet",), 66, "none.parquet: no such file"),
        (("good.parquet", "--tiles", "tiles", "--red", 1, "--nir", 5), 65, "--red and --nir ask for band 5"),
        (("good.parquet", "--tiles", "tiles", "--red", 1), 2, "each needs the other"),
        (("good.parquet", "--red", 1, "--nir", 2), 2, "name bands of --tiles"),
        (("good.parquet", "--field", "x"), 2, "--field: names a field of --labels"),
        (("good.parquet", "--labels", "none.csv"), 66, "none.csv: no such file"),
        (("good.parquet", "--sample", 3), 2, "--sample 3"),
        (("good.parquet", "--tiles", "other"), 65, "lacks 256 of 256 tiles, such as a_20200701/"),
    ],
)
def test_errors(inspect: Tool, data: Path, tmp_path: Path, options: tuple, code: int, message: str) -> None:
    if "other" in options and not (data / "other").exists():
        path = landscapes.scene(data / "scenes" / "b.tif", bands=4)
        cutting.cut([str(path)], data / "other", TileConfig(size=8))
    run = inspect(*options, "--out", tmp_path / "i")
    assert run.code == code, run.err
    assert message in run.err
    assert len(run.err.splitlines()) == 1 and not run.out
    assert not (tmp_path / "i").exists()

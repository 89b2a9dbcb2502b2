"""`tile2vec compare`: the same as the single commands, each made once, whatever fails or stops in between."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import embedded
import landscapes
import numpy as np
import pandas as pd
import pytest
from conftest import Run
from embedded import Tool

from tile2vec_cli.config.pipeline import CompareConfig, ProbeConfig
from tile2vec_cli.errors import DataError, Interrupted
from tile2vec_cli.evaluation import comparison, comparison_reports
from tile2vec_cli.evaluation.comparison import Bench
from tile2vec_cli.learning import training
from tile2vec_cli.outputs.parts import silent
from tile2vec_cli.tiling.tiles import TileSet

PROBE = ("--field", "rough", "--n-labels", "20,60", "--repeats", "1", "--block", "160")
QUICK = (*PROBE, "--minutes", "0.0005", "--end-to-end-repeats", "1")
TWO = ("--objectives", "rotation,triplet")


@pytest.fixture
def compare(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path
) -> Callable[..., Run]:
    def run(*arguments: object, command: str = "compare") -> Run:
        monkeypatch.chdir(data)
        return embedded.call(capsys, monkeypatch, command, *arguments)

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 256 tiles, triplets, and labels: whether a tile is rough."""
    folder = tmp_path_factory.mktemp("compare")
    tiles = TileSet.open(landscapes.make(folder, count=300)[0])
    deviation = tiles.pixels(np.arange(256)).astype(float).std(axis=(2, 3)).mean(axis=1)
    rough = (deviation > np.median(deviation)).astype(int)
    pd.DataFrame({"tile_id": tiles.table()["tile_id"].to_pylist(), "rough": rough}).to_csv(
        folder / "labels.csv", index=False
    )
    return folder


def ask(out: str, *more: object) -> tuple[object, ...]:
    return "tiles", "--labels", "labels.csv", *QUICK, "--triplets", "triplets.parquet", "--out", out, *more


def states(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_table_is_what_the_single_commands_say(compare: Tool, data: Path) -> None:
    run = compare(*ask("c", *TWO, "--json"))
    assert run.code == 0, run.err
    report = run.report
    assert (report["format"], report["command"]) == ("tile2vec-report/1", "compare")
    assert report["outputs"] == [f"c/compare.{suffix}" for suffix in ("json", "csv", "md", "png")]
    rows = {(s["features"], s["n_labels"]): s for s in report["scores"]}
    names = {"rotation", "triplet", "stats", "pca", "random", "rcf", "end-to-end"}
    assert {name for name, _ in rows} == names
    assert len(rows) == len(report["scores"]) == 2 * len(names)
    assert "compare: 3 made, 0 skipped (up to date), 0 failed" in run.err
    for name in ("rotation", "triplet"):
        alone = compare("tiles", "--model", f"c/models/{name}", "--out", f"{name}.parquet", command="embed")
        assert alone.code == 0
        vectors = f"c/embeddings/{name}.parquet"
        assert (data / vectors).read_bytes() == (data / f"{name}.parquet").read_bytes()
        options = ("--labels", "labels.csv", *PROBE, "--classifier", "logistic", "--tiles", "tiles", "--json")
        probe = compare(vectors, *options, command="probe").report
        for score in probe["scores"]:
            own = name if score["features"] == "embeddings" else score["features"]
            assert rows[own, score["n_labels"]] == {**score, "features": own}
        assert report["classes"] == probe["classes"]
    assert [rows["end-to-end", n]["repeats"] for n in (20, 60)] == [1, 1]
    assert report["end_to_end"] == {"minutes": 0.0005, "repeats": 1}
    for name in ("rotation", "triplet"):
        model = json.loads((data / "c" / "models" / name / "model.json").read_text())
        assert model["settings"].get("objective", "triplet") == name
        assert report["objectives"][name]["steps"] == model["scores"]["steps"]


def test_the_default_stands_beside_its_two_parts(compare: Tool, data: Path) -> None:
    """`assisted` has both, each objective the trained one alone, `maf` the other, and no steps."""
    names = ("assisted", "triplet", "infonce", "maf")
    run = compare(*ask("p", "--objectives", ",".join(names[::-1]), "--margin", 5, "--json"))
    assert run.code == 0, run.err
    # What they learn from labels alone is the network of the others, whichever comes first.
    probed = json.loads((data / "p" / "probes" / "rivals" / "report.json").read_text())
    assert probed["made_from"]["settings"]["embeddings"].endswith("infonce.parquet")
    known = run.report["objectives"]
    assert {name: known[name]["encoder"] for name in names} == {
        **dict.fromkeys(names, "texture"),
        "maf": "none",
    }
    assert known["maf"]["steps"] == 0 < known["assisted"]["steps"]
    width = {}
    for name in names:
        file = data / "p" / "embeddings" / f"{name}.parquet"
        width[name] = len(pd.read_parquet(file)["embedding"][0])
        settings = json.loads((data / "p" / "models" / name / "model.json").read_text())["settings"]
        assert settings["place"] == (name in ("assisted", "maf"))
        assert settings.get("margin") == (5 if name in ("assisted", "triplet") else None)
    assert width["triplet"] == width["infonce"] == 128
    assert width["assisted"] == 128 + width["maf"]
    text = (data / "p" / "compare.md").read_text()
    assert "Every objective trained the encoder `texture` for 0.0005 min at most" in text
    assert "maf is the part in closed form alone, without a step." in text
    rows = [line for line in text.splitlines() if line.startswith("| maf |")]
    assert [line.split("|")[2].strip() for line in rows] == ["0"]


def test_the_files_hold_the_same_table(compare: Tool, data: Path) -> None:
    report = compare(*ask("c", *TWO, "--json")).report
    saved = json.loads((data / "c" / "compare.json").read_text())
    assert saved["format"] == "tile2vec-compare/1"
    assert saved["scores"] == report["scores"]
    with (data / "c" / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["features"], float(r["accuracy"])) for r in rows] == [
        (s["features"], s["accuracy"]) for s in report["scores"]
    ]
    assert all((r["steps"] != "") == (r["features"] in ("rotation", "triplet")) for r in rows)
    lines = [line for line in (data / "c" / "compare.md").read_text().splitlines() if line.startswith("| ")]
    assert lines[0] == "| learned by | steps | classifier | 20 labels | 60 labels |"
    means = [
        np.mean([s["accuracy"] for s in report["scores"] if f"| {s['features']} |" in x]) for x in lines[2:]
    ]
    assert len(means) == 7
    assert means == sorted(means, reverse=True)
    shown = compare(*ask("c", *TWO)).out.splitlines()
    assert [line.split()[0] for line in shown[1:]] == [line.split()[1] for line in lines[2:]]


def test_a_second_run_makes_nothing(compare: Tool, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = compare(*ask("c", *TWO, "--json")).report
    before = states(data / "c")
    monkeypatch.setattr(training.Run, "loop", None)
    again = compare(*ask("c", *TWO, "--json"))
    assert again.report["up_to_date"]
    assert again.report["scores"] == first["scores"]
    assert "compare: 0 made, 3 skipped (up to date), 0 failed" in again.err
    assert states(data / "c") == before
    other = compare(*ask("c", *TWO), "--minutes", 1)
    assert other.code == 65
    assert other.err.startswith("error: c: made with minutes = 0.0005; this run has 1.0.")
    assert states(data / "c") == before


def test_what_was_deleted_is_made_again_and_nothing_else(
    compare: Tool, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compare(*ask("c", *TWO, "--json")).report
    before = states(data / "c")
    (data / "c" / "embeddings" / "rotation.parquet").unlink()
    monkeypatch.setattr(training.Run, "loop", None)
    again = compare(*ask("c", *TWO, "--json"))
    assert not again.report["up_to_date"]
    assert again.report["scores"] == first["scores"]
    assert "compare: 1 made, 2 skipped (up to date), 0 failed" in again.err
    now = states(data / "c")
    assert now.keys() == before.keys()
    changed = {str(path.relative_to(data / "c")) for path in now if now[path] != before[path]}
    tables = {f"compare.{suffix}" for suffix in ("json", "csv", "md", "png")}
    assert changed == {"embeddings/rotation.parquet"} | tables


def test_a_stopped_run_goes_on_and_one_that_fails_stops_no_other(
    compare: Tool, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles without dates have no order; a signal comes in when the third objective is to be trained."""
    trained: list[str] = []
    train = training.train

    def watched(triplets: Path, tiles: Path, out: Path, config: Any, **more: Any) -> Any:
        if config.objective == "infonce" and not trained:
            trained.append("inpainting")
            raise Interrupted
        report = train(triplets, tiles, out, config, **more)
        if "inpainting" in trained and not report.up_to_date:
            trained.append(config.objective)
        return report

    monkeypatch.setattr(training, "train", watched)
    monkeypatch.chdir(data)
    probe = ProbeConfig(
        field="rough",
        n_labels=(20, 60),
        repeats=1,
        block_m=160,
        classifiers=("logistic",),
        end_to_end_repeats=1,
    )
    config = CompareConfig(0.0005, ("order", "inpainting", "infonce"), probe=probe)
    with pytest.raises(Interrupted):
        paths = (Path("tiles"), "labels.csv", Path("d"))
        comparison_reports.run(
            Bench(*paths, config, lambda *_stage: nullcontext(silent), Path("triplets.parquet"))
        )
    assert not (data / "d" / "compare.json").exists()
    arguments = ask("d", "--objectives", "order,inpainting,infonce", "--json")
    run = compare(*arguments)
    assert trained == ["inpainting", "infonce"]
    assert run.code == 65
    assert run.report["failed"] == ["order"]
    assert "error: order: tiles: its scenes have no dates" in run.err
    assert set(run.report["objectives"]) == {"inpainting", "infonce"}
    strict = compare(*arguments, "--strict")
    assert (strict.code, strict.out) == (65, "")


def test_more_objectives_join_the_table(compare: Tool, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare(*ask("g", "--objectives", "inpainting", "--json")).code == 0
    more = compare(*ask("g", "--objectives", "triplet", "--json"))
    assert more.code == 0, more.err
    assert set(more.report["objectives"]) == {"inpainting", "triplet"}
    assert "compare: 1 made, 2 skipped (up to date), 0 failed" in more.err
    # What is not learned stays beside vectors that are there, and moves to others where they are not.
    train = training.train

    def broken(triplets: Path, tiles: Path, out: Path, config: Any, **more: Any) -> Any:
        if config.objective == "inpainting":
            raise DataError("broken")
        return train(triplets, tiles, out, config, **more)

    monkeypatch.setattr(training, "train", broken)
    run = compare(*ask("g", *TWO[:1], "triplet", "--json"))
    assert (run.code, run.report["failed"]) == (65, ["inpainting"])
    assert {s["features"] for s in run.report["scores"]} == {
        "triplet",
        "stats",
        "pca",
        "random",
        "rcf",
        "end-to-end",
    }


def test_what_the_tiles_do_not_allow_is_left_out_and_said(
    compare: Tool, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "COMPARED", ("triplet", "jigsaw", "order"))
    run = compare("tiles", "--labels", "labels.csv", *QUICK, "--out", "e", "--json")
    assert run.code == 0, run.err
    assert (data / "e" / "triplets.parquet").exists()
    assert set(run.report["objectives"]) == {"triplet"}
    assert list(run.report["left_out"]) == ["jigsaw", "order"]
    assert "jigsaw left out: its tiles have 8 pixels a side" in run.err
    assert "- order is left out: its scenes have no dates" in (data / "e" / "compare.md").read_text()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--minutes", 0), 2, "--minutes 0: needs a number above 0."),
        (
            ("--objectives", "rotations"),
            2,
            "--objectives rotations: unknown; needs one of assisted, triplet,",
        ),
        (("--objectives", "supervised"), 2, "--objectives supervised"),
        (("--objectives", ""), 2, "--objectives: names none"),
        (("--encoder", "large"), 2, "--encoder large: unknown"),
        (("--labels", "nowhere.csv"), 66, "nowhere.csv"),
        (("--field", "smooth"), 65, "has no field 'smooth'"),
        (("--block", "1e6"), 65, "make --block smaller"),
        (("--triplets", "nowhere.parquet"), 66, "nowhere.parquet"),
        (("--out", "labels.csv"), 73, "labels.csv"),
    ],
)
def test_bad_input_is_one_line_before_any_training(
    compare: Tool,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[object, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.setattr(training.Run, "loop", None)
    run = compare(*ask("f", "--quiet"), *more)
    assert run.code == code, run.err
    assert len(run.err.splitlines()) == 1
    assert message in run.err
    assert not (data / "f" / "models").exists()

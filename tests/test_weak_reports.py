"""Weak segmentation from files to files: its report, its model, its curve, and how it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fields
import numpy as np
import pytest
from safetensors.numpy import load_file

from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.errors import DataError, Interrupted, OutputError, UsageError
from tile2vec_cli.segmentation import pixel_classifiers, weak_reports

QUICK: dict[str, Any] = {"positive": "1", "epochs": 2, "device": "cpu", "precision": "fp32"}
SCORES = {"accuracy", "f1", "precision", "recall", "iou"}


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_classifiers, "TREES", 10)


def run(land: Path, out: Path, labels: str = "labels.tif", **options: Any) -> weak_reports.Report:
    overwrite, on_progress = options.pop("overwrite", False), options.pop("on_progress", lambda *_: None)
    config = WeakConfig(**{**QUICK, **options})
    return weak_reports.run(
        land / "tiles", str(land / labels), out, config, overwrite=overwrite, on_progress=on_progress
    )


def content(folder: Path) -> Iterator[tuple[str, bytes]]:
    return ((file.name, file.read_bytes()) for file in sorted(folder.iterdir()))


def test_the_report_and_the_model(land: Path, tmp_path: Path) -> None:
    report = run(land, tmp_path / "model", n_labels=(40,), compare=True, epochs=None)
    keys = report.keys
    assert keys["supervision"] == "pixel" and keys["labels_used"] == 40
    assert set(keys["test"]) == SCORES
    assert set(keys["baselines"]) == {"logistic", "forest", "svm", "forest-context"}
    assert all(set(scores) == SCORES for scores in keys["baselines"].values())
    assert 0 < keys["threshold"] < 1
    # Patches under noise: who looks about knows more than who sees one pixel.
    assert keys["test"]["f1"] > max(keys["baselines"][name]["f1"] for name in ("logistic", "forest", "svm"))
    saved = json.loads((tmp_path / "model" / "report.json").read_text())
    assert all(saved[name] == value for name, value in keys.items())
    model = json.loads((tmp_path / "model" / "model.json").read_text())
    assert model["kind"] == "segmenter" and model["scores"]["test"] == keys["test"]
    assert model["provenance"]["resolution_m"] == pytest.approx(30, rel=0.01)
    assert not list(tmp_path.glob(".*"))


def test_a_start_is_where_training_starts(land: Path, tmp_path: Path) -> None:
    def weights(name: str) -> dict[str, np.ndarray]:
        found = load_file(tmp_path / name / "model.safetensors")
        return {key: value for key, value in found.items() if "running" not in key and key != "threshold"}

    run(land, tmp_path / "first", n_labels=(40,))
    start: dict[str, Any] = {"init": str(tmp_path / "first"), "lr": 1e-12, "seed": 1}
    assert not run(land, tmp_path / "second", **start).up_to_date
    assert run(land, tmp_path / "second", **start).up_to_date
    first, second = weights("first"), weights("second")
    for name, value in first.items():
        if "num_batches" not in name:
            np.testing.assert_allclose(second[name], value, atol=1e-6, err_msg=name)
    with pytest.raises(DataError, match=r"made with init = '.*first'; this run has None"):
        run(land, tmp_path / "second", lr=1e-12, seed=1)
    with pytest.raises(UsageError, match="is also --out"):
        run(land, tmp_path / "first", **start)
    with pytest.raises(DataError, match=r"its network is .*'width': 16.* needs .*'width': 32"):
        run(land, tmp_path / "third", init=str(tmp_path / "first"), recipe="paper")
    description = tmp_path / "first" / "model.json"
    description.write_text(description.read_text().replace('"segmenter"', '"encoder"'))
    with pytest.raises(DataError, match="its kind is 'encoder'"):
        run(land, tmp_path / "third", init=str(tmp_path / "first"))
    assert not list(tmp_path.glob(".*"))


def test_again_it_does_nothing_and_with_other_settings_refuses(land: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    first = run(land, out)
    before = dict(content(out))
    again = run(land, out)
    assert again.up_to_date and again.keys == first.keys
    with pytest.raises(DataError, match="seed"):
        run(land, out, seed=1)
    assert dict(content(out)) == before
    (out / "notes.txt").write_text("mine")
    assert run(land, out, overwrite=True).up_to_date  # nothing differs: nothing to replace
    assert not run(land, out, seed=1, overwrite=True).up_to_date
    after = dict(content(out))
    assert after.pop("notes.txt") == b"mine"
    assert after.keys() == before.keys() and after != before
    run(land, tmp_path / "twin")
    twin = dict(content(tmp_path / "twin"))
    assert {name: twin[name] for name in twin} == before


def test_draws_and_a_curve(land: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    options: dict[str, Any] = {
        "n_labels": (None, 10),
        "repeats": 2,
        "compare": True,
        "supervision": ("pixel", "full"),
    }
    steps: list[tuple[int, int]] = []
    report = run(land, out, on_progress=lambda done, total: steps.append((done, total)), **options)
    keys = report.keys
    rows = [(row["supervision"], row["n_labels"], row["repeats"]) for row in keys["curve"]]
    everything = keys["train_tiles"]
    assert [(kind, n == 10 or n > 50) for kind, n, _ in rows] == [("pixel", True)] * 2 + [("full", True)] * 2
    assert all(repeats == 2 for *_, repeats in rows)
    assert keys["supervision"] == "pixel" and keys["labels_used"] == everything
    assert [draw["repeat"] for draw in keys["repeats"]] == [0, 1]
    assert keys["repeats"][0]["test"] == keys["test"]
    mean = np.mean([draw["test"]["f1"] for draw in keys["repeats"]])
    assert keys["summary"]["test"]["f1"]["mean"] == pytest.approx(mean, abs=1e-5)
    for name, wins in keys["summary"]["wins"].items():
        own = [draw["test"]["f1"] > draw["baselines"][name]["f1"] for draw in keys["repeats"]]
        assert wins == sum(own)
    assert (out / "curve.png").stat().st_size > 10_000
    assert report.files == (out, out / "report.json", out / "curve.png")
    assert steps == sorted(steps) and len({total for _, total in steps}) == 1
    assert steps[-1][0] == steps[-1][1]


def test_a_stopped_study_goes_on_to_the_same_bytes(land: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"n_labels": (8, 12, 16)}
    calls = 0

    def stop_in_the_second(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if done > 0.5 * total:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(land, tmp_path / "stopped", on_progress=stop_in_the_second, **options)
    assert not (tmp_path / "stopped").exists()
    all_calls = 0

    def count(done: int, total: int) -> None:
        nonlocal all_calls
        all_calls += 1

    run(land, tmp_path / "stopped", on_progress=count, **options)
    run(land, tmp_path / "whole", **options)
    assert dict(content(tmp_path / "stopped")) == dict(content(tmp_path / "whole"))
    assert all_calls < 2 * calls
    assert not list(tmp_path.glob(".*"))


def test_the_published_recipe(land: Path, tmp_path: Path) -> None:
    for supervision in ("pixel", "image"):
        out = tmp_path / supervision
        keys = run(land, out, recipe="paper", supervision=(supervision,), epochs=1, n_labels=(20,)).keys
        assert keys["recipe"] == "paper" and "teachers" not in keys
        assert keys["labels_used"] == 20
        members = json.loads((out / "model.json").read_text())["architecture"]["members"]
        assert members == [{"width": 32, "levels": 4, "pixel_path": False}]


def test_clean_labels_judge_noisy_ones(land: Path, tmp_path: Path) -> None:
    fields.write(land / "bad.tif", np.where(fields.truth(seed=9), 1, 2).astype(np.uint8))
    clean = run(land, tmp_path / "clean", evaluate=str(land / "labels.tif"), labels="bad.tif").keys
    assert clean["test"]["accuracy"] < 0.7  # what was learned has nothing to do with the truth


def test_a_table_has_no_pixels_to_test_on(land: Path, tmp_path: Path) -> None:
    tiles = fields.tile_set(land)
    rows = [f"{name},{number % 2}" for number, name in enumerate(tiles.table()["tile_id"].to_pylist())]
    (land / "table.csv").write_text("\n".join(["tile_id,label", *rows]))
    keys = run(land, tmp_path / "blind", labels="table.csv", supervision=("image",)).keys
    assert keys["test"] is None
    seen = run(
        land,
        tmp_path / "seen",
        labels="table.csv",
        supervision=("image",),
        evaluate=str(land / "labels.tif"),
    ).keys
    assert set(seen["test"]) == SCORES


def test_the_threshold_asked_for_is_used(land: Path, tmp_path: Path) -> None:
    keys = run(land, tmp_path / "all", threshold=1e-6).keys
    assert keys["threshold"] == 0.0 and keys["test"]["recall"] == 1.0


def test_what_cannot_be_done_is_said_before_training(land: Path, tmp_path: Path) -> None:
    def never(done: int, total: int) -> None:
        raise AssertionError("trained")

    with pytest.raises(DataError, match="--n-labels 5,000 asks for more"):
        run(land, tmp_path / "model", n_labels=(10, 5000), on_progress=never)
    assert not (tmp_path / "model").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.doc").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="other files"):
            run(land, tmp_path / "other", overwrite=overwrite)
    with pytest.raises(OutputError, match="is a file"):
        run(land, tmp_path / "other" / "thesis.doc")
    for bad in ({"n_labels": (0,)}, {"positive": "9-3"}, {"positive": ","}, {"threshold": 1.5}):
        with pytest.raises(UsageError):
            run(land, tmp_path / "model", **bad)
    with pytest.raises(UsageError):
        run(land, tmp_path / "model", supervision=("pixels",))

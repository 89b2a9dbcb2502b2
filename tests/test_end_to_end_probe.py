"""Networks trained on the labels of a probe: what they may see, and what they make of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import embedded
import landscapes
import numpy as np
import pandas as pd
import pytest
import torch
from embedded import Tool

from tile2vec_cli.config.pipeline import EmbedConfig, ProbeConfig, TileConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.errors import DataError, Interrupted
from tile2vec_cli.evaluation import end_to_end, fits, probe_reports, scores
from tile2vec_cli.evaluation.end_to_end import END_TO_END, FINE_TUNED, Rivals
from tile2vec_cli.learning import training
from tile2vec_cli.learning.optimise import Budget
from tile2vec_cli.neural import models
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

SMALL = {"architecture": {"encoder": "small", "dim": 8}}
MINUTES = ("--end-to-end", 0.0005)
QUICK = ("--n-labels", "20,60", "--repeats", "2", "--classifier", "logistic", "--block", "160")


@pytest.fixture
def probe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tool:
    return lambda *arguments: embedded.call(capsys, monkeypatch, "probe", *arguments)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 256 tiles, a model, its embeddings, and labels: whether a tile is rough."""
    folder = tmp_path_factory.mktemp("end_to_end")
    tiles_path, triplets = landscapes.make(folder, count=100)
    config = TrainConfig(
        encoder="small", place=False, dim=8, steps=2, batch_size=16, val_fraction=0, precision="fp32"
    )
    for name, seed in (("model", 0), ("another", 1)):
        training.train(triplets, tiles_path, folder / name, replace(config, seed=seed))
    inference.embed(tiles_path, folder / "model", folder / "e.parquet", EmbedConfig(precision="fp32"))
    tiles = TileSet.open(tiles_path)
    pd.DataFrame({"tile_id": tiles.table()["tile_id"].to_pylist(), "rough": rough(tiles)}).to_csv(
        folder / "labels.csv", index=False
    )
    return folder


def rough(tiles: TileSet) -> np.ndarray:
    """(N,) whether a tile's deviation exceeds that of most."""
    deviation = tiles.pixels(np.arange(len(tiles))).astype(float).std(axis=(2, 3)).mean(axis=1)
    return (deviation > np.median(deviation)).astype(np.int32)


def rivals(data: Path, steps: int, seed: int = 0) -> Rivals:
    """Of the tiles in their order."""
    tiles = TileSet.open(data / "tiles")
    return Rivals.of(tiles, np.arange(len(tiles)), SMALL, Budget(steps=steps), seed)


def answer(networks: Rivals, classes: np.ndarray, kind: str = END_TO_END) -> np.ndarray:
    """By a network that has learned the even tiles, for the odd ones."""
    even = np.arange(0, 256, 2)
    return networks.answer(kind, even, classes[even], np.arange(1, 256, 2), lambda _seconds: None)


# --- learning ----------------------------------------------------------------------------------


def test_an_easy_problem_is_learned(data: Path) -> None:
    classes = rough(TileSet.open(data / "tiles"))
    assert np.mean(answer(rivals(data, steps=40), classes) == classes[1::2]) > 0.8


def test_labels_that_say_nothing_teach_nothing(data: Path) -> None:
    classes = np.random.default_rng(0).integers(0, 2, 256).astype(np.int32)
    assert 0.3 < np.mean(answer(rivals(data, steps=20), classes) == classes[1::2]) < 0.7


def test_steps_and_seed_decide_the_answers(data: Path) -> None:
    classes = rough(TileSet.open(data / "tiles"))
    weights = []
    for seed in (0, 0, 1):
        encoder, head = rivals(data, 3, seed=seed)._fit(END_TO_END, np.arange(40), classes[:40], print)
        weights.append(torch.cat([p.ravel() for p in (*encoder.parameters(), *head.parameters())]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_only_the_tiles_with_labels_are_seen(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No label but theirs reaches the loss, and no batch is larger than they are many."""
    seen: list[int] = []
    targets: list[torch.Tensor] = []
    stream, entropy = end_to_end.Pixels.stream, end_to_end.cross_entropy

    def streamed(self: Any, numbers: Any) -> Any:
        for batch, pixels in stream(self, numbers):
            if torch.is_grad_enabled():
                seen.extend(batch.ravel())
            yield batch, pixels

    def told(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        targets.append(target)
        return entropy(logits, target)

    monkeypatch.setattr(end_to_end.Pixels, "stream", streamed)
    monkeypatch.setattr(end_to_end, "cross_entropy", told)
    train = np.array([3, 70, 150, 222, 9])
    networks = rivals(data, steps=4)
    networks.answer(
        END_TO_END, train, np.array([0, 1, 1, 0, 2], np.int32), np.array([1, 2]), lambda _seconds: None
    )
    assert set(seen) == set(train)
    assert [len(target) for target in targets] == [5] * 4
    assert all(sorted(target.tolist()) == [0, 0, 1, 1, 2] for target in targets)


def test_tiles_may_come_in_any_order(data: Path) -> None:
    """As they do in embeddings: the same pixels and labels then teach the same."""
    tiles, classes = TileSet.open(data / "tiles"), rough(TileSet.open(data / "tiles"))
    ids = np.random.default_rng(0).permutation(256)
    mixed = Rivals.of(tiles, ids, SMALL, Budget(steps=3), 0)
    place = np.argsort(ids)
    train, test = np.array([3, 70, 150, 222, 9]), np.arange(100, 256)
    straight = rivals(data, 3).answer(END_TO_END, train, classes[train], test, lambda _seconds: None)
    found = mixed.answer(END_TO_END, place[train], classes[train], place[test], lambda _seconds: None)
    assert (found == straight).all()


def test_fine_tuning_starts_from_the_model(data: Path) -> None:
    own = models.load_encoder(data / "model", torch.device("cpu"))[0].state_dict()
    tiles = TileSet.open(data / "tiles")
    said = {"model": models.fingerprint(data / "model")}
    networks = Rivals.of(tiles, np.arange(256), said, Budget(steps=1), 0, data / "model")
    start = networks._encoder(FINE_TUNED, np.arange(20)).state_dict()
    assert all(torch.equal(start[name], own[name]) for name in own)
    scratch = networks._encoder(END_TO_END, np.arange(20)).state_dict()
    assert not torch.equal(scratch["columns.0.stem.weight"], own["columns.0.stem.weight"])
    pixels = tiles.pixels(np.arange(20)).astype(float)
    assert scratch["standardise.mean"].ravel().tolist() == pytest.approx(
        pixels.mean(axis=(0, 2, 3)), rel=1e-5
    )


def test_the_time_ends_a_fit() -> None:
    budget = Budget(minutes=2)
    assert [budget.share(*done) for done in ((0, 500), (1, 0), (7, 60), (8, 121))] == [0, 0, 0.5, 1]


# --- the probe ---------------------------------------------------------------------------------


def arguments(data: Path, *more: object) -> tuple[object, ...]:
    return data / "e.parquet", "--labels", data / "labels.csv", "--field", "rough", *QUICK, *more


def test_networks_stand_beside_the_embeddings(probe: Tool, data: Path, tmp_path: Path) -> None:
    networks = (
        "--tiles",
        data / "tiles",
        "--baselines",
        "",
        "--model",
        data / "model",
        *MINUTES,
        "--end-to-end-repeats",
        1,
    )
    run = probe(*arguments(data, *networks, "--json", "--out", tmp_path / "out"))
    assert run.code == 0, run.err
    assert run.report["inputs"][-2:] == [str(data / "tiles"), str(data / "model")]
    scores = {(s["features"], s["classifier"], s["n_labels"]): s for s in run.report["scores"]}
    assert [key[:2] for key in scores] == [
        *[("embeddings", "logistic")] * 2,
        *[("end-to-end", "linear")] * 2,
        *[("fine-tuned", "linear")] * 2,
    ]
    assert [s["repeats"] for s in scores.values()] == [2, 2, 1, 1, 1, 1]
    assert all(s["random_split"] is None for s in scores.values() if s["classifier"] == "linear")
    assert run.report["end_to_end"] == {"minutes": 0.0005, "repeats": 1}
    for score in scores.values():
        assert len(score["accuracies"]) == score["repeats"]
        assert np.mean(score["accuracies"]) == pytest.approx(score["accuracy"], abs=1e-4)
    # On one draw the embeddings reach what they reach in the first of two.
    one = probe(*arguments(data, "--json", "--repeats", 1)).report
    assert [s["accuracies"][0] for s in one["scores"]] == [
        s["accuracies"][0] for s in run.report["scores"][:2]
    ]
    assert one["end_to_end"] is None
    assert "Networks: the first 1 of 2 draws" in run.err
    names = {"report.json", "confusion.csv", "curve.png", "confusion.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    again = probe(*arguments(data, *networks, "--json", "--out", tmp_path / "out"))
    assert again.report["up_to_date"]
    assert again.report["scores"] == run.report["scores"]
    for fewer, named in ((networks[:4], "end_to_end"), (networks[:4] + MINUTES, "end_to_end_repeats")):
        other = probe(*arguments(data, *fewer, "--out", tmp_path / "out"))
        assert other.code == 65
        assert f"made with {named} = " in other.err
    without = (*networks[:4], *networks[6:])
    assert "made with model = " in probe(*arguments(data, *without, "--out", tmp_path / "out")).err


def test_a_stopped_run_goes_on_with_the_next_fit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, int]] = []
    answer = Rivals.answer

    def counted(self: Rivals, kind: str, train: Any, *rest: Any) -> Any:
        if len(made) == 3:
            raise Interrupted
        made.append((kind, len(train)))
        return answer(self, kind, train, *rest)

    monkeypatch.setattr(Rivals, "answer", counted)
    config = ProbeConfig(
        field="rough", n_labels=(20, 60), repeats=2, block_m=160, classifiers=("logistic",), end_to_end=0.0005
    )

    def run(config: ProbeConfig = config) -> probe_reports.Report:
        labels, tiles = str(data / "labels.csv"), data / "tiles"
        return probe_reports.run(data / "e.parquet", labels, config, tiles=tiles, out=tmp_path / "out")

    with pytest.raises(Interrupted):
        run()
    kept = json.loads((tmp_path / "out" / fits.NAME).read_text())
    assert len(kept["fits"]) == len(made) == 3
    made.clear()
    found = run().keys["scores"]
    assert made == [("end-to-end", 60)]
    of_first = scores.mean_accuracy(
        [np.array(kept["fits"][f"end-to-end, 20 labels, split {k}"]) for k in (0, 1)]
    )
    assert found[2]["accuracy"] == pytest.approx(of_first, abs=1e-4)
    assert not (tmp_path / "out" / fits.NAME).exists()
    # Fits of other settings are of no use.
    (tmp_path / "out" / fits.NAME).write_text(json.dumps(kept))
    made.clear()
    with pytest.raises(Interrupted):
        probe_reports.run(
            data / "e.parquet",
            str(data / "labels.csv"),
            replace(config, seed=1),
            tiles=data / "tiles",
            out=tmp_path / "out",
            overwrite=True,
        )
    assert len(made) == 3


def test_other_peoples_embeddings_are_up_against_the_small_encoder(data: Path) -> None:
    tiles = TileSet.open(data / "tiles")
    networks = Rivals.of(tiles, np.arange(9), {}, Budget(steps=1), 0)
    assert (networks.architecture.encoder, networks.architecture.dim) == ("small", 128)
    with pytest.raises(DataError, match="the embeddings name no model"):
        Rivals.of(tiles, np.arange(9), {}, Budget(steps=1), 0, data / "model")


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--end-to-end", 1), 2, "--end-to-end: needs the tiles' pixels. Give the tile set with --tiles."),
        (("--tiles", "tiles", "--end-to-end", 0), 2, "--end-to-end 0: needs a number above 0."),
        (("--tiles", "tiles", "--end-to-end", 1, "--end-to-end-repeats", 0), 2, "--end-to-end-repeats 0"),
        (("--tiles", "tiles", "--model", "model"), 2, "--model: is what --end-to-end starts from."),
        (("--tiles", "tiles", *MINUTES, "--model", "another"), 65, "but the embeddings were made by model"),
        (("--tiles", "tiles", *MINUTES, "--model", "nowhere"), 66, "nowhere: no such folder"),
        (("--tiles", "far/tiles", *MINUTES), 65, "--end-to-end needs the tile set that was embedded"),
    ],
)
def test_bad_input_is_one_line(
    probe: Tool,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[object, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(data)
    if "far/tiles" in more and not (data / "far").exists():
        scene = landscapes.scene(data / "far" / "scenes" / "far.tif", side=64)
        cutting.cut([str(scene)], data / "far" / "tiles", TileConfig(size=landscapes.SIDE))
    run = probe(*arguments(data, *(["--baselines", ""] if "--tiles" in more else []), *more, "--quiet"))
    assert run.code == code, run.err
    assert len(run.err.splitlines()) == 1
    assert message in run.err

"""What an encoder learns from each objective, and from which settings and starts."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from landscapes import scene
from torch import Tensor
from trainings import CONFIG as SHORT
from trainings import stop_at

from tile2vec_cli.config.objectives import MAF, OBJECTIVES
from tile2vec_cli.config.pipeline import TileConfig, TripletConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.errors import DataError, InputError, Interrupted, UsageError
from tile2vec_cli.learning.training import TrainReport, train
from tile2vec_cli.neural import columns, models
from tile2vec_cli.tiling import cutting, triplets
from tile2vec_cli.tiling.tiles import TileSet

CONFIG = replace(SHORT, dim=8, steps=2, lr=0.02)
SIDE = 24


@pytest.fixture(autouse=True)
def tiny(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and an encoder of two columns that learns in no time."""
    monkeypatch.setattr(columns, "small", columns.residual((8,), (8,), blocks=1, stem_stride=2))


# --- what is learned ---------------------------------------------------------------------------


Data = tuple[Path, Path]


def cut(folder: Path, scenes: list[Path], **drawn: Any) -> Data:
    tiles, path = folder / "tiles", folder / "triplets.parquet"
    cutting.cut([str(scene) for scene in scenes], tiles, TileConfig(size=SIDE))
    triplets.save(path, triplets.draw(TileSet.open(tiles), TripletConfig(count=200, **drawn)))
    return tiles, path


def table(path: Path, tiles: Path, classes: Any) -> str:
    """A label table that gives each tile a class by its row and column."""
    index = TileSet.open(tiles).table()
    rows = zip(*(index[name].to_pylist() for name in ("tile_id", "row", "col")), strict=True)
    lines = [f"{tile},{name}" for tile, row, col in rows if (name := classes(row, col)) is not None]
    path.write_text("\n".join(["tile_id,kind", *lines]))
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Two scenes of one place at two dates, the later one brighter; 2 × 64 tiles."""
    folder = tmp_path_factory.mktemp("objectives")
    early = scene(folder / "a_2020-06-01.tif", side=8 * SIDE)
    late = folder / "b_2021-06-01.tif"
    with rasterio.open(early) as source, rasterio.open(late, "w", **source.profile) as target:
        target.write((source.read().astype(int) * 3 // 4 + 64).astype("uint8"))
    return cut(folder, [early, late], neighbors="other-scene", neighborhood_m=100)


def run(data: Data, out: Path, config: TrainConfig = CONFIG, **options: Any) -> TrainReport:
    return train(data[1], data[0], out, config, **options)


def chosen(name: str, data: Data, folder: Path) -> TrainConfig:
    if not OBJECTIVES[name].labelled:
        return replace(CONFIG, objective=name)
    labels = table(folder / "labels.csv", data[0], lambda row, col: "low" if row < 4 * SIDE else "high")
    return replace(CONFIG, objective=name, labels=labels)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != MAF])
def test_every_objective_ends_in_a_model_like_any_other(name: str, data: Data, tmp_path: Path) -> None:
    config = chosen(name, data, tmp_path)
    report = run(data, tmp_path / "model", config)
    assert (report.objective, report.steps, report.triplets_seen) == (name, 2, 32)
    for value in (report.train_loss, report.val_loss, report.val_triplet_accuracy):
        assert value is not None and np.isfinite(value)
    encoder, model = models.load_encoder(tmp_path / "model", torch.device("cpu"))
    assert model.architecture == {"encoder": "small", "bands": 3, "dim": 8}
    assert encoder(torch.zeros(2, 3, SIDE, SIDE)).shape == (2, 8)
    assert run(data, tmp_path / "model", config).up_to_date


@pytest.mark.parametrize("name", ["inpainting", "context"])
def test_a_stopped_run_ends_with_the_same_bytes(name: str, data: Data, tmp_path: Path) -> None:
    config = replace(CONFIG, objective=name, steps=12)
    run(data, tmp_path / "whole", config)
    for stop in (16, 6 * 16):
        with pytest.raises(Interrupted):
            run(data, tmp_path / "stopped", config, on_progress=stop_at(stop))
    run(data, tmp_path / "stopped", config)
    for file in (models.DESCRIPTION, models.WEIGHTS):
        assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.fixture(scope="module")
def slopes(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Tiles that all get brighter from north to south, by 150, under noise from 0 to 99."""
    folder = tmp_path_factory.mktemp("slopes")
    path = scene(folder / "a.tif", side=12 * SIDE)
    slope = np.tile(np.linspace(0, 150, SIDE), 12)[:, None] + np.zeros((3, 1, 12 * SIDE))
    with rasterio.open(path, "r+") as file:
        noise = np.random.default_rng(0).integers(0, 100, slope.shape)
        file.write((slope + noise).astype("uint8"))
    return cut(folder, [path])


@pytest.mark.parametrize(
    ("name", "least", "most"), [("rotation", 0, 0.2), ("autoencoder", 0.28, 0.33), ("inpainting", 0.28, 0.33)]
)
def test_a_slope_is_learned(name: str, least: float, most: float, slopes: Data, tmp_path: Path) -> None:
    """The noise, which nobody can tell, is 0.29 of the variance; the turns can all be told."""
    config = replace(CONFIG, objective=name, steps=50, jitter=0.0, augment=name == "rotation")
    report = run(slopes, tmp_path / "model", config)
    assert report.val_loss is not None
    assert least < report.val_loss < most


@pytest.mark.parametrize("name", ["order", "supervised"])
def test_a_second_date_is_told_from_the_first(name: str, data: Data, tmp_path: Path) -> None:
    """By its brightness; here the scenes are the classes."""
    config = replace(chosen(name, data, tmp_path), steps=50, jitter=0.0)
    if name == "supervised":
        index = TileSet.open(data[0]).table()
        lines = [f"{tile},{tile[0]}" for tile in index["tile_id"].to_pylist()]
        Path(str(config.labels)).write_text("\n".join(["tile_id,kind", *lines]))
    report = run(data, tmp_path / "model", config)
    assert report.val_loss is not None
    assert report.val_loss < 0.3 < np.log(2)


def test_tiles_without_a_label_are_left_out(data: Data, tmp_path: Path) -> None:
    config = chosen("supervised", data, tmp_path)
    table(
        tmp_path / "labels.csv",
        data[0],
        lambda row, col: None if col > 2 * SIDE else ("low" if row < 4 * SIDE else "high"),
    )
    from tile2vec_cli.learning import loop

    seen: list[np.ndarray] = []
    loss = loop.Run._loss

    def spy(self: Any, network: Any, numbers: np.ndarray, pixels: Tensor) -> Tensor:
        seen.append(self.pixels.ids[numbers])
        return loss(self, network, numbers, pixels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Run, "_loss", spy)
        run(data, tmp_path / "model", replace(config, steps=12))
    cols = np.asarray(TileSet.open(data[0]).table()["col"])
    assert set(cols[np.concatenate(seen).ravel()]) == {0, SIDE, 2 * SIDE}


# --- settings and starts -----------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_row_uses_settings_that_there_are(name: str) -> None:
    assert set(OBJECTIVES[name].uses) <= {field.name for field in fields(TrainConfig)}


def test_settings_are_those_that_the_objective_uses() -> None:
    """And no others: models are up to date by these."""
    assert list(TrainConfig().settings()) == [
        *("encoder", "dim", "place", "margin", "l2", "distants", "local_share", "epochs", "steps", "minutes"),
        *("batch_size", "lr", "augment", "jitter", "val_fraction", "patience", "precision", "seed"),
    ]
    found = TrainConfig(objective="rotation").settings()
    assert found["objective"] == "rotation"
    assert not {"margin", "l2", "distants", "temperature", "labels", "augment"} & set(found)
    assert "temperature" in TrainConfig(objective="infonce").settings()


def test_other_objectives_labels_and_starts_are_other_settings(data: Data, tmp_path: Path) -> None:
    run(data, tmp_path / "model", replace(CONFIG, objective="rotation"))
    with pytest.raises(DataError, match="made with objective = 'rotation'; this run has 'triplet'"):
        run(data, tmp_path / "model")
    with pytest.raises(DataError, match="made with objective = 'rotation'; this run has 'context'"):
        run(data, tmp_path / "model", replace(CONFIG, objective="context"))
    started = replace(CONFIG, init=str(tmp_path / "model"))
    run(data, tmp_path / "started", started)
    assert run(data, tmp_path / "started", started).up_to_date
    with pytest.raises(DataError, match=r"made with init = '[0-9a-f]+'; this run has None"):
        run(data, tmp_path / "started")
    config = chosen("supervised", data, tmp_path)
    run(data, tmp_path / "labelled", config)
    table(tmp_path / "labels.csv", data[0], lambda row, col: "west" if col < 4 * SIDE else "east")
    assert not run(data, tmp_path / "labelled", config).up_to_date  # the same file, with other labels
    table(tmp_path / "others.csv", data[0], lambda row, col: "north" if row < 4 * SIDE else "south")
    with pytest.raises(DataError, match="made with labels = "):
        run(data, tmp_path / "labelled", replace(config, labels=str(tmp_path / "others.csv")))


def test_a_start_is_where_training_starts(data: Data, tmp_path: Path) -> None:
    run(data, tmp_path / "first", replace(CONFIG, steps=10, seed=1))
    still = replace(CONFIG, encoder="auto", dim=None, lr=1e-12, steps=1, init=str(tmp_path / "first"))
    run(data, tmp_path / "second", still)
    (one, said), (two, says) = (
        models.load_encoder(tmp_path / name, torch.device("cpu")) for name in ("first", "second")
    )
    for name, tensor in one.named_parameters():
        assert torch.allclose(tensor, two.get_parameter(name), atol=1e-6), name
    assert (said.architecture, said.normalisation) == (says.architecture, says.normalisation)
    assert says.settings["init"] == models.fingerprint(tmp_path / "first")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"init": "nowhere"}, InputError, "nowhere"),
        ({"init": "model", "dim": 16}, DataError, "its dim is 8; this run needs 16"),
        ({"init": "model", "encoder": "resnet18", "dim": None}, DataError, "its encoder is small; this run"),
        ({"init": "other"}, DataError, r"its bands is 1; this run needs 1,2,3"),
        ({"init": "out"}, UsageError, "is also --out"),
        ({"objective": "supervised", "labels": "nowhere.csv"}, InputError, "nowhere.csv: no such file"),
        ({"objective": "supervised", "labels": "one.csv"}, DataError, "all of class only; two classes"),
    ],
)
def test_starts_and_labels_that_do_not_fit(
    data: Data,
    changes: dict[str, Any],
    error: type[Exception],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if changes.get("init") == "model":
        run(data, tmp_path / "model")
    if changes.get("init") == "other":
        one = cut(tmp_path, [scene(tmp_path / "one.tif", side=8 * SIDE, bands=1)])
        run(one, tmp_path / "other")
        with pytest.raises(DataError, match="have 1 bands; --objective colorization needs 2"):
            run(one, tmp_path / "grey", replace(CONFIG, objective="colorization"))
        with pytest.raises(DataError, match="have no dates; --objective order needs two"):
            run(one, tmp_path / "undated", replace(CONFIG, objective="order"))
    table(tmp_path / "one.csv", data[0], lambda row, col: "only")
    with pytest.raises(error, match=words):
        run(data, tmp_path / "out", replace(CONFIG, **changes))
    assert not (tmp_path / "out").exists()


def test_dates_of_different_places_are_no_order(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "near.parquet"
    drawn = TripletConfig(count=50, neighbors="same-scene")
    triplets.save(path, triplets.draw(TileSet.open(data[0]), drawn))
    with pytest.raises(DataError, match=r"one place at two dates.*--neighborhood 120"):
        run((data[0], path), tmp_path / "model", replace(CONFIG, objective="order"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective": "cluster"}, "--objective cluster: unknown"),
        ({"labels": "a.csv"}, "--labels: --objective triplet does not use it"),
        ({"objective": "rotation", "margin": 2.0}, "--margin: --objective rotation does not use it"),
        ({"objective": "rotation", "augment": False}, "--no-augment: "),
        ({"objective": "infonce", "distants": "saved"}, "--distants: "),
        ({"objective": "infonce", "min_purity": 0.1}, "--min-purity: "),
        ({"objective": "infonce", "temperature": 0.0}, "--temperature 0"),
        ({"objective": "supervised"}, "--objective supervised: needs classes"),
    ],
)
def test_options_that_do_nothing_are_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TrainConfig(**changes)

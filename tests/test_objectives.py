"""What each objective asks, against brute force, and that an encoder learns from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from landscapes import scene
from test_training import stop_at
from torch import Tensor

from tile2vec_cli.config import pipeline as configs
from tile2vec_cli.config.pipeline import TileConfig, TripletConfig
from tile2vec_cli.config.training import MAF, OBJECTIVE_NAMES, TrainConfig
from tile2vec_cli.errors import DataError, InputError, Interrupted, UsageError
from tile2vec_cli.learning import heads, losses, objectives, pretexts
from tile2vec_cli.learning.objective import Batch, Objective
from tile2vec_cli.learning.objectives import OBJECTIVES
from tile2vec_cli.learning.training import TrainReport, train
from tile2vec_cli.neural import encoders, models
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.columns import residual
from tile2vec_cli.tiling import cutting, triplets
from tile2vec_cli.tiling.tiles import TileSet

CONFIG = TrainConfig(
    encoder="small",
    place=False,
    local_share=0,
    dim=8,
    batch_size=16,
    steps=2,
    lr=0.02,
    val_fraction=0.2,
    device="cpu",
    precision="fp32",
)
SIDE = 24


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, and an encoder of two columns that learns in no time."""
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    row = replace(encoders.ENCODERS["small"], columns=residual((8,), (8,), blocks=1, stem_stride=2))
    monkeypatch.setitem(encoders.ENCODERS, "small", row)


# --- what is asked -----------------------------------------------------------------------------


def numbered(tiles: int = 40, side: int = SIDE) -> Tensor:
    """(B, 2, S, S) uint16 pixels: each is its own row × 100 + column, and in band 2 its tile."""
    rows, cols = np.indices((side, side))
    places = np.broadcast_to(rows * 100 + cols, (tiles, side, side))
    own = np.broadcast_to(np.arange(tiles)[:, None, None], places.shape)
    return torch.from_numpy(np.stack([places, own], 1).astype(np.uint16))


def batch(pixels: Tensor, examples: int | None = None, **known: Any) -> Batch:
    nothing = torch.full((len(pixels),), -1)
    places = torch.zeros(len(pixels), 3, dtype=torch.float64)
    bands = pixels.shape[1]
    fields: dict[str, Any] = {"places": places, "distant_min_m": 100.0, "codes": nothing}
    fields |= {"standardise": Standardise([10.0] * bands, [4.0] * bands), "random": np.random.default_rng(3)}
    return Batch(pixels, examples or len(pixels), **{**fields, **known})


@dataclass(frozen=True)
class Asked:
    """An objective's views of a batch, and its judgement of their vectors."""

    objective: Objective[Any]
    seen: Tensor
    answers: Any

    def judge(self, vectors: Tensor, head: torch.nn.Module) -> Tensor:
        return self.objective.loss(vectors, self.answers, head)


def asked(kind: type[Objective[Any]], batch: Batch, config: TrainConfig = CONFIG) -> Asked:
    views = kind(config).views(batch)
    return Asked(kind(config), views.seen, views.answers)


def answered(question: Asked, expected: np.ndarray, answers: int) -> float:
    """The loss of who gives the expected answers, and is sure of them."""
    logits = 100.0 * torch.nn.functional.one_hot(torch.from_numpy(expected), answers)
    head = torch.nn.Module()
    head.forward = lambda _: logits  # type: ignore[method-assign]
    return float(question.judge(torch.zeros(len(question.seen), 4), head))


def corners(seen: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, in their tiles, of patches' first pixels; the patches are checked to be windows."""
    places = seen[:, 0].numpy().astype(int)
    rows, cols = np.divmod(places[:, 0, 0], 100)
    along = np.arange(seen.shape[-1])
    assert (places == (rows[:, None] + along)[:, :, None] * 100 + (cols[:, None] + along)[:, None]).all()
    return rows, cols


def test_context_asks_for_the_direction() -> None:
    question = asked(pretexts.Context, batch(numbered()))
    assert question.seen.shape == (80, 2, 6, 6)
    assert question.seen[:, 1, 0, 0].tolist() == [*range(40), *range(40)]
    rows, cols = (found.reshape(2, 40) for found in corners(question.seen))
    assert (rows[0] // 8 == 1).all() and (cols[0] // 8 == 1).all()
    assert (rows % 8 <= 2).all() and (cols % 8 <= 2).all()
    assert len(np.unique(rows[0])) == 3  # at another place each time
    directions = [(r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)]
    expected = [directions.index(found) for found in zip(rows[1] // 8, cols[1] // 8, strict=True)]
    assert set(expected) == set(range(8))
    assert answered(question, np.array(expected), 8) == 0
    assert answered(question, (np.array(expected) + 1) % 8, 8) > 50


def test_jigsaw_asks_for_the_order() -> None:
    question = asked(pretexts.Jigsaw, batch(numbered()))
    assert question.seen.shape == (160, 2, 9, 9)
    rows, cols = (found.reshape(4, 40) for found in corners(question.seen))
    orders = (rows // 12 * 2 + cols // 12).T
    known = [tuple(order) for order in pretexts.PERMUTATIONS]
    expected = np.array([known.index(tuple(order)) for order in orders])
    assert answered(question, expected, 12) == 0


def test_the_permutations_are_far_apart() -> None:
    gaps = (pretexts.PERMUTATIONS[:, None] != pretexts.PERMUTATIONS[None]).sum(-1)
    assert len(gaps) == 12
    assert (gaps[~np.eye(12, dtype=bool)] >= 3).all()
    assert (np.sort(pretexts.PERMUTATIONS) == np.arange(4)).all()


def test_rotation_asks_for_the_turn() -> None:
    pixels = numbered()
    question = asked(pretexts.Rotation, batch(pixels))
    expected = [
        next(k for k in range(4) if np.array_equal(np.rot90(tile, k, (1, 2)), seen))
        for tile, seen in zip(pixels.numpy(), question.seen.numpy(), strict=True)
    ]
    assert np.bincount(expected).tolist() == [10] * 4
    assert answered(question, np.array(expected), 4) == 0


class Fixed(torch.nn.Module):
    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, _: Tensor) -> Tensor:
        return self.answer


def test_inpainting_looks_at_the_hole_only() -> None:
    pixels = numbered()
    question = asked(pretexts.Inpainting, batch(pixels))
    hole = question.seen.isnan()
    assert (hole.sum((1, 2, 3)) == 2 * 12 * 12).all()
    assert torch.equal(question.seen[~hole], pixels.float()[~hole])
    assert len(torch.unique(hole.flatten(1), dim=0)) > 20
    truth = (pixels.float() - 10) / 4
    assert float(question.judge(torch.zeros(40, 4), Fixed(torch.where(hole, truth, 1e6)))) == 0
    assert float(question.judge(torch.zeros(40, 4), Fixed(truth + 3.0 * hole))) == pytest.approx(9, rel=1e-4)


def test_colorization_shows_the_mean_of_the_bands() -> None:
    pixels = numbered()
    given = batch(pixels)
    question = asked(pretexts.Colorization, given)
    shown, truth = given.standardise(question.seen), (pixels.float() - 10) / 4
    mean = truth.mean(1, keepdim=True)
    assert torch.allclose(shown, mean.expand_as(truth), atol=1e-3)
    assert float(question.judge(torch.zeros(40, 4), Fixed(truth - mean))) == pytest.approx(0, abs=1e-4)
    assert float(question.judge(torch.zeros(40, 4), Fixed(truth - mean + 2))) == pytest.approx(4, rel=1e-3)


def test_autoencoder_asks_for_the_tile() -> None:
    pixels = numbered()
    question = asked(pretexts.Autoencoder, batch(pixels))
    truth = (pixels.float() - 10) / 4
    assert float(question.judge(torch.zeros(40, 4), Fixed(truth - 3))) == pytest.approx(9, rel=1e-3)


def test_order_shows_the_head_both_ways() -> None:
    """Vectors are 0 for the earlier tile and 1 for the later; so the head can tell which way it sees."""
    question = asked(objectives.Order, batch(numbered(), examples=20))
    times = torch.cat([torch.zeros(20, 1), torch.ones(20, 1)])
    seen = []

    class Clock(torch.nn.Module):
        def forward(self, pair: Tensor) -> Tensor:
            seen.append(pair)
            swapped = (pair[:, 0] > pair[:, 1]).long()
            return 100.0 * torch.nn.functional.one_hot(swapped, 2)

    assert float(question.judge(times, Clock())) == 0
    assert 0 < float(seen[0][:, 0].sum()) < 20


def test_info_nce_is_the_share_of_the_neighbor() -> None:
    random = np.random.default_rng(0)
    anchor, neighbor = random.standard_normal((2, 6, 5))
    far = random.random((6, 12)) < 0.5
    far[0] = False
    far[1, 6 + 1] = True  # a neighbor beyond distant-min is still the neighbor alone
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (anchor, neighbor)]
    tiles, found = np.concatenate(unit), []
    for i in range(6):
        own = np.exp(unit[0][i] @ unit[1][i] / 0.3)
        others = sum(np.exp(unit[0][i] @ tiles[j] / 0.3) for j in range(12) if far[i, j] and j != 6 + i)
        found.append(-np.log(own / (own + others)))
    vectors = [torch.from_numpy(rows).requires_grad_() for rows in (anchor, neighbor)]
    loss = losses.info_nce(*vectors, torch.from_numpy(far), 0.3)
    assert float(loss.detach()) == pytest.approx(np.mean(found), rel=1e-9)
    loss.backward()
    assert all(torch.isfinite(rows.grad).all() for rows in vectors)

    near = replace(batch(numbered(12), examples=6), distant_min_m=-1.0)  # one place: all count as far
    question = asked(objectives.InfoNCE, near, replace(CONFIG, objective="infonce", temperature=0.3))
    pair = [rows.detach() for rows in vectors]
    everything = losses.info_nce(*pair, torch.ones(6, 12, dtype=torch.bool), 0.3)
    assert torch.isclose(question.judge(torch.cat(pair), torch.nn.Identity()), everything)


def test_contrastive_is_the_course_s_formula() -> None:
    random = np.random.default_rng(0)
    vectors, codes = 2 * random.standard_normal((9, 4)), random.integers(3, size=9)
    found = []
    for i in range(9):
        for j in range(i):
            gap = np.linalg.norm(vectors[i] - vectors[j])
            found.append(gap**2 if codes[i] == codes[j] else max(0.0, 5.0 - gap) ** 2)
    config = TrainConfig(objective="contrastive", labels="x", margin=5.0)
    question = asked(objectives.Contrastive, batch(numbered(9), codes=torch.from_numpy(codes)), config)
    loss = question.judge(torch.from_numpy(vectors), torch.nn.Identity())
    assert float(loss) == pytest.approx(np.mean(found), rel=1e-5)


@pytest.mark.parametrize("side", [2, 8, 9, 50])
def test_a_decoder_fills_any_tile(side: int) -> None:
    head = heads.decoder(6, heads.Sizes(3, side, 0))
    assert head(torch.randn(2, 6)).shape == (2, 3, side, side)


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
    if name not in configs.LABELLED:
        return replace(CONFIG, objective=name)
    labels = table(folder / "labels.csv", data[0], lambda row, col: "low" if row < 4 * SIDE else "high")
    return replace(CONFIG, objective=name, labels=labels)


def test_the_table_has_all_the_names() -> None:
    assert (*OBJECTIVES, MAF) == OBJECTIVE_NAMES


@pytest.mark.parametrize("name", OBJECTIVES)
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

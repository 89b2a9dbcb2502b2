"""What each objective asks of a batch, against brute force."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.learning import heads, losses, objectives, pretexts
from tile2vec_cli.learning.objective import Batch, Objective
from tile2vec_cli.neural.batches import Standardise

CONFIG = TrainConfig()
SIDE = 24


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
    head = heads.Decoder(6, 3, side)
    assert head(torch.randn(2, 6)).shape == (2, 3, side, side)

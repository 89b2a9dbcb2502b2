"""The triplet losses, against torch's own and against loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import triplet_margin_with_distance_loss

from tile2vec_cli.learning import losses

Three = tuple[Tensor, Tensor, Tensor]


def vectors(*shape: int, seed: int = 0, scale: float = 4.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def euclid(left: Tensor, right: Tensor) -> Tensor:
    return (left - right).square().sum(-1).sqrt()


@pytest.mark.parametrize("margin", [0.5, 10.0])
def test_triplet_loss_is_torch_s_plus_the_mean_norm(margin: float) -> None:
    anchor, neighbor, distant = vectors(3, 20, 16).unbind()
    expected = triplet_margin_with_distance_loss(
        anchor, neighbor, distant, distance_function=euclid, margin=margin
    )
    assert torch.isclose(losses.triplet_loss(anchor, neighbor, distant, margin, 0.0), expected)
    norms = torch.cat([anchor, neighbor, distant]).square().sum(1).sqrt().mean()
    with_l2 = losses.triplet_loss(anchor, neighbor, distant, margin, 0.25)
    assert torch.isclose(with_l2, expected + 0.25 * norms)


def test_in_batch_loss_is_the_loop_over_far_tiles() -> None:
    anchor, neighbor = vectors(2, 6, 5).unbind()
    far = torch.rand(6, 12, generator=torch.Generator().manual_seed(1)) < 0.6
    far[:, :6].fill_diagonal_(False)  # no tile is far from itself
    tiles, hinges = torch.cat([anchor, neighbor]), []
    for i in range(6):
        for j in range(12):
            if far[i, j]:
                gap = euclid(anchor[i], neighbor[i]) - euclid(anchor[i], tiles[j]) + 3.0
                hinges.append(max(float(gap), 0.0))
    active = [hinge for hinge in hinges if hinge > 0]
    assert 0 < len(active) < len(hinges)
    expected = sum(active) / len(active)
    assert float(losses.in_batch_loss(anchor, neighbor, far, 3.0, 0.0)) == pytest.approx(expected, rel=1e-9)
    norm = float(tiles.square().sum(1).sqrt().mean())
    with_l2 = float(losses.in_batch_loss(anchor, neighbor, far, 3.0, 0.5))
    assert with_l2 == pytest.approx(expected + 0.5 * norm, rel=1e-9)


def test_in_batch_loss_without_a_far_tile_is_the_l2_term() -> None:
    anchor, neighbor = vectors(2, 4, 3).unbind()
    loss = losses.in_batch_loss(anchor, neighbor, torch.zeros(4, 8, dtype=torch.bool), 10.0, 0.1)
    assert torch.isclose(loss, 0.1 * losses.mean_norm(anchor, neighbor))


def test_gradients_agree_with_finite_differences() -> None:
    anchor, neighbor, distant = (v.requires_grad_() for v in vectors(3, 4, 3).unbind())
    far = torch.ones(4, 8, dtype=torch.bool)
    far[:, :4].fill_diagonal_(False)
    far[:, 4:].fill_diagonal_(False)
    assert torch.autograd.gradcheck(
        lambda *x: losses.triplet_loss(*x, 10.0, 0.01), (anchor, neighbor, distant)
    )

    def in_batch(a: Tensor, n: Tensor) -> Tensor:
        return losses.in_batch_loss(a, n, far, 10.0, 0.01)

    assert torch.autograd.gradcheck(in_batch, (anchor, neighbor))


def test_embeddings_that_coincide_have_a_finite_gradient() -> None:
    same = torch.zeros(4, 8, requires_grad=True)
    far = torch.ones(4, 8, dtype=torch.bool)
    (
        losses.triplet_loss(same, same, same, 10.0, 0.01) + losses.in_batch_loss(same, same, far, 10.0, 0.01)
    ).backward()
    assert same.grad is not None
    assert torch.isfinite(same.grad).all()


def test_distances_stay_exact_far_from_the_origin() -> None:
    left, right = vectors(5, 16).float() + 1000, vectors(7, 16, seed=1).float() + 1000
    expected = torch.cdist(left.double(), right.double())
    assert torch.allclose(losses.distances(left, right).double(), expected, rtol=1e-4)


def test_distances_stay_exact_under_autocast() -> None:
    left, right = vectors(5, 16).float(), vectors(7, 16, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(losses.distances(left, right), torch.cdist(left, right), rtol=1e-4)


def test_far_apart_resolves_a_millimetre_at_the_radius_of_the_earth() -> None:
    anchor = torch.tensor([[6_378_137.0, 0.0, 0.0]], dtype=torch.float64)
    tiles = anchor + torch.tensor(
        [[0.0, 99.999, 0.0], [0.0, 100.001, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64
    )
    assert losses.far_apart(anchor, tiles, 100.0).tolist() == [[False, True, False]]

"""Masked, soft and image losses against sums written out."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tile2vec_cli.segmentation.weak_training import UNKNOWN, image_loss, masked_loss, soft_loss


def test_the_masked_loss_knows_only_the_labelled_pixels() -> None:
    logits = torch.randn(2, 5, 5, requires_grad=True)
    states = torch.full((2, 5, 5), UNKNOWN, dtype=torch.uint8)
    states[0, 1, 2], states[1, 4, 4] = 1, 0
    loss = masked_loss(logits, states)
    expected = (F.softplus(-logits[0, 1, 2]) + F.softplus(logits[1, 4, 4])) / 2
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.nonzero().tolist() == [[0, 1, 2], [1, 4, 4]]


def test_without_a_label_there_is_no_loss_and_no_nan() -> None:
    logits = torch.randn(1, 3, 3, requires_grad=True)
    loss = masked_loss(logits, torch.full((1, 3, 3), UNKNOWN, dtype=torch.uint8))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None and not logits.grad.any()


def test_the_soft_loss_is_least_at_the_teachers_own_probability() -> None:
    probability = torch.full((1, 4, 4), 0.3)
    valid = torch.ones(1, 4, 4, dtype=torch.bool)
    logits = torch.logit(probability).requires_grad_()
    soft_loss(logits, probability, valid).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits))


def test_the_image_loss_is_pooling_then_one_logistic_unit() -> None:
    """The published order, features to mean to linear layer, gives the same loss."""
    features, weight, bias = torch.randn(3, 6, 5, 5), torch.randn(6), torch.tensor(0.3)
    states = torch.tensor([1, 0, 1], dtype=torch.uint8)
    logits = torch.einsum("bfhw,f->bhw", features, weight) + bias
    pooled_first = features.mean((2, 3)) @ weight + bias
    expected = F.binary_cross_entropy_with_logits(pooled_first, states.float())
    everywhere = torch.ones(3, 5, 5, dtype=torch.bool)
    torch.testing.assert_close(image_loss(logits, states, everywhere), expected)


def test_the_image_loss_leaves_out_clouds_and_unlabelled_tiles() -> None:
    logits = torch.randn(2, 4, 4)
    valid = torch.ones(2, 4, 4, dtype=torch.bool)
    valid[0, :2] = False
    found = image_loss(logits, torch.tensor([0, UNKNOWN], dtype=torch.uint8), valid)
    torch.testing.assert_close(found, F.softplus(logits[0, 2:].mean()))

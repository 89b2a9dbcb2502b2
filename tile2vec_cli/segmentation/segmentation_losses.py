"""Losses of weakly supervised segmentation (Wang et al. 2020, section 3): all on logits (B, H, W)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tile2vec_cli.segmentation.states import UNKNOWN


def masked_loss(logits: Tensor, states: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the pixels (B, H, W) whose state is 0 or 1; 0 without any such pixel.

    With one such pixel per tile it is the paper's masked loss, with all of them the usual one.
    """
    known = states != UNKNOWN
    losses = F.binary_cross_entropy_with_logits(logits, (states == 1).float(), reduction="none")
    return _mean(losses, known)


def soft_loss(logits: Tensor, probability: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy with a teacher's probabilities (B, H, W), mean over valid pixels (Hinton et al. 2015)."""
    losses = F.binary_cross_entropy_with_logits(logits, probability, reduction="none")
    return _mean(losses, valid)


def image_loss(logits: Tensor, states: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy of a tile's mean logit with its one label (B,).

    For a network that ends in a linear layer this is global average pooling and one logistic unit, the
    paper's U-CAM: the mean over pixels and the last layer commute, and the logits before the mean are
    the class activation map. Pixels that are not valid have no part in the mean.
    """
    total = torch.where(valid, logits, 0.0).sum((1, 2))
    pooled = total / valid.sum((1, 2)).clamp(min=1)
    losses = F.binary_cross_entropy_with_logits(pooled, (states == 1).float(), reduction="none")
    return _mean(losses, states != UNKNOWN)


def _mean(losses: Tensor, kept: Tensor) -> Tensor:
    return torch.where(kept, losses, 0.0).sum() / kept.sum().clamp(min=1)

"""The triplet loss of Tile2Vec (Jean et al. 2019, equation 1) and its in-batch form.

Embeddings are float32; distances between places are taken in float64, because float32 resolves
half a metre at the radius of the Earth.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 1e-6  # squared distance below which two embeddings count as one point


def triplet_loss(anchor: Tensor, neighbor: Tensor, distant: Tensor, margin: float, l2: float) -> Tensor:
    """Mean over triplets of [‖a−n‖₂ − ‖a−d‖₂ + margin]₊ plus l2 times the embeddings' mean norm.

    Each of the three is (B, D). The gradient of a norm at 0 is 0.
    """
    hinges = (distance(anchor, neighbor) - distance(anchor, distant) + margin).clamp(min=0)
    return hinges.mean() + l2 * mean_norm(anchor, neighbor, distant)


def in_batch_loss(anchor: Tensor, neighbor: Tensor, far: Tensor, margin: float, l2: float) -> Tensor:
    """The triplet loss of every anchor against every tile of the batch that is far from it.

    `anchor` and `neighbor` are (B, D); `far` (B, 2B) says which of the batch's anchors, then
    neighbors, lie beyond distant-min of each anchor (see `far_apart`). The mean is over the hinges
    that are active: most are satisfied early, and would only shrink the step (Hermans et al. 2017,
    section 3.2, find the same). Where none is active, only the l2 term is left.
    """
    tiles = torch.cat([anchor, neighbor])
    gaps = distance(anchor, neighbor)[:, None] - distances(anchor, tiles)
    hinges = torch.where(far, (gaps + margin).clamp(min=0), 0)
    active = (hinges.detach() > 0).sum().clamp(min=1)
    return hinges.sum() / active + l2 * mean_norm(anchor, neighbor)


def far_apart(anchor_ecef: Tensor, tile_ecef: Tensor, distant_min_m: float) -> Tensor:
    """(B, M) bool: which of M tiles lie beyond `distant_min_m` of each of B anchors.

    Both are earth-centred coordinates in metres, float64, (B, 3) and (M, 3).
    """
    gaps = anchor_ecef[:, None] - tile_ecef[None]
    return _norm(gaps) > distant_min_m


def distance(left: Tensor, right: Tensor) -> Tensor:
    """(B,) Euclidean distances between the rows of two (B, D); gradient 0 where they coincide."""
    return _norm(left - right)


def distances(left: Tensor, right: Tensor) -> Tensor:
    """(B, M) Euclidean distances between all rows of (B, D) and (M, D).

    One matrix product: torch.cdist's own backward pass adds up in no fixed order on a GPU. The
    common centre is taken off first, so that little is lost in the difference of squares.
    """
    with torch.autocast(left.device.type, enabled=False):
        centre = right.detach().mean(0)
        left, right = left - centre, right - centre
        squares = left.square().sum(1)[:, None] + right.square().sum(1)[None] - 2 * left @ right.T
        gaps: Tensor = squares.clamp(min=_LEAST).sqrt()
        return gaps


def mean_norm(*embeddings: Tensor) -> Tensor:
    """Mean Euclidean norm of all rows of several (B, D)."""
    return torch.cat([_norm(rows) for rows in embeddings]).mean()


def _norm(rows: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(rows, dim=-1)  # its gradient at 0 is 0
    return norm

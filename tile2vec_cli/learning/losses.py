"""The triplet loss of Tile2Vec (Jean et al. 2019, equation 1), its in-batch form, and its relatives.

Embeddings are float32; distances between places are taken in float64, because float32 resolves
half a metre at the radius of the Earth.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

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


def info_nce(anchor: Tensor, neighbor: Tensor, far: Tensor, temperature: float) -> Tensor:
    """Mean of −log of the neighbor's share among exp(cosine/temperature) of neighbor and far tiles.

    van den Oord et al. 2018, equation 4, with the cosine for their bilinear form. Shapes as in
    `in_batch_loss`. Tiles that are not far count for nothing: they may well be more neighbors.
    """
    tiles = normalize(torch.cat([anchor, neighbor]), eps=_LEAST)
    likeness = tiles[: len(anchor)] @ tiles.T / temperature
    own = likeness[:, len(anchor) :].diagonal()[:, None]
    neighbors = torch.eye(len(anchor), dtype=torch.bool, device=far.device)
    others = far & ~torch.cat([torch.zeros_like(neighbors), neighbors], 1)
    against = likeness.masked_fill(~others, -torch.inf)
    return (torch.cat([own, against], 1).logsumexp(1) - own[:, 0]).mean()


def contrastive_loss(vectors: Tensor, codes: Tensor, margin: float) -> Tensor:
    """Mean over pairs of ‖x−y‖² for the same class, of max(0, margin − ‖x−y‖)² for others.

    Hadsell et al. 2006, equation 4, without its halves. `vectors` are (B, D), `codes` (B,).
    """
    gaps = distances(vectors, vectors)
    same = codes[:, None] == codes[None]
    each = torch.where(same, gaps, (margin - gaps).clamp(min=0)).square()
    return each.triu(1).sum() / max(1, len(codes) * (len(codes) - 1) // 2)


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


def nearer(anchor: Tensor, neighbor: Tensor, distant: Tensor) -> float:
    """Share of triplets, each (B, D), with ‖a−n‖ < ‖a−d‖."""
    return float((distance(anchor, neighbor) < distance(anchor, distant)).double().mean())


def mean_norm(*embeddings: Tensor) -> Tensor:
    """Mean Euclidean norm of all rows of several (B, D)."""
    return torch.cat([_norm(rows) for rows in embeddings]).mean()


def _norm(rows: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(rows, dim=-1)  # its gradient at 0 is 0
    return norm

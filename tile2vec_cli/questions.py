"""What a training step asks of an encoder: what it is to see, and how its vectors are judged.

Questions about vectors stand here, those about a tile's own pixels in `pretexts.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from tile2vec_cli import losses
from tile2vec_cli.config import TrainConfig

Judge = Callable[[Tensor, nn.Module], Tensor]
"""The loss of one column of the encoder: of its vectors (M, D) of what was seen, and its head."""


@dataclass(frozen=True)
class Batch:
    """B examples of K tiles each, and what is known of these tiles."""

    pixels: Tensor  # (K B, C, S, S) as stored; the first tile of each example, then the second, …
    examples: int  # B
    places: Tensor  # (K B, 3) earth-centred, float64
    distant_min_m: float


@dataclass(frozen=True)
class Question:
    seen: Tensor  # (M, C, h, w) raw pixels that go through the encoder
    judge: Judge


def triplet(batch: Batch, config: TrainConfig) -> Question:
    """Anchors with neighbors, against all that is far in the batch; or with the distants that were saved."""
    if len(batch.pixels) == 3 * batch.examples:
        return Question(batch.pixels, lambda vectors, _: saved_triplets(vectors, config))
    far = _far(batch)

    def judge(vectors: Tensor, _: nn.Module) -> Tensor:
        anchor, neighbor = vectors.chunk(2)
        return losses.in_batch_loss(anchor, neighbor, far, config.margin, config.l2)

    return Question(batch.pixels, judge)


def saved_triplets(vectors: Tensor, config: TrainConfig) -> Tensor:
    """The loss of vectors (3 B, D) of anchors, then neighbors, then distants."""
    anchor, neighbor, distant = vectors.chunk(3)
    return losses.triplet_loss(anchor, neighbor, distant, config.margin, config.l2)


def _far(batch: Batch) -> Tensor:
    """(B, 2B) which of a batch's anchors, then neighbors, are distant for each anchor."""
    return losses.far_apart(batch.places[: batch.examples], batch.places, batch.distant_min_m)

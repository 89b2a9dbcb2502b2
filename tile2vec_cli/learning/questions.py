"""What a training step asks of an encoder: what it is to see, and how its vectors are judged.

Questions about vectors stand here, those about a tile's own pixels in `pretexts.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tile2vec_cli.config.pipeline import TrainConfig
from tile2vec_cli.learning import losses
from tile2vec_cli.neural.standardise import Standardise
from tile2vec_cli.neural.transfers import sent

Judge = Callable[[Tensor, nn.Module], Tensor]
"""The loss of one column of the encoder: of its vectors (M, D) of what was seen, and its head."""


@dataclass(frozen=True)
class Batch:
    """B examples of K tiles each, and what is known of these tiles."""

    pixels: Tensor  # (K B, C, S, S) as stored; the first tile of each example, then the second, …
    # Of several processes each holds its share of the examples alone, unless it needs the `whole`.
    examples: int  # B
    places: Tensor  # (K B, 3) earth-centred, float64
    distant_min_m: float
    codes: Tensor  # (K B,) class of each tile; -1 without a label
    standardise: Standardise
    random: np.random.Generator  # of this step

    def tensor(self, values: NDArray[Any]) -> Tensor:
        return sent(torch.from_numpy(np.ascontiguousarray(values)), self.pixels.device)


@dataclass(frozen=True)
class Question:
    seen: Tensor  # (M, C, h, w) raw pixels that go through the encoder
    judge: Judge


def triplet(batch: Batch, config: TrainConfig) -> Question:
    """Anchors with neighbors, against all that is far in the batch; or with the distants that were saved.

    Jean et al. 2019, equation 1.
    """
    if len(batch.places) == 3 * batch.examples:
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


def infonce(batch: Batch, config: TrainConfig) -> Question:
    """Which of the batch's tiles is the anchor's neighbor, beside all that are far from it."""
    far = _far(batch)

    def judge(vectors: Tensor, _: nn.Module) -> Tensor:
        anchor, neighbor = vectors.chunk(2)
        return losses.info_nce(anchor, neighbor, far, config.temperature)

    return Question(batch.pixels, judge)


def contrastive(batch: Batch, config: TrainConfig) -> Question:
    """Near where the class is the same, at least `margin` apart where it is another."""
    return Question(
        batch.pixels, lambda vectors, _: losses.contrastive_loss(vectors, batch.codes, config.margin)
    )


def supervised(batch: Batch, _config: TrainConfig) -> Question:
    """The class of each tile."""
    return Question(batch.pixels, lambda vectors, head: cross_entropy(head(vectors), batch.codes))


def order(batch: Batch, _config: TrainConfig) -> Question:
    """Which of two dates of one place came first (after Misra et al. 2016).

    Examples are the earlier and the later tile; they are shown to the head in either order.
    """
    swapped = batch.tensor(batch.random.integers(2, size=batch.examples))

    def judge(vectors: Tensor, head: nn.Module) -> Tensor:
        earlier, later = vectors.chunk(2)
        as_they_came = torch.cat([earlier, later], 1)
        other_way = torch.cat([later, earlier], 1)
        shown = torch.where(swapped[:, None] == 1, other_way, as_they_came)
        return cross_entropy(head(shown), swapped)

    return Question(batch.pixels, judge)


def side_by_side(vectors: Tensor, pieces: int) -> Tensor:
    """(pieces B, D) to (B, pieces D)."""
    return torch.cat(vectors.chunk(pieces), 1)


def _far(batch: Batch) -> Tensor:
    """(B, 2B) which of a batch's anchors, then neighbors, are distant for each anchor."""
    return losses.far_apart(batch.places[: batch.examples], batch.places, batch.distant_min_m)

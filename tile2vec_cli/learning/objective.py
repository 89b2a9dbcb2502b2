"""What an objective is: which tiles teach it, what of them the encoder sees, how its vectors are judged.

Another one is a class in a file of its own and a row of OBJECTIVES (`config/objectives.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.learning import draws, losses
from tile2vec_cli.learning.examples import Examples, Source
from tile2vec_cli.learning.heads import Sizes
from tile2vec_cli.neural.batches import Standardise, sent

Answers = TypeVar("Answers")


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

    @property
    def far(self) -> Tensor:
        """(B, K B) which of the batch's tiles are distant for each example's first tile."""
        return losses.far_apart(self.places[: self.examples], self.places, self.distant_min_m)


@dataclass(frozen=True)
class Views(Generic[Answers]):
    """What a step shows the encoder, and what the vectors are compared with."""

    seen: Tensor  # (M, C, h, w) raw pixels
    answers: Answers


@dataclass(frozen=True)
class Objective(ABC, Generic[Answers]):
    """What an encoder is trained for."""

    config: TrainConfig

    bands: ClassVar[int] = 1  # that tiles need at least
    side: ClassVar[int] = 2  # the same, in pixels
    turns: ClassVar[bool] = True  # whether tiles may be flipped and turned beforehand
    whole: ClassVar[bool] = False  # whether each of several processes needs the pixels of the whole batch

    @abstractmethod
    def examples(self, source: Source) -> Examples:
        """The tiles that teach. Raises DataError where there are none."""

    @abstractmethod
    def views(self, batch: Batch) -> Views[Answers]:
        """What the encoder is to see of a batch. All that is random is drawn from the batch's generator."""

    @abstractmethod
    def loss(self, vectors: Tensor, answers: Answers, head: nn.Module) -> Tensor:
        """The loss of one column of the encoder: of its vectors (M, D) of the views, and its head."""

    def head(self, dim: int, sizes: Sizes) -> nn.Module:
        """What turns vectors of D dimensions into answers; see `heads.py`. Here: nothing."""
        return nn.Identity()

    def order(self, examples: Examples, batch_size: int, first_step: int) -> Iterator[Ints]:
        """Which rows of `examples.train` each step takes from `first_step` on, for ever."""
        seed, share = self.config.seed, self.config.local_share
        order = draws.order(len(examples.train), batch_size, seed, first_step)
        if not share:
            return order
        return draws.partly_local(order, examples.spots[examples.train[:, 0]], share, seed, first_step)

    def held_out(self, vectors: Tensor) -> Tensor | None:
        """The validation loss of one column's vectors (3 V, D) of the held-out triplets' tiles.

        None where it is the loss of the held-out examples instead.
        """
        return None

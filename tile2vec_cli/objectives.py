"""What an encoder is trained for: the OBJECTIVES table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tile2vec_cli import questions
from tile2vec_cli.config import TrainConfig
from tile2vec_cli.grid import Ints
from tile2vec_cli.questions import Batch, Question


@dataclass(frozen=True)
class Objective:
    """One objective."""

    ask: Callable[[Batch, TrainConfig], Question]


OBJECTIVES = {
    "triplet": Objective(questions.triplet),
}


@dataclass(frozen=True)
class Task:
    """An objective with the tiles that teach it. Tiles are numbered as in `batches.Pixels`."""

    objective: Objective
    config: TrainConfig
    train: Ints  # (T, K) the tiles of each example
    places: Tensor  # (U, 3) earth-centred, float64
    distant_min_m: float
    heads: nn.ModuleList  # of each column; they are trained beside the encoder and left behind

    def ask(self, numbers: Ints, pixels: Tensor) -> Question:
        """The question of a step about tiles (B, K) with pixels (K B, C, S, S), column after column."""
        rows = torch.from_numpy(numbers.T.ravel()).to(self.places.device)
        return self.objective.ask(
            Batch(pixels, len(numbers), self.places[rows], self.distant_min_m), self.config
        )

    def loss(self, question: Question, parts: tuple[Tensor, ...]) -> Tensor:
        """Mean of the columns' losses, each of its own vectors and head."""
        found = [question.judge(part, head) for part, head in zip(parts, self.heads, strict=True)]
        return torch.stack(found).mean()

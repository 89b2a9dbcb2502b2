"""What an encoder is trained for: the OBJECTIVES table.

Whatever the objective, the model is an encoder like any other: what else was trained stays behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tile2vec_cli.config.pipeline import TrainConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.job import interrupts
from tile2vec_cli.learning import draws, examples, heads, pretexts, questions
from tile2vec_cli.learning.examples import Examples, Source
from tile2vec_cli.learning.heads import Head
from tile2vec_cli.learning.questions import Batch, Question
from tile2vec_cli.neural.batches import Pixels
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.neural.encoders import Encoder
from tile2vec_cli.neural.standardise import Standardise
from tile2vec_cli.neural.transfers import sent

if TYPE_CHECKING:
    from tile2vec_cli.tiling.tiles import TileSet
    from tile2vec_cli.tiling.triplets import Triplets


@dataclass(frozen=True)
class Objective:
    """One objective: which tiles teach it, what a step asks of them, and what answers."""

    examples: Callable[[Source, TrainConfig], Examples]
    ask: Callable[[Batch, TrainConfig], Question]
    head: Head = heads.none
    bands: int = 1  # that tiles need at least
    side: int = 2
    turns: bool = True  # whether tiles may be flipped and turned beforehand
    whole: bool = False  # whether each of several processes needs the pixels of the whole batch


def _pretext(
    ask: Callable[[Batch, TrainConfig], Question],
    head: Head,
    bands: int = 1,
    side: int = 2,
    turns: bool = True,
) -> Objective:
    """An objective that asks about the pixels of single tiles."""
    return Objective(examples.tiles, ask, head, bands, side, turns, whole=True)


OBJECTIVES = {
    "triplet": Objective(examples.triplets, questions.triplet),
    "autoencoder": _pretext(pretexts.autoencoder, heads.decoder),
    "rotation": _pretext(pretexts.rotation, heads.one_of(4), turns=False),
    "context": _pretext(pretexts.context, heads.one_of(pretexts.NEIGHBORS, 2), side=15),
    "jigsaw": _pretext(pretexts.jigsaw, heads.one_of(len(pretexts.PERMUTATIONS), 4), side=10),
    "colorization": _pretext(pretexts.colorization, heads.decoder, bands=2),
    "inpainting": _pretext(pretexts.inpainting, heads.decoder),
    "order": Objective(examples.dated, questions.order, heads.one_of(2, 2)),
    "contrastive": Objective(examples.labelled, questions.contrastive),
    "infonce": Objective(examples.pairs, questions.infonce),
    "supervised": Objective(examples.labelled, questions.supervised, heads.classes),
}


def require_fit(name: str, tiles: TileSet) -> None:
    """Raise DataError where tiles are too small for an objective, or have too few bands."""
    objective = OBJECTIVES[name]
    for what, found, least in (
        ("bands", len(tiles.bands), objective.bands),
        ("pixels a side", tiles.size, objective.side),
    ):
        if found < least:
            raise DataError(
                f"{tiles.path}: its tiles have {found} {what}; --objective {name} needs {least}. "
                "Cut other tiles, or choose another objective."
            )


def require_examples(tiles: TileSet, triplets: Triplets, config: TrainConfig) -> None:
    """Raise DataError where the objective would find nothing to learn from in these tiles."""
    require_fit(config.objective, tiles)
    OBJECTIVES[config.objective].examples(Source.of(tiles, triplets, config), config)


@dataclass(frozen=True)
class Task:
    """An objective with the tiles that teach it. Tiles are numbered as in `batches.Pixels`."""

    config: TrainConfig
    train: Ints  # (T, K) the tiles of each example
    val: Ints  # (V, K)
    places: Tensor  # (U, 3) earth-centred, float64
    codes: Tensor  # (U,) classes
    distant_min_m: float
    standardise: Standardise
    heads: nn.ModuleList  # of each column; they are trained beside the encoder and left behind

    @property
    def objective(self) -> Objective:
        return OBJECTIVES[self.config.objective]

    def ask(self, numbers: Ints, pixels: Tensor, random: np.random.Generator) -> Question:
        """The question of a step about tiles (B, K) with pixels (K B, C, S, S), column after column."""
        rows = sent(torch.from_numpy(numbers.T.ravel()), self.places.device)
        batch = Batch(
            pixels=pixels,
            examples=len(numbers),
            places=self.places[rows],
            distant_min_m=self.distant_min_m,
            codes=self.codes[rows],
            standardise=self.standardise,
            random=random,
        )
        return self.objective.ask(batch, self.config)

    def held_out(self, encoder: Encoder, pixels: Pixels, runtime: Runtime, batch_size: int) -> float | None:
        """Mean loss over the held-out examples, asked the same in every epoch; None without any.

        The encoder is in evaluation mode, and no gradient is taken.
        """
        total = 0.0
        chunks = (self.val[k : k + batch_size] for k in range(0, len(self.val), batch_size))
        for number, (rows, seen) in enumerate(pixels.stream(chunks)):
            interrupts.raise_pending()
            question = self.ask(rows, seen, draws.validation(self.config.seed, number))
            with runtime.autocast():
                vectors = encoder(question.seen)
            total += len(rows) * float(self.loss(question, encoder.parts(vectors)))
        return total / len(self.val) if len(self.val) else None

    def loss(self, question: Question, parts: tuple[Tensor, ...]) -> Tensor:
        """Mean of the columns' losses, each of its own vectors and head."""
        found = [question.judge(part, head) for part, head in zip(parts, self.heads, strict=True)]
        return torch.stack(found).mean()

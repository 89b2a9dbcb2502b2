"""The OBJECTIVES table, and an objective at work.

Whatever the objective, the model is an encoder like any other: what else was trained stays behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from tile2vec_cli.config.training import MAF, TrainConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.job import interrupts
from tile2vec_cli.learning import draws, label_objectives, pretexts, triplet_objectives
from tile2vec_cli.learning.examples import Examples, Source
from tile2vec_cli.learning.objective import Batch, Objective, Views
from tile2vec_cli.neural.batches import Pixels
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.neural.encoders import Encoder
from tile2vec_cli.neural.standardise import Standardise
from tile2vec_cli.neural.transfers import sent

if TYPE_CHECKING:
    from tile2vec_cli.tiling.tiles import TileSet
    from tile2vec_cli.tiling.triplets import Triplets

OBJECTIVES: dict[str, type[Objective[Any]]] = {
    "triplet": triplet_objectives.Triplet,
    "autoencoder": pretexts.Autoencoder,
    "rotation": pretexts.Rotation,
    "context": pretexts.Context,
    "jigsaw": pretexts.Jigsaw,
    "colorization": pretexts.Colorization,
    "inpainting": pretexts.Inpainting,
    "order": triplet_objectives.Order,
    "contrastive": label_objectives.Contrastive,
    "infonce": triplet_objectives.InfoNCE,
    "supervised": label_objectives.Supervised,
}


def chosen(config: TrainConfig) -> Objective[Any]:
    return OBJECTIVES[config.objective](config)


def require_fit(name: str, tiles: TileSet) -> None:
    """Raise DataError where tiles are too small for an objective, or have too few bands."""
    if name == MAF:
        return
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
    source = Source.of(tiles, triplets, config)
    if config.objective != MAF:
        chosen(config).examples(source)


@dataclass(frozen=True)
class Task:
    """An objective with the tiles that teach it. Tiles are numbered as in `batches.Pixels`."""

    objective: Objective[Any]
    examples: Examples
    places: Tensor  # (U, 3) and
    codes: Tensor  # (U,) of the examples, on the device
    distant_min_m: float
    standardise: Standardise
    heads: nn.ModuleList  # of each column; they are trained beside the encoder and left behind

    def views(self, numbers: Ints, pixels: Tensor, random: np.random.Generator) -> Views[Any]:
        """What a step shows of tiles (B, K) with pixels (K B, C, S, S), column after column."""
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
        return self.objective.views(batch)

    def loss(self, views: Views[Any], parts: tuple[Tensor, ...]) -> Tensor:
        """Mean of the columns' losses, each of its own vectors and head."""
        pairs = zip(parts, self.heads, strict=True)
        return torch.stack([self.objective.loss(part, views.answers, head) for part, head in pairs]).mean()

    def held_out(
        self, encoder: Encoder, triplets: Tensor, pixels: Pixels, runtime: Runtime, batch_size: int
    ) -> float | None:
        """Validation loss, the same questions in every epoch; None without any held-out example.

        triplets: (3 V, D) vectors of the held-out triplets' tiles. The encoder is in evaluation mode, and
        no gradient is taken.
        """
        known = [self.objective.held_out(part) for part in encoder.parts(triplets)]
        losses = [loss for loss in known if loss is not None]
        if losses:
            return float(torch.stack(losses).mean())
        total, val = 0.0, self.examples.val
        chunks = (val[k : k + batch_size] for k in range(0, len(val), batch_size))
        for number, (rows, seen) in enumerate(pixels.stream(chunks)):
            interrupts.raise_pending()
            views = self.views(rows, seen, draws.validation(self.objective.config.seed, number))
            with runtime.autocast():
                vectors = encoder(views.seen)
            total += len(rows) * float(self.loss(views, encoder.parts(vectors)))
        return total / len(val) if len(val) else None

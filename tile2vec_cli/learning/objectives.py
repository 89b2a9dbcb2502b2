"""Objectives that compare tiles or know their classes, and an objective at work; see `config/objectives.py`.

Whatever the objective, the model is an encoder like any other: what else was trained stays behind.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tile2vec_cli.config.objectives import MAF, OBJECTIVES
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.job import interrupts
from tile2vec_cli.learning import draws, examples, heads, losses
from tile2vec_cli.learning.examples import Examples, Source
from tile2vec_cli.learning.heads import Sizes
from tile2vec_cli.learning.objective import Batch, Objective, Views
from tile2vec_cli.neural.batches import Pixels, Standardise, sent
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.neural.encoders import Encoder

if TYPE_CHECKING:
    from tile2vec_cli.tiling.tiles import TileSet
    from tile2vec_cli.tiling.triplets import Triplets


class _Labelled(Objective[Tensor], ABC):
    """Every tile of the triplets that has a label."""

    def examples(self, source: Source) -> Examples:
        """Raises DataError where labels are of fewer than two classes; else as `labels.read`."""
        # Benchmarks of the loop run where no library of maps is.
        from tile2vec_cli.labelling import labels

        config = self.config
        found = labels.read(
            config.labels or "",
            source.tiles.footprints(source.used),
            source.tiles.table(["tile_id"])["tile_id"].to_numpy()[source.used],
            field=config.field,
            min_purity=config.min_purity,
        )
        made = examples.of_tiles(source, found.codes.astype(np.int64), len(found.classes))
        made = replace(made, label_rasters=found.rasters, left_out=found.left_out)
        present = np.unique(made.codes[made.train])
        if len(present) < 2:
            of = f", all of class {found.classes[present[0]]}" if len(present) else ""
            raise DataError(
                f"{config.labels}: labels {len(np.unique(made.train)):,} of the tiles to train on{of}; two "
                f"classes are needed for --objective {config.objective}. Label more tiles."
            )
        return made

    def views(self, batch: Batch) -> Views[Tensor]:
        return Views(batch.pixels, batch.codes)


class Contrastive(_Labelled):
    """Near where the class is the same, at least `margin` apart where it is another."""

    def loss(self, vectors: Tensor, answers: Tensor, head: nn.Module) -> Tensor:
        return losses.contrastive_loss(vectors, answers, self.config.margin)


class Supervised(_Labelled):
    """The class of each tile, as a linear function of its vector: what `probe` will ask for."""

    def loss(self, vectors: Tensor, answers: Tensor, head: nn.Module) -> Tensor:
        return cross_entropy(head(vectors), answers)

    def head(self, dim: int, sizes: Sizes) -> nn.Module:
        return heads.classes(dim, sizes)


class Triplet(Objective[Tensor | None]):
    """Anchors with neighbors, against all that is far in the batch; or with the distants that were saved.

    Jean et al. 2019, equation 1.
    """

    def examples(self, source: Source) -> Examples:
        return examples.of_triplets(source, source.numbers[:, : 3 if self._saved else 2])

    def views(self, batch: Batch) -> Views[Tensor | None]:
        return Views(batch.pixels, None if self._saved else batch.far)

    def loss(self, vectors: Tensor, answers: Tensor | None, head: nn.Module) -> Tensor:
        if answers is None:
            return self.held_out(vectors)
        anchor, neighbor = vectors.chunk(2)
        return losses.in_batch_loss(anchor, neighbor, answers, self.config.margin, self.config.l2)

    def held_out(self, vectors: Tensor) -> Tensor:
        """Against the saved distants."""
        anchor, neighbor, distant = vectors.chunk(3)
        return losses.triplet_loss(anchor, neighbor, distant, self.config.margin, self.config.l2)

    @property
    def _saved(self) -> bool:
        return self.config.distants == "saved"


class InfoNCE(Objective[Tensor]):
    """Which of the batch's tiles is the anchor's neighbor, beside all that are far from it."""

    def examples(self, source: Source) -> Examples:
        return examples.of_triplets(source, source.numbers[:, :2])

    def views(self, batch: Batch) -> Views[Tensor]:
        return Views(batch.pixels, batch.far)

    def loss(self, vectors: Tensor, answers: Tensor, head: nn.Module) -> Tensor:
        anchor, neighbor = vectors.chunk(2)
        return losses.info_nce(anchor, neighbor, answers, self.config.temperature)


class Order(Objective[Tensor]):
    """Which of two dates of one place came first (after Misra et al. 2016).

    Examples are the earlier and the later of anchor and neighbor, where these are one place: centres
    within half a tile's side. They are shown to the head in either order.
    """

    def examples(self, source: Source) -> Examples:
        path = source.tiles.path
        dates = source.tiles.datetime[source.used][source.numbers[:, :2]]
        if np.isnat(source.tiles.datetime).all():
            raise DataError(
                f"{path}: its scenes have no dates; --objective {self.config.objective} needs two "
                "dates of one place. Put dates into their names (such as _2021-07-31) or TIFF tags, and cut "
                "them again."
            )
        with_dates = ~np.isnat(dates).any(axis=1) & (dates[:, 0] != dates[:, 1])
        usable = with_dates & (source.triplets.neighbor_m <= source.triplets.side_m / 2)
        if not usable[source.split.train].any():
            raise DataError(
                f"{path}: no neighbors of the triplets to train on are one place at two dates; "
                f"--objective {self.config.objective} needs some. Cut with --snap and draw triplets with "
                f"--neighbors other-scene --neighborhood {source.triplets.side_m / 2:.6g}."
            )
        ordered = np.take_along_axis(source.numbers[:, :2], np.argsort(dates, axis=1), axis=1)
        return examples.of_triplets(source, ordered, usable)

    def views(self, batch: Batch) -> Views[Tensor]:
        return Views(batch.pixels, batch.tensor(batch.random.integers(2, size=batch.examples)))

    def loss(self, vectors: Tensor, answers: Tensor, head: nn.Module) -> Tensor:
        earlier, later = vectors.chunk(2)
        as_they_came = torch.cat([earlier, later], 1)
        other_way = torch.cat([later, earlier], 1)
        shown = torch.where(answers[:, None] == 1, other_way, as_they_came)
        return cross_entropy(head(shown), answers)

    def head(self, dim: int, sizes: Sizes) -> nn.Module:
        return heads.one_of(dim, 2, pieces=2)


def _kind(name: str) -> type[Objective[Any]]:
    row = OBJECTIVES[name]
    found: type[Objective[Any]] = getattr(import_module(row.module), row.kind)
    return found


def chosen(config: TrainConfig) -> Objective[Any]:
    return _kind(config.objective)(config)


def require_fit(name: str, tiles: TileSet) -> None:
    """Raise DataError where tiles are too small for an objective, or have too few bands."""
    if name == MAF:
        return
    objective = _kind(name)
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

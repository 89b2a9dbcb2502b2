"""Objectives that places and dates teach: whose neighbor is who, and who came first."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tile2vec_cli.errors import DataError
from tile2vec_cli.learning import examples, heads, losses
from tile2vec_cli.learning.examples import Examples, Source
from tile2vec_cli.learning.heads import Sizes
from tile2vec_cli.learning.objective import Batch, Objective, Views


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

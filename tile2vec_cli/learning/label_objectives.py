"""Objectives that labels teach, which are to be of other tiles than those of a later probe."""

from __future__ import annotations

from abc import ABC
from dataclasses import replace

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tile2vec_cli.errors import DataError
from tile2vec_cli.learning import examples, heads, losses
from tile2vec_cli.learning.examples import Examples, Source
from tile2vec_cli.learning.heads import Sizes
from tile2vec_cli.learning.objective import Batch, Objective, Views


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

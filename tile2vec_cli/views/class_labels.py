"""The labelled tiles of embeddings of any number: their vectors, classes and places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import ClassifyConfig
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import splits
from tile2vec_cli.evaluation.splits import block_side_m
from tile2vec_cli.geo.grid import Ints, spatial_blocks
from tile2vec_cli.labelling import labels as labelling
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.labelling.votes import UNLABELLED
from tile2vec_cli.views import exemplars

MOST = 50_000  # labels to learn from: more would take long and change little
EXAMPLES = ("negative", "positive")  # the classes of --negative and --positive


@dataclass(frozen=True)
class Labelled:
    """n labelled tiles."""

    vectors: Vectors  # (n, D)
    classes: NDArray[np.int32]  # (n,) positions in `names`
    names: tuple[str, ...]  # each of a tile or more
    blocks: Ints  # (n,)
    block_m: float
    overlaps: Ints  # (P, 2) pairs in different blocks that share ground
    left_out: dict[str, int]  # tiles without a label, and labels of none, by reason
    rasters: dict[str, int]  # see LabelRasters.found


def gather(embeddings: Embeddings, labels: LabelSource | None, config: ClassifyConfig) -> Labelled:
    """The labelled tiles; without `labels` those that the examples name.

    Raises InputError and DataError as `Embeddings.open` and `labels.read`, DataError where fewer than two
    classes have tiles.
    """
    geometry = embeddings.geometry
    if labels is None:
        found = _of_examples(embeddings, config)
    else:
        own = {"field": config.field, "min_purity": config.min_purity}
        found = labelling.read(labels, geometry, embeddings.tile_id, **own)  # type: ignore[arg-type]
    rows, left_out = found.labelled, dict(found.left_out)
    numbers, classes = np.unique(found.codes[rows], return_inverse=True)
    names = tuple(found.classes[number] for number in numbers)
    if len(names) < 2:
        what = f"all of class {names[0]}" if names else "of no class"
        source = "--positive and --negative" if labels is None else str(labels)
        reasons = "".join(f"; {reason}: {count:,}" for reason, count in left_out.items())
        raise DataError(
            f"{source}: {len(rows):,} of {len(embeddings):,} tiles have a label, {what}{reasons}; two "
            "classes are needed. Label tiles of another class."
        )
    if len(rows) > MOST:
        drawn = np.sort(np.random.default_rng(config.seed).choice(len(rows), MOST, replace=False))
        left_out[f"labels beyond the {MOST:,} drawn to learn from"] = len(rows) - MOST
        rows, classes = rows[drawn], classes[drawn]
    block_m = block_side_m(embeddings, config.block_m)
    blocks = spatial_blocks(embeddings.lonlat[rows], block_m)
    overlaps = splits.overlapping(geometry[rows], blocks)
    vectors = embeddings.vectors_of(rows)
    return Labelled(
        vectors, classes.astype(np.int32), names, blocks, block_m, overlaps, left_out, found.rasters
    )


def _of_examples(embeddings: Embeddings, config: ClassifyConfig) -> Labels:
    meant = exemplars.resolve(embeddings, (*config.negative, *config.positive))
    negative, positive = (
        {meant[place].tile_id for place in places} for places in (config.negative, config.positive)
    )
    for tile_id in negative & positive:
        raise DataError(f"{tile_id}: given with --positive and with --negative; a tile is one of them.")
    codes = [0 if one in negative else 1 if one in positive else UNLABELLED for one in embeddings.ids()]
    return Labels(np.array(codes, np.int32), EXAMPLES, "examples")

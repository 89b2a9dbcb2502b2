"""What a probe has to learn: which tiles, of which classes, and what of them changes sides together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Ints, spatial_blocks
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.labelling.votes import UNLABELLED

BLOCK_SIDES = 20  # side of a block in tiles
POINT_BLOCK_M = 1000.0  # side of a block for embeddings of points, which have no side


@dataclass(frozen=True)
class Task:
    """What is to be learned: N tiles, each with its class and its place."""

    rows: Ints  # (N,) row numbers in the embeddings
    classes: NDArray[np.int32]  # (N,) positions in `names`
    names: tuple[str, ...]
    blocks: Ints  # (N,)
    block_m: float
    units: Ints  # (N,) what goes to one side as a whole: regions where there are some, else blocks
    dropped: dict[str, str]  # classes left out, and why


def block_side_m(embeddings: Embeddings, chosen: float | None) -> float:
    """Side of a spatial block: the chosen one, or what suits the tiles."""
    return chosen or BLOCK_SIDES * embeddings.side_m or POINT_BLOCK_M


def choose(
    embeddings: Embeddings, labels: Labels, config: ProbeConfig, regions: Labels | None = None
) -> Task:
    """The labelled tiles of the classes that can be learned and asked for.

    regions: the region of each tile, as its class; tiles of none are left out. A class needs two tiles to
    be expected on either side, and, where whole places change sides, two of these. Raises DataError where
    fewer than two classes or regions are left.
    """
    rows = labels.labelled
    if regions is not None:
        rows = rows[regions.codes[rows] != UNLABELLED]
    codes = labels.codes[rows]
    block_m = block_side_m(embeddings, config.block_m)
    blocks = spatial_blocks(embeddings.lonlat[rows], block_m)
    units = blocks if regions is None else regions.codes[rows].astype(np.int64)
    if regions is not None and len(np.unique(units)) < 2:
        raise DataError(
            f"--region-field {config.region_field}: {len(np.unique(units))} of its regions hold labelled "
            "tiles; two are needed. Choose another field."
        )
    least = math.ceil(2 / min(config.test_fraction, 1 - config.test_fraction))
    kept, dropped = [], {}
    for code, name in enumerate(labels.classes):
        count, spread = int((codes == code).sum()), len(np.unique(units[codes == code]))
        if 0 < count < least:
            dropped[name] = f"{count} {'tile' if count == 1 else 'tiles'}, fewer than {least}"
        elif count and spread < 2 and config.split != "random":
            dropped[name] = f"all {count} tiles in one {'block' if regions is None else 'region'}"
        elif count:
            kept.append(code)
    if len(kept) < 2:
        raise DataError(
            _too_few_classes([labels.classes[code] for code in kept], dropped, labels, block_m, config)
        )
    inside = np.isin(codes, kept)
    return Task(
        rows[inside],
        np.searchsorted(kept, codes[inside]).astype(np.int32),
        tuple(labels.classes[code] for code in kept),
        blocks[inside],
        block_m,
        units[inside],
        dropped,
    )


def _too_few_classes(
    kept: list[str], dropped: dict[str, str], labels: Labels, block_m: float, config: ProbeConfig
) -> str:
    reasons = "; ".join(f"{name}: {why}" for name, why in list(dropped.items())[:5])
    more = f"; and {len(dropped) - 5} more" if len(dropped) > 5 else ""
    found = f"class {kept[0]} is left" if kept else "no class is left"
    found = f"{len(labels.labelled)} of {len(labels.codes)} tiles have a label, and {found}"
    if dropped:
        found += f" ({reasons}{more})"
    advice = "Give labels to more tiles or of more classes"
    if labels.kind == "raster" and "no clear majority" in labels.left_out:
        advice += f", lower --min-purity ({config.min_purity:g})"
    if config.split == "blocks":
        advice += f", or make --block smaller ({block_m:g} m)"
    return f"{labels.source}: {found}; two are needed. {advice}."

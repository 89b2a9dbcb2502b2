"""Train and test by place: whole spatial blocks, and no tile that overlaps the other side.

Tiles near one another look alike, so a random split asks a classifier what it has nearly seen;
its score then says little of the next county (Roberts et al. 2017, "Cross-validation strategies
for data with temporal, spatial, hierarchical, or phylogenetic structure").
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Geometry, Ints, spatial_blocks
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.labelling.votes import UNLABELLED

BLOCK_SIDES = 20  # side of a block in tiles
POINT_BLOCK_M = 1000.0  # side of a block for embeddings of points, which have no side

Rows = Ints
_DRAWS = 30  # candidates of which the most even one is taken; no more than there are blocks,
# or, where these are few, every repeat would have the one best split
_LEAST_OVERLAP = 1e-3  # share of a tile: neighbours in two scenes touch within rounding


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


def choose_task(
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


@dataclass(frozen=True)
class Split:
    """Row numbers of the two sides; they share no tile."""

    train: Rows
    test: Rows


def random_split(tiles: int, test_fraction: float, random: np.random.Generator) -> Split:
    """Each tile for itself, as if tiles were independent: the split that flatters."""
    order = random.permutation(tiles)
    count = min(max(round(tiles * test_fraction), 1), tiles - 1)
    return Split(np.sort(order[count:]), np.sort(order[:count]))


def block_split(
    blocks: Ints,
    classes: NDArray[np.int32],
    overlaps: Ints,
    test_fraction: float,
    random: np.random.Generator,
) -> Split:
    """Whole blocks to either side, about `test_fraction` of the tiles to the test side.

    blocks: (N,) block numbers; classes: (N,) from 0; overlaps: (P, 2) pairs of tiles that share ground.
    Of several draws the one whose sides resemble each other most in size and classes is taken, so that a
    class in few blocks is not all on one side. Features play no part in it. A tile of the train side
    that overlaps a tile of the test side is dropped.
    """
    numbers, block = np.unique(blocks, return_inverse=True)
    counts = np.zeros((len(numbers), int(classes.max()) + 1))
    np.add.at(counts, (block, classes), 1)
    in_test = _even_draw(counts, test_fraction, random)[block]
    in_train = ~in_test
    in_train[partners(overlaps, in_test)] = False
    return Split(np.flatnonzero(in_train), np.flatnonzero(in_test))


def _even_draw(
    counts: NDArray[np.float64], test_fraction: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """(blocks,) which are in the test side. counts: (blocks, K) tiles of each class."""
    draws = [_draw(counts.sum(axis=1), test_fraction, random) for _ in range(min(_DRAWS, len(counts)))]
    return min(draws, key=lambda test: _unevenness(counts, test, test_fraction))


def _draw(sizes: NDArray[np.float64], test_fraction: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """(blocks,) which are in the test side: blocks in random order until the fraction is met best."""
    order = random.permutation(len(sizes))
    reached = np.cumsum(sizes[order]) / sizes.sum()
    # At least one block on either side.
    count = int(np.argmin(np.abs(reached[:-1] - test_fraction))) + 1
    test = np.zeros(len(sizes), bool)
    test[order[:count]] = True
    return test


def _unevenness(counts: NDArray[np.float64], test: NDArray[np.bool_], test_fraction: float) -> float:
    """How far the test side's share of the tiles, and of each class's tiles, is from what is wanted.

    A class that is on one side only weighs most: it can't be learned, or is not asked for.
    """
    share = counts[test].sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
    one_sided = np.sum((share == 0) | (share == 1))
    size = counts[test].sum() / counts.sum()
    return float(one_sided + abs(size - test_fraction) + np.mean(np.abs(share - test_fraction)))


def overlapping(geometry: Geometry, blocks: Ints) -> Ints:
    """(P, 2) pairs of tiles in different blocks whose footprints share ground.

    Pairs within a block need not be known: blocks are never divided.
    """
    tree = shapely.STRtree(geometry)
    one, other = tree.query(geometry, predicate="intersects")
    apart = (one < other) & (blocks[one] != blocks[other])
    one, other = one[apart], other[apart]
    shared = shapely.area(shapely.intersection(geometry[one], geometry[other]))
    smaller = np.minimum(shapely.area(geometry[one]), shapely.area(geometry[other]))
    kept = shared > _LEAST_OVERLAP * smaller
    return np.stack([one[kept], other[kept]], axis=1).astype(np.int64)


def partners(overlaps: Ints, inside: NDArray[np.bool_]) -> Ints:
    """Tiles that share ground with one of those `inside` (N,); overlaps: (P, 2)."""
    one, other = overlaps.T
    return np.concatenate([one[inside[other]], other[inside[one]]])


def label_order(train: Rows, classes: NDArray[np.int32], random: np.random.Generator) -> Rows:
    """The train side in random order: its first n rows are the n labels given to a classifier.

    The first two are of two classes where there are two: no classifier learns from one.
    """
    order = random.permutation(train)
    other = np.flatnonzero(classes[order] != classes[order[0]])
    if len(other):
        order[[1, other[0]]] = order[[other[0], 1]]
    return order

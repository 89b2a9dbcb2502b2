"""How often the arithmetic of classes has the right class.

A draw takes an ordered pair of classes (P, Q), a tile a of P and two tiles b, c of Q. If the step from b
to a is what makes a P of a Q, then a - b + c is a P where c is. The answer is the labelled tile nearest to
that point, of all that lie in other spatial blocks than a, b and c: that it is near them on the ground
earns nothing. It is right where it is of class P. The same is asked of the means of the classes, as in
`analogy P Q c`: of mean(P) - mean(Q) + c, where single tiles bring what is their own besides the class.

Chance is the share of P among the tiles that could be the answer. Two more rivals tell what the
arithmetic adds (Linzen 2016, "Issues in evaluating semantic spaces using word analogies"): the tile
nearest to a alone, which is right where classes lie together, and the tile nearest to c alone, which
is right where they do not. Every ordered pair is drawn equally often, to within one, so that no
class counts for more because it has more tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.config.views import AnalogyConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation.splits import block_side_m
from tile2vec_cli.geo.grid import Floats, Ints, spatial_blocks
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.outputs.parts import Progress, silent

MOST_TILES = 50_000  # that can be answers; of more, as many are drawn
_BLOCKS = 4  # that a class needs: those of a, b and c are left out, and one has to remain
_BATCH = 128  # draws at a time


@dataclass(frozen=True)
class Share:
    """How often answers were right: of tiles, of means, by chance, and of A and of C alone."""

    name: str  # the class P; "all"
    draws: int
    accuracy: float
    means: float
    chance: float
    a_alone: float
    c_alone: float


@dataclass(frozen=True)
class Score:
    """The shares of all draws, and of those of each class P."""

    all: Share
    classes: tuple[Share, ...]
    pairs: int
    tiles: int  # that could be answers
    block_m: float
    left_out: dict[str, str]  # classes, and why
    labels_left_out: dict[str, int]  # what of the labels plays no part, by reason
    label_rasters: dict[str, int]  # see LabelRasters.found


def score(
    embeddings: Embeddings, labels: Labels, config: AnalogyConfig, on_progress: Progress = silent
) -> Score:
    """Draw `config.draws` analogies; see the top of this file. Progress is in draws.

    Raises DataError where fewer than two classes have tiles in enough blocks.
    """
    random = np.random.default_rng(config.seed)
    rows = labels.labelled
    if len(rows) > MOST_TILES:
        rows = np.sort(random.choice(rows, MOST_TILES, replace=False))
    block_m = block_side_m(embeddings, config.block_m)
    codes = labels.codes[rows]
    blocks = spatial_blocks(embeddings.lonlat[rows], block_m)
    kept, left_out = _usable(codes, blocks, labels.classes)
    if len(kept) < 2:
        reasons = "".join(f"; {name}: {why}" for name, why in list(left_out.items())[:5])
        found = f"class {labels.classes[kept[0]]} alone has" if kept else "no class has"
        raise DataError(
            f"{labels.source}: {len(rows):,} tiles have a label, and {found} tiles in {_BLOCKS} blocks of "
            f"{block_m:g} m{reasons}; two classes are needed. Give more labels, or make --block smaller."
        )
    inside = np.isin(codes, kept)
    rows, codes, blocks = rows[inside], codes[inside], blocks[inside]
    drawn = _drawn(codes, kept, config.draws, random)
    right = _judged(embeddings.vectors[rows], codes, blocks, drawn, on_progress)
    of = codes[drawn[:, 0]]
    shares = tuple(_share(labels.classes[code], right[of == code]) for code in kept if (of == code).any())
    pairs = len(np.unique(codes[drawn[:, :2]], axis=0))
    return Score(
        _share("all", right),
        shares,
        pairs,
        len(rows),
        block_m,
        left_out,
        labels_left_out=labels.left_out,
        label_rasters=labels.rasters,
    )


def _usable(
    codes: NDArray[np.int32], blocks: Ints, names: tuple[str, ...]
) -> tuple[list[int], dict[str, str]]:
    """Classes in enough blocks, and why the others are left out."""
    kept, left_out = [], {}
    for code, name in enumerate(names):
        count, spread = int((codes == code).sum()), len(np.unique(blocks[codes == code]))
        if spread >= _BLOCKS:
            kept.append(code)
        elif spread:
            blocks_text = f"{spread} block" + "s" * (spread > 1)
            left_out[name] = f"{count:,} tile" + "s" * (count > 1) + f" in {blocks_text}"
    return kept, left_out


def _drawn(codes: NDArray[np.int32], kept: list[int], draws: int, random: np.random.Generator) -> Ints:
    """(draws, 3) positions of a, b and c in `codes`."""
    members = {code: np.flatnonzero(codes == code) for code in kept}
    pairs = random.permutation(np.array(list(permutations(kept, 2))))
    found = np.empty((draws, 3), np.int64)
    for number in range(draws):
        p, q = pairs[number % len(pairs)]
        found[number, 0] = random.choice(members[p])
        found[number, 1:] = random.choice(members[q], 2, replace=False)
    return found


def _judged(
    vectors: NDArray[np.float32],
    codes: NDArray[np.int32],
    blocks: Ints,
    drawn: Ints,
    on_progress: Progress,
) -> Floats:
    """(draws, 5): whether the answers of tiles, of means, of a and of c are right, and the chance."""
    every = vectors.astype(np.float64)
    every -= every.mean(axis=0)  # differences are the same, and squares are small
    squares = (every**2).sum(axis=1)
    numbers = np.unique(codes, return_inverse=True)[1]
    means = np.zeros((int(numbers.max()) + 1, every.shape[1]))
    np.add.at(means, numbers, every)
    means /= np.bincount(numbers)[:, None]
    right = np.empty((len(drawn), 5))
    for start in range(0, len(drawn), _BATCH):
        a, b, c = drawn[start : start + _BATCH].T
        barred = (blocks[:, None] == blocks[a]) | (blocks[:, None] == blocks[b])
        barred |= blocks[:, None] == blocks[c]
        wanted = codes[:, None] == codes[a]
        step = means[numbers[a]] - means[numbers[b]]
        targets = (every[a] - every[b] + every[c], step + every[c], every[a], every[c])
        for column, target in enumerate(targets):
            # The square of the target is the same for all.
            distance = squares[:, None] - 2 * (every @ target.T)
            nearest = np.where(barred, np.inf, distance).argmin(axis=0)
            right[start : start + len(a), column] = codes[nearest] == codes[a]
        right[start : start + len(a), -1] = (wanted & ~barred).sum(axis=0) / (~barred).sum(axis=0)
        on_progress(start + len(a), len(drawn))
    return right


def _share(name: str, right: Floats) -> Share:
    accuracy, means, a_alone, c_alone, chance = right.mean(axis=0).tolist()
    return Share(name, len(right), accuracy, means, chance, a_alone, c_alone)


def keys(found: Score) -> dict[str, Any]:
    """As JSON."""
    own = {"label_rasters": found.label_rasters} if found.label_rasters else {}
    return {
        **own,
        "score": vars(found.all),
        "classes": [vars(share) for share in found.classes],
        "pairs": found.pairs,
        "tiles": found.tiles,
        "block_m": found.block_m,
        "left_out": found.left_out,
        "labels_left_out": found.labels_left_out,
    }

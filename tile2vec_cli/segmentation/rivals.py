"""Pixel classifiers on the very labels the network was given, judged on the same test pixels."""

from __future__ import annotations

import numpy as np

from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.job.processors import usable_cpus
from tile2vec_cli.neural.standardise import Standardise
from tile2vec_cli.segmentation import teachers
from tile2vec_cli.segmentation.pixel_classifiers import RIVALS, fit
from tile2vec_cli.segmentation.segmenters import Counts
from tile2vec_cli.segmentation.states import UNKNOWN, States
from tile2vec_cli.segmentation.weak_recipes import Told
from tile2vec_cli.tiling.tiles import TileSet


def judged(
    tiles: TileSet,
    told: Told,
    truth: States,
    tested: Ints,
    standardise: Standardise,
    seed: int,
    names: tuple[str, ...] = RIVALS,
) -> dict[str, dict[str, float]]:
    """Scores of each rival over all known pixels of the tiles `tested`.

    truth: (N, S, S). Of whole tiles' labels every pixel inherits its tile's.
    """
    pixels = teachers.labelled_pixels(
        tiles,
        told.ids,
        teachers.inherited(tiles, told.ids, told.states),
        standardise,
        np.random.default_rng(seed),
    )
    fitted = {name: fit(name, pixels.seen_by(name), pixels.states, seed) for name in names}
    counts = {name: Counts() for name in names}
    for rows, shown in teachers.shown_tiles(tiles, tested, standardise):
        states = truth[tested[rows.start : rows.stop]]
        known = states != UNKNOWN
        flat, positive = np.moveaxis(shown, 1, -1)[known], states[known] == 1
        for name, classifier in fitted.items():
            seen = flat if classifier.sees_context else flat[:, : pixels.bands]
            counts[name].add(classifier.probability(seen, usable_cpus()) >= 0.5, positive)
    return {name: count.scores() for name, count in counts.items()}

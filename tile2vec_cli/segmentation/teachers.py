"""Soft labels for unlabelled pixels from cheap classifiers, weighted by how well each does elsewhere.

How much a pixel's own bands say, and how much its surroundings, differs from imagery to imagery. So
each classifier is judged on labels in places it has not seen, and the weights are those of the mean
of logits that explains these labels best (stacking: Wolpert 1992, Breiman 1996).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax

from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.segmentation.pixel_classifiers import KINDS, Classifier, Features, features, fit
from tile2vec_cli.segmentation.weak_labels import UNKNOWN, States
from tile2vec_cli.tiling.tiles import TileSet

_FOLDS = 5
_SURE = 0.98  # no classifier's word counts for more
_PRIOR = 0.3  # pseudo-labels in favour of equal weights
_LEAST_WEIGHT = 0.1  # below it a classifier is left out: it would cost more time than it is worth
_CHUNK = 64  # tiles at a time
MOST_PIXELS = 50_000  # labelled pixels looked at
_MOST_INHERITED = 3_000  # of them, where each only has its tile's label
MOST_TILES = 512  # that get soft labels


@dataclass(frozen=True)
class Pixels:
    """M labelled pixels: features of their surroundings, of which the first C are their own bands."""

    features: Features  # (M, D)
    states: States  # (M,)
    tile: Ints  # (M,) rows of the tiles asked for
    bands: int

    def seen_by(self, name: str) -> Features:
        return self.features if KINDS[name].sees_context else self.features[:, : self.bands]


@dataclass(frozen=True)
class Council:
    """Classifiers and their weights, which sum to 1."""

    members: dict[str, Classifier]
    weights: dict[str, float]
    bands: int

    def probability(self, shown: Features, cpus: int) -> NDArray[np.float32]:
        """(M,) of pixels with features (M, D)."""
        total = np.zeros(len(shown))
        for name, member in self.members.items():
            seen = shown if member.sees_context else shown[:, : self.bands]
            total += self.weights[name] * _logit(member.probability(seen, cpus))
        return np.asarray(expit(total), np.float32)


def inherited(tiles: TileSet, ids: Ints, states: States) -> States:
    """(n, S, S) states: those of pixels; or those of tiles (n,), for all of a tile's valid pixels."""
    if states.ndim == 3:
        return states
    return np.where(tiles.valid(ids), states[:, None, None], UNKNOWN).astype(np.uint8)


def labelled_pixels(
    tiles: TileSet,
    ids: Ints,
    states: States,
    standardise: Standardise,
    random: np.random.Generator,
    most: int = MOST_PIXELS,
) -> Pixels:
    """Features of the pixels of (n, S, S) `states` that are known, of `most` of them at the most."""
    tile, row, col = np.nonzero(states != UNKNOWN)
    if len(tile) > most:
        chosen = np.sort(random.choice(len(tile), most, replace=False))
        tile, row, col = tile[chosen], row[chosen], col[chosen]
    found = []
    for rows, shown in shown_tiles(tiles, ids, standardise):
        here = np.flatnonzero((tile >= rows.start) & (tile < rows.stop))
        found.append(shown[tile[here] - rows.start, :, row[here], col[here]])
    return Pixels(np.concatenate(found), states[tile, row, col], tile, tiles.shape[1])


def shown_tiles(tiles: TileSet, ids: Ints, standardise: Standardise) -> Iterator[tuple[range, Features]]:
    """Rows of `ids` and the features (B, D, S, S) of these tiles' pixels, some tiles at a time."""
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        valid = tiles.valid(chunk)
        device = standardise.mean.device
        pixels = torch.from_numpy(tiles.pixels(chunk).astype(np.float32)).to(device)
        bands = standardise.clipped(pixels, torch.from_numpy(valid).to(device)).cpu().numpy()
        yield range(start, start + len(chunk)), features(bands, valid)


def council_for(
    tiles: TileSet, ids: Ints, states: States, blocks: Ints, standardise: Standardise, seed: int
) -> Council:
    """Taught by what is known of these tiles: states of pixels (n, S, S) or of whole tiles (n,)."""
    most = MOST_PIXELS if states.ndim == 3 else _MOST_INHERITED
    random = np.random.default_rng(seed)
    known = inherited(tiles, ids, states)
    return convene(labelled_pixels(tiles, ids, known, standardise, random, most), blocks, seed)


def convene(pixels: Pixels, blocks: Ints, seed: int) -> Council:
    """Fit all classifiers, and weigh them by spatial cross-validation.

    blocks: (n,) block numbers of the tiles: a whole block is in one fold.
    """
    fold = _folds(blocks, seed)[pixels.tile]
    unseen = np.stack([_unseen(name, pixels, fold, seed) for name in KINDS], axis=1)
    weights = _stacked(_logit(unseen), pixels.states)
    kept = {
        name: float(weight)
        for name, weight in zip(KINDS, weights, strict=True)
        if weight >= min(_LEAST_WEIGHT, weights.max())
    }
    total = sum(kept.values())
    members = {name: fit(name, pixels.seen_by(name), pixels.states, seed) for name in kept}
    return Council(members, {name: weight / total for name, weight in kept.items()}, pixels.bands)


def soft_labels(
    council: Council, tiles: TileSet, ids: Ints, standardise: Standardise, cpus: int
) -> NDArray[np.float16]:
    """(U, S, S) probabilities of all pixels of these tiles."""
    side = tiles.size
    soft = np.empty((len(ids), side, side), np.float16)
    for rows, shown in shown_tiles(tiles, ids, standardise):
        flat = np.moveaxis(shown, 1, -1).reshape(-1, shown.shape[1])
        soft[rows.start : rows.stop] = council.probability(flat, cpus).reshape(-1, side, side)
    return soft


def _folds(blocks: Ints, seed: int) -> Ints:
    """(n,) the fold of each tile."""
    numbers, block = np.unique(blocks, return_inverse=True)
    return np.asarray(np.random.default_rng(seed).permutation(np.arange(len(numbers)) % _FOLDS)[block])


def _unseen(name: str, pixels: Pixels, fold: Ints, seed: int) -> NDArray[np.float32]:
    """(M,) probabilities of each pixel by classifiers that learned from the other folds only."""
    shown = pixels.seen_by(name)
    out = np.full(len(fold), pixels.states.mean(), np.float32)
    for number in np.unique(fold):
        own = fold == number
        if not own.all():
            out[own] = fit(name, shown[~own], pixels.states[~own], seed).probability(shown[own])
    return out


def _stacked(logits: NDArray[np.float64], states: States) -> NDArray[np.float64]:
    """(K,) weights, none below 0 and 1 in sum, of the mean of (M, K) logits with the least log loss."""
    truth = states.astype(np.float64)

    def loss(free: NDArray[np.float64]) -> float:
        weights = softmax(free)
        mean = logits @ weights
        fit_loss = np.logaddexp(0, mean) - truth * mean
        return float(fit_loss.sum() - _PRIOR * np.log(weights * len(weights)).sum())

    return np.asarray(softmax(minimize(loss, np.zeros(logits.shape[1])).x))


def _logit(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(logit(np.clip(probability.astype(np.float64), 1 - _SURE, _SURE)))

"""What is known of tiles without their vectors: place, date, what pixels say at once. And do vectors tell it?

By a linear rule, all dimensions together and one alone. Disentangled means that a factor that moves
moves few dimensions. All together tell whether a factor is in the vectors at all; one alone tells
whether it has a dimension of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold

from tile2vec_cli.config.views import InspectConfig
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import Embeddings, positions
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import baselines, splits
from tile2vec_cli.geo.grid import Floats, Geometry, Ints
from tile2vec_cli.tiling.tiles import TileSet

_USUAL_RED, _USUAL_NIR = 1, 4  # of four bands, as in NAIP
_FOLDS = 5
_STRENGTHS = np.logspace(-1, 5, 7)  # of ridge regression


@dataclass(frozen=True)
class Factors:
    """F factors of N tiles, each of which varies."""

    names: tuple[str, ...]
    values: Floats = field(repr=False)  # (N, F)


def of(sample: Embeddings, tiles: TileSet | None, config: InspectConfig) -> Factors:
    """Latitude, longitude, date; with tiles also the bands' means, NDVI, contrast and gradient.

    Contrast is the deviation within a tile, mean over bands; gradient the mean difference between
    neighbouring pixels of the mean over bands. Raises DataError where the tiles lack some of the sample,
    or have no such bands.
    """
    lon, lat = sample.lonlat.T
    found = {"latitude": lat, "longitude": (lon - lon[0] + 180) % 360 - 180}
    dates = sample.datetime
    if dates is not None and not np.isnat(dates).any():
        found["date"] = dates.astype(np.int64).astype(np.float64)
    if tiles is not None:
        found |= _seen(sample, tiles, config)
    varied = {name: values for name, values in found.items() if np.ptp(values) > 0}
    return Factors(tuple(varied), np.stack([*varied.values()], axis=1) if varied else np.empty((len(lat), 0)))


def _seen(sample: Embeddings, tiles: TileSet, config: InspectConfig) -> dict[str, Floats]:
    ids = positions(sample, tiles, "--tiles needs")
    numbers = {band: place for place, band in enumerate(tiles.bands)}
    stats = baselines.stats(tiles, ids, config.seed, baselines.Architecture()).astype(np.float64)
    means, deviations = np.split(stats, 2, axis=1)
    found = {f"band {band}": means[:, place] for band, place in numbers.items()}
    red, nir = config.red, config.nir
    if red is None and len(tiles.bands) == _USUAL_NIR:
        red, nir = _USUAL_RED, _USUAL_NIR
    if red is not None and nir is not None:
        if max(red, nir) > len(tiles.bands):
            raise DataError(
                f"{tiles.path}: holds {len(tiles.bands)} bands; --red and --nir ask for band "
                f"{max(red, nir)}. Choose others."
            )
        low, high = means[:, red - 1], means[:, nir - 1]
        total = np.where(low + high == 0, 1, low + high)
        found["NDVI"] = (high - low) / total
    found["contrast"] = deviations.mean(axis=1)
    found["gradient"] = np.concatenate([_gradient(tiles, here) for here in baselines.chunks(ids)])
    return found


def _gradient(tiles: TileSet, ids: Ints) -> Floats:
    grey = np.nan_to_num(tiles.pixels(ids).astype(np.float64), posinf=0, neginf=0).mean(axis=1)
    down, across = (np.abs(np.diff(grey, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2))
    return np.asarray((down + across) / 2)


# --- whether vectors tell it ------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """One factor, judged on blocks that were left out: R² is 1 for right, 0 for no better than the mean."""

    factor: str
    together: float  # R² of ridge regression on all dimensions
    alone: float  # R² of a line through the dimension that fits best on the other blocks
    dimension: int  # the one that correlates best over all, from 0

    @property
    def concentration(self) -> float:
        """What one dimension tells of what all do; 0 where they tell nothing."""
        return min(max(self.alone, 0.0) / self.together, 1.0) if self.together > 0 else 0.0


def told(vectors: Vectors, factors: Factors, blocks: Ints, geometry: Geometry) -> list[Told]:
    """vectors: (N, D); blocks: (N,), at least two, left out in turn. No tile that overlaps one of those
    left out is learned from."""
    truth = factors.values
    together, alone = (np.tile(truth.mean(axis=0), (len(truth), 1)) for _ in range(2))
    for train, test in _folds(blocks, geometry):
        x, fresh = _standardised(vectors[train], vectors[test])
        y_mean, y_scale = truth[train].mean(axis=0), _scale(truth[train])
        y = (truth[train] - y_mean) / y_scale
        ridge = RidgeCV(_STRENGTHS, alpha_per_target=True).fit(x, y)
        together[test] = ridge.predict(fresh).reshape(len(test), -1) * y_scale + y_mean
        slopes = x.T @ y / len(x)  # (D, F) correlations: both have deviation 1
        best = np.abs(slopes).argmax(axis=0)
        alone[test] = fresh[:, best] * slopes[best, np.arange(len(best))] * y_scale + y_mean
    dimension = np.abs(correlations(vectors, truth)).argmax(axis=0)
    apart = np.square(truth - truth.mean(axis=0)).sum(axis=0)
    fits = [1 - np.square(truth - guess).sum(axis=0) / apart for guess in (together, alone)]
    return [
        Told(name, float(fits[0][k]), float(fits[1][k]), int(dimension[k]))
        for k, name in enumerate(factors.names)
    ]


def correlations(vectors: Vectors | Floats, values: Floats) -> Floats:
    """(D, F) Pearson's r of each of (N, D) with each of (N, F); 0 where a dimension does not vary."""
    x, _ = _standardised(vectors, vectors[:0])
    y = (values - values.mean(axis=0)) / _scale(values)
    return np.asarray(np.clip(x.T @ y / len(x), -1, 1))


def _folds(blocks: Ints, geometry: Geometry) -> Iterator[tuple[Ints, Ints]]:
    overlaps = splits.overlapping(geometry, blocks)
    for train, test in GroupKFold(min(_FOLDS, len(np.unique(blocks)))).split(blocks, groups=blocks):
        left_out = np.zeros(len(blocks), bool)
        left_out[test] = True
        kept = np.setdiff1d(train, splits.partners(overlaps, left_out))
        if len(kept) > 1:
            yield kept, test


def _standardised(known: Vectors | Floats, fresh: Vectors | Floats) -> tuple[Floats, Floats]:
    """Both by the mean and deviation of the known."""
    own = known.astype(np.float64)
    mean, scale = own.mean(axis=0), _scale(own)
    return (own - mean) / scale, (fresh - mean) / scale


def _scale(values: Floats) -> Floats:
    scale = values.std(axis=0)
    return np.asarray(np.where(scale > 0, scale, 1.0))

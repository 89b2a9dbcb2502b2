"""What is known of tiles without looking at their vectors: place, date, and what pixels say at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tile2vec_cli.config.views import InspectConfig
from tile2vec_cli.embedding.embeddings import Embeddings, positions
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import baselines
from tile2vec_cli.geo.grid import Floats, Ints
from tile2vec_cli.tiling.tiles import TileSet

_CHUNK = 512  # tiles at a time
_USUAL_RED, _USUAL_NIR = 1, 4  # of four bands, as in NAIP


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
    found["gradient"] = np.concatenate([_gradient(tiles, here) for here in _chunks(ids)])
    return found


def _gradient(tiles: TileSet, ids: Ints) -> Floats:
    grey = np.nan_to_num(tiles.pixels(ids).astype(np.float64), posinf=0, neginf=0).mean(axis=1)
    down, across = (np.abs(np.diff(grey, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2))
    return np.asarray((down + across) / 2)


def _chunks(ids: Ints) -> Iterator[Ints]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]

"""What embeddings have to beat, none of it trained: statistics, components, filters, an encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.neural import batches, device, encoders, random_features
from tile2vec_cli.tiling.tiles import TileSet

Vectors = NDArray[np.float32]

COMPONENTS = 64
FILTERS = 256  # of the random convolutional features; each gives two numbers
_CHUNK = 512  # tiles at a time
_SAMPLE = 4000  # tiles the principal components are computed from,
_SAMPLE_BYTES = 512 << 20  # or fewer, so that they take no more than this


@dataclass(frozen=True)
class Architecture:
    """The encoder to leave untrained: the one that made the embeddings, if known."""

    encoder: str = "small"
    dim: int = 128

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Architecture:
        """From what the embeddings' file says of its model; `small` where it says nothing."""
        architecture = metadata.get("architecture") or {}
        if architecture.get("encoder") in ENCODERS:
            return cls(str(architecture["encoder"]), int(architecture["dim"]))
        return cls()


def stats(tiles: TileSet, ids: Ints, seed: int, architecture: Architecture) -> Vectors:
    """(N, 2 C) mean and deviation of each band over each tile's valid pixels."""
    rows = []
    for here in chunks(ids):
        values = tiles.pixels(here).astype(np.float64)
        known = np.isfinite(values) & tiles.valid(here)[:, None]
        count = np.maximum(known.sum(axis=(2, 3)), 1)
        mean = np.where(known, values, 0).sum(axis=(2, 3)) / count
        apart = np.where(known, values - mean[..., None, None], 0)
        rows.append(np.hstack([mean, np.sqrt(np.square(apart).sum(axis=(2, 3)) / count)]))
    return np.concatenate(rows).astype(np.float32)


def pca(
    tiles: TileSet, ids: Ints, seed: int, architecture: Architecture, source: Ints | None = None
) -> Vectors:
    """(N, 64) principal components of the raw pixels, found on a sample of `source`; None: of these tiles."""
    source = ids if source is None else source
    width = int(np.prod(tiles.shape[1:]))
    most = max(COMPONENTS + 1, min(_SAMPLE, _SAMPLE_BYTES // (4 * width)))
    random = np.random.default_rng(seed)
    sample = source if len(source) <= most else np.sort(random.choice(source, most, replace=False))
    components = min(COMPONENTS, len(sample), width)
    model = PCA(components, svd_solver="randomized", random_state=seed)
    model.fit(np.concatenate([_flat(tiles, here) for here in chunks(sample)]))
    return np.concatenate([model.transform(_flat(tiles, here)) for here in chunks(ids)]).astype(np.float32)


def random(tiles: TileSet, ids: Ints, seed: int, architecture: Architecture) -> Vectors:
    """(N, D) vectors of the encoder as it was before training."""
    runtime = device.choose()
    mean, std = batches.normalisation(tiles, ids)
    name, bands = architecture.encoder, len(tiles.bands)
    encoder = encoders.untrained(name, bands, architecture.dim, mean, std, seed)
    encoder.finished = True
    encoder = encoders.fused(encoder).to(runtime.device)
    vectors = []
    with torch.inference_mode(), runtime.autocast():
        for here in chunks(ids, encoders.tiles_a_pass(name, runtime.name)):
            vectors.append(encoder(torch.from_numpy(tiles.pixels(here)).to(runtime.device)).float().cpu())
    return torch.cat(vectors).numpy()


def rcf(
    tiles: TileSet,
    ids: Ints,
    seed: int,
    architecture: Architecture,
    source: Ints | None = None,
    filters: int = FILTERS,
) -> Vectors:
    """(N, 2 F) random convolutional features, whose filters are patches of `source`; None: of these tiles."""
    runtime = device.choose()
    made = random_features.fitted(tiles, ids if source is None else source, filters, seed).to(runtime.device)
    vectors = []
    with torch.inference_mode(), runtime.autocast():
        for here in chunks(ids):
            seen = [
                torch.from_numpy(one).to(runtime.device) for one in (tiles.pixels(here), tiles.valid(here))
            ]
            vectors.append(made.features(*seen).cpu())
    return torch.cat(vectors).numpy()


BASELINES: dict[str, Callable[[TileSet, Ints, int, Architecture], Vectors]] = {
    "stats": stats,
    "pca": pca,
    "random": random,
    "rcf": rcf,
}


def chunks(ids: Ints, size: int = _CHUNK) -> Iterator[Ints]:
    """So many tiles at a time."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _flat(tiles: TileSet, ids: Ints) -> Vectors:
    """(B, C S S) float32; pixels that are NaN become 0."""
    flat = tiles.pixels(ids).reshape(len(ids), -1).astype(np.float32)
    return np.nan_to_num(flat, copy=False, posinf=0.0, neginf=0.0)

"""What a tile looks like, in some two thousand numbers that nobody trains.

How its 3×3 patches answer to random filters (`random_features.py`), the mean of the patches, how their
principal components vary and go together, and how often each band takes which values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from operator import index
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tile2vec_cli.neural import random_features
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.random_features import Filters

FILTERS = 512
_STRIDE = 4  # every fourth position for the filters: more filters help more than more positions
STEP = 2  # every second position for the components, whose variances need more of them, and the values
_COMPONENTS = 36  # of the patches, at most; all there are for four bands
_VALUES = 64  # histogram bins of all bands together, but two for a band at least
_LEAST = 1e-3  # of the mean variance: components that vary less are taken for noise
_PATCHES = 20_000  # from which all this is fitted
_CHUNK = 64  # tiles whose patches are taken apart at a time


@dataclass(frozen=True)
class Shape:
    """What it takes to build descriptors before their numbers are read."""

    bands: int
    filters: int = FILTERS
    side: int = random_features.SIDE  # of a patch, in pixels
    components: int = _COMPONENTS
    bins: int = 16  # of a band's histogram

    @classmethod
    def of(cls, bands: int, tile_side: int, filters: int) -> Shape:
        side = min(random_features.SIDE, tile_side)
        components = min(_COMPONENTS, bands * side**2)
        return cls(bands, filters, side, components, max(2, _VALUES // bands))

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Shape:
        """Of what `to_json` gave; KeyError, TypeError and ValueError for anything else."""
        shape = cls(**{name: index(found[name]) for name in asdict(cls(1))})
        if not all(1 <= value <= 2**16 for value in asdict(shape).values()) or shape.side > 15:
            raise ValueError(f"{shape} is none")
        return shape

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    @property
    def width(self) -> int:
        """How many numbers describe a tile."""
        pairs = self.components * (self.components + 1) // 2
        return self.filters + self.components + pairs + self.bands * self.bins


class Descriptors(nn.Module):
    """Maps raw pixels (B, C, S, S), and the same standardised, to (B, P) float32."""

    axes: Tensor  # (C K K, q) of patches of standardised pixels; they have variance 1 along each
    edges: Tensor  # (C, bins - 1) in deviations, between the bins of a band's histogram

    def __init__(self, filters: Filters, axes: Tensor, edges: Tensor) -> None:
        super().__init__()
        self.filters = filters
        self.register_buffer("axes", axes)
        self.register_buffer("edges", edges)

    @classmethod
    def empty(cls, shape: Shape) -> Descriptors:
        """To be filled with the numbers of a file."""
        patch = shape.bands * shape.side**2
        weight = torch.empty(shape.filters, shape.side, shape.side, shape.bands)
        filters = Filters(weight, torch.empty(shape.filters), torch.empty(shape.bands), _STRIDE)
        return cls(filters, torch.empty(patch, shape.components), torch.empty(shape.bands, shape.bins - 1))

    @property
    def shape(self) -> Shape:
        bands, edges = self.edges.shape
        side, components = self.filters.side, self.axes.shape[1]
        return Shape(bands, len(self.filters.weight), side, components, edges + 1)

    def forward(self, pixels: Tensor, standardised: Tensor) -> Tensor:
        with torch.autocast(pixels.device.type, enabled=False):
            moments = [self._components(some) for some in torch.split(standardised, _CHUNK)]
            values = self._values(standardised[:, :, ::STEP, ::STEP])
        answers, _ = self.filters(pixels)
        return torch.cat([answers, torch.cat(moments), values], dim=1)

    def _components(self, pixels: Tensor) -> Tensor:
        """(B, q + q (q + 1) / 2) mean, log variance and correlations of the patches' components."""
        patches = _patches(pixels, self.filters.side)
        mean = patches.mean(2, keepdim=True)
        along = self.axes.T @ (patches - mean)  # projected first: axes of little variance are long
        covariance = along @ along.mT / along.shape[2]
        side = covariance.shape[1]
        variance = covariance.flatten(1)[:, :: side + 1] + _LEAST
        scale = variance.rsqrt()
        correlation = covariance * scale[:, :, None] * scale[:, None]
        row, column = torch.tril_indices(side, side, -1, device=pixels.device)
        lower = correlation.flatten(1)[:, row * side + column]
        return torch.cat([mean[..., 0] @ self.axes, variance.log(), lower], dim=1)

    def _values(self, pixels: Tensor) -> Tensor:
        """(B, C bins) roots of the shares of pixels in each bin of each band."""
        tiles, bands, bins = len(pixels), len(self.edges), self.edges.shape[1] + 1
        values = pixels.transpose(0, 1).flatten(1).contiguous()  # (C, B n)
        bin_of = torch.searchsorted(self.edges, values).view(bands, tiles, -1)
        histogram = torch.arange(bands * tiles, device=pixels.device).view(bands, tiles, 1)
        counts = torch.bincount((bin_of + bins * histogram).flatten(), minlength=bands * tiles * bins)
        shares = counts.view(bands, tiles, bins).transpose(0, 1).flatten(1).float() / bin_of.shape[2]
        return shares.sqrt()


def fit(
    pixels: NDArray[Any],
    valid: NDArray[np.bool_],
    standardise: Standardise,
    random: np.random.Generator,
    filters: int,
) -> Descriptors:
    """From a sample of tiles: pixels (N, C, S, S) and which are valid (N, S, S)."""
    shape = Shape.of(pixels.shape[1], pixels.shape[-1], filters)
    drawn = random_features.draw(pixels, valid, -(-_PATCHES // len(pixels)), random)
    standardised = standardise(torch.from_numpy(pixels))
    within = [_within(some, shape.side) for some in torch.split(standardised, _CHUNK)]
    covariance = torch.cat(within).mean(0)
    variances, axes = (found.flip(-1)[..., : shape.components] for found in torch.linalg.eigh(covariance))
    floor = (_LEAST * variances.clamp(min=0).mean()).clamp(min=1e-12)
    shares = np.linspace(0, 1, shape.bins + 1)[1:-1]
    edges = [np.quantile(values, shares) for values in standardised.transpose(0, 1).numpy()]
    return Descriptors(
        random_features.fit(drawn, filters, random, _STRIDE),
        (axes / variances.clamp(min=floor).sqrt()).float(),
        torch.from_numpy(np.array(edges, dtype=np.float32)),
    )


def _within(pixels: Tensor, side: int) -> Tensor:
    """(B, C K K, C K K) float64 covariances of each tile's patches."""
    patches = _patches(pixels, side)
    centred = (patches - patches.mean(2, keepdim=True)).double()
    return centred @ centred.mT / centred.shape[2]


def _patches(pixels: Tensor, side: int) -> Tensor:
    """(B, C K K, n) every STEP-th patch of every STEP-th row of (B, C, S, S)."""
    windows = pixels.contiguous().unfold(2, side, STEP).unfold(3, side, STEP)  # (B, C, r, c, K, K)
    return windows.permute(0, 1, 4, 5, 2, 3).flatten(4).flatten(1, 3)

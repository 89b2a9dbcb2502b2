"""Random convolutional features (Rolf et al. 2021, MOSAIKS): filters that nobody trains.

A filter is a patch of these very tiles: scaled to 0–1, minus its mean, of unit length, whitened (ZCA).
A tile's features are how strongly it responds, on average over its positions: mean relu(y) and mean
relu(-y). The second is mean relu(y) - mean y, and mean y is linear in the tile's mean patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tile2vec_cli.geo.grid import Ints

if TYPE_CHECKING:  # it needs libraries that no filter does
    from tile2vec_cli.tiling.tiles import TileSet

Patches = NDArray[Any]  # (M, K, K, C) raw pixels

SIDE = 3  # K, of a patch in pixels; less in tiles smaller than that
STRIDE = 2  # every second position: a quarter of the arithmetic, hardly less accurate

_LEAST = 1e-8  # length of a patch that has contrast
_BIAS = 1e-3  # added to the variances that whitening divides by
_PATCHES = 10_000  # that the whitening is computed from
_SAMPLE = 2000  # tiles they come from
_CHUNK = 256  # tiles read at a time
_TRIES = 4  # positions drawn for each patch wanted, as some hold invalid pixels
_CACHE_BYTES = {"cpu": 2 << 20, "cuda": 512 << 20}  # of responses at a time: pooled while still in cache


class Filters(nn.Module):
    """F filters, and where on a tile they are applied: every `stride`-th position of every `stride`-th row.

    All that is needed stands in the buffers: weights for raw pixels, less a shift for each band that
    keeps numbers small. 8-bit pixels less a whole number are exact in bfloat16, so these go through
    it under autocast; others need float32.
    """

    weight: Tensor  # (F, K, K, C)
    bias: Tensor  # (F,)
    shift: Tensor  # (C,)

    def __init__(self, weight: Tensor, bias: Tensor, shift: Tensor, stride: int = STRIDE) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("shift", shift)
        self.stride = stride

    def forward(self, pixels: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, F) mean relu(y) and (B, K K C) mean patch, less the shift, of raw pixels (B, C, S, S).

        valid: (B, S, S); positions whose patch holds an invalid pixel, or a NaN, are
        left out of the means. Where a tile has no other, such pixels count as the shift.
        """
        half = pixels.dtype == torch.uint8 and torch.is_autocast_enabled(pixels.device.type)
        dtype = torch.bfloat16 if half else torch.float32
        with torch.autocast(pixels.device.type, enabled=False):
            seen, whole = self._seen(pixels, valid, dtype)
            weight, bias = self.weight.flatten(1).to(dtype), self.bias.to(dtype)
            across = (pixels.shape[-1] - self.side) // self.stride + 1
            up = seen.new_zeros((len(seen), len(weight)), dtype=torch.float32)
            mean = seen.new_zeros((len(seen), weight.shape[1]), dtype=torch.float32)
            for some, rows in _chunks(len(seen), across, len(weight) * dtype.itemsize, seen.device.type):
                lines = slice(rows.start * self.stride, (rows.stop - 1) * self.stride + self.side)
                x = _windows(seen[some, lines], self.side, self.stride).flatten(3)
                y = _rectified(x.flatten(0, 2), weight, bias).view(*x.shape[:3], -1)
                if whole is not None:
                    x, y = x * whole[some, rows], y.mul_(whole[some, rows])
                # In parts first: in bfloat16 each sum is rounded, and those of four even that out.
                groups = y.view(len(x), gcd(x.shape[1], 4), -1, len(weight))
                up[some] += groups.sum(2).float().sum(1)
                mean[some] += x.sum((1, 2), dtype=torch.float32)
            count = across**2 if whole is None else whole.sum((1, 2, 3), dtype=torch.float32)[:, None]
            return up / count, mean / count

    def features(self, pixels: Tensor, valid: Tensor | None = None) -> Tensor:
        """(B, 2 F) mean relu(y), then mean relu(-y)."""
        up, mean = self(pixels, valid)
        with torch.autocast(pixels.device.type, enabled=False):
            both = mean @ self.weight.flatten(1).T + self.bias
        return torch.cat([up, (up - both).clamp(min=0)], dim=1)

    @property
    def side(self) -> int:
        return int(self.weight.shape[1])

    def _seen(self, pixels: Tensor, valid: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """(B, S, S, C) pixels less the shift, and which positions count (B, r, r, 1); None: all."""
        # Whole numbers of 8 bits and their differences are exact in either type.
        seen = pixels.permute(0, 2, 3, 1).contiguous().to(dtype).sub_(self.shift.to(dtype))
        known = valid
        if pixels.is_floating_point():
            finite = seen.isfinite().all(-1)
            known = finite if known is None else known & finite
        if known is None or known.all():
            return seen, None
        seen = seen.masked_fill(~known[..., None], 0)
        whole = _windows(known[..., None], self.side, self.stride).flatten(3).all(-1, keepdim=True)
        return seen, (whole | ~whole.any((1, 2), keepdim=True)).to(dtype)


def fitted(tiles: TileSet, ids: Ints, filters: int, seed: int, stride: int = STRIDE) -> Filters:
    """Filters from patches of some of these tiles, the same for one seed whatever reads them."""
    random = np.random.default_rng(seed)
    sample = ids if len(ids) <= _SAMPLE else np.sort(random.choice(ids, _SAMPLE, replace=False))
    each = -(-max(_PATCHES, 2 * filters) // len(sample))
    chunks = (sample[start : start + _CHUNK] for start in range(0, len(sample), _CHUNK))
    drawn = [draw(tiles.pixels(here), tiles.valid(here), each, random) for here in chunks]
    return fit(np.concatenate(drawn), filters, random, stride)


def draw(pixels: NDArray[Any], valid: NDArray[np.bool_], each: int, random: np.random.Generator) -> Patches:
    """About so many patches of each tile, at random positions without invalid pixels.

    pixels: (B, C, S, S); valid: (B, S, S).
    """
    side = min(SIDE, pixels.shape[-1])
    known = valid & np.isfinite(pixels).all(axis=1)
    shape = (len(pixels), _TRIES * each)
    row, col = random.integers(pixels.shape[-1] - side + 1, size=(2, *shape))
    rows, cols = row[..., None, None] + np.arange(side)[:, None], col[..., None, None] + np.arange(side)
    tile = np.arange(len(pixels))[:, None, None, None]
    whole = known[tile, rows, cols].all(axis=(2, 3))
    kept = whole & (whole.cumsum(axis=1) <= each)
    numbers = np.nonzero(kept)[0][:, None, None]
    return np.asarray(pixels[numbers, :, rows[kept], cols[kept]])


def fit(patches: Patches, filters: int, random: np.random.Generator, stride: int = STRIDE) -> Filters:
    """Filters drawn from these patches, which also say how patches are to be whitened.

    8-bit pixels are divided by 255; others by what lies between the 1st and the 99th percentile of all
    bands. Where no patch has any contrast, filters are 0.
    """
    _, side, _, bands = patches.shape
    values = patches.astype(np.float64).reshape(-1, side**2 * bands)
    weight, bias, shift = np.zeros((filters, values.shape[1])), np.zeros(filters), np.zeros(bands)
    if len(values):
        low, high = (0, 255) if patches.dtype == np.uint8 else np.percentile(values, (1, 99))
        scale = 1 / ((high - low) or 1.0)
        shift = values.reshape(-1, bands).mean(axis=0)
        if patches.dtype.kind in "ui":
            shift = shift.round()
        unit = values * scale
        unit -= unit.mean(axis=1, keepdims=True)
        length = np.linalg.norm(unit, axis=1, keepdims=True)
        contrast = length[:, 0] > _LEAST
        unit = unit[contrast] / length[contrast]
    if len(values) and len(unit):
        mean = unit.mean(axis=0)
        variances, axes = np.linalg.eigh(np.cov(unit.T, bias=True))
        white = axes / (variances.clip(0) + _BIAS) @ axes.T  # ZCA twice: of the patch, of what meets it
        chosen = unit[random.choice(len(unit), filters, replace=len(unit) < filters)]
        weight = (chosen - mean) @ white
        bias = -weight @ mean
        weight *= scale
        bias += weight @ np.tile(shift, side**2)
    return Filters(
        torch.tensor(weight.reshape(filters, side, side, bands), dtype=torch.float32),
        torch.tensor(bias, dtype=torch.float32),
        torch.tensor(shift, dtype=torch.float32),
        stride,
    )


def _chunks(tiles: int, across: int, bytes_each: int, device: str) -> Iterator[tuple[slice, slice]]:
    """Which tiles, and which of their rows of positions, to take at a time: whole tiles, or rows of one."""
    rows = max(1, _CACHE_BYTES[device] // (bytes_each * across))
    some, rows = max(1, rows // across), min(rows, across)
    for start, row in product(range(0, tiles, some), range(0, across, rows)):
        yield slice(start, start + some), slice(row, min(row + rows, across))


def _windows(maps: Tensor, side: int, stride: int) -> Tensor:
    """(B, r, c, side, side C) every window of maps (B, H, W, C), of which those of a row lie together."""
    channels = maps.shape[-1]
    return maps.flatten(2).unfold(1, side, stride).unfold(2, side * channels, stride * channels)


def _fused_product() -> Any:
    """oneDNN's matrix product with a relu in it; None where torch or the CPU has none for bfloat16."""
    ops = torch.ops.mkldnn
    has = getattr(ops, "_is_mkldnn_bf16_supported", None)
    return getattr(ops, "_linear_pointwise", None) if has is not None and has() else None


_PRODUCT = _fused_product()


def _rectified(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """relu(x weight' + bias); by oneDNN without a second pass over the result."""
    if x.device.type == "cpu" and x.dtype == torch.bfloat16 and _PRODUCT is not None:
        y: Tensor = _PRODUCT(x, weight, bias, "relu", [], "")
        return y
    return torch.addmm(bias, x, weight.T).relu_()

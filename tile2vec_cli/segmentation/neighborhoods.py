"""What a pixel's surroundings look like, as features: smoothed bands and their spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Bands = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIGMAS = (1.0, 2.5, 6.0)  # pixels: speckle, texture, surroundings
_SPREAD_SIGMA = 2.5


def features(bands: Bands, valid: Mask) -> Bands:
    """(B, 5 C, S, S): the (B, C, S, S) bands, their Gaussian means at three scales, and their deviation.

    Pixels that are not valid (B, S, S) and those beyond the tile have no weight.
    """
    weight = valid[:, None].astype(np.float32)
    shown = bands * weight
    means = [_mean(shown, weight, sigma) for sigma in SIGMAS]
    centre = _mean(shown, weight, _SPREAD_SIGMA)
    spread = np.sqrt(np.maximum(_mean(shown * bands, weight, _SPREAD_SIGMA) - centre**2, 0))
    return np.concatenate([bands, *means, spread], axis=1)


def _mean(shown: Bands, weight: Bands, sigma: float) -> Bands:
    scales = (0.0, 0.0, sigma, sigma)
    total = gaussian_filter(shown, scales, mode="constant")
    share = gaussian_filter(weight, scales, mode="constant")
    return np.asarray(total / np.maximum(share, 1e-3), dtype=np.float32)

"""Fits the place column to triplets, without a step: one pass over their tiles, then eigenvectors.

Covariances are sums, so that neither time nor memory grows with the tile set beyond TILES of the tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Floats, Ints, block_numbers
from tile2vec_cli.job import interrupts
from tile2vec_cli.learning import draws
from tile2vec_cli.learning.examples import Source
from tile2vec_cli.neural import descriptors, encoders
from tile2vec_cli.neural.batches import Pixels
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.neural.encoders import Encoder
from tile2vec_cli.neural.place import FACTORS, Covariances, Place, principal_axes
from tile2vec_cli.outputs.parts import Progress

TILES = 30_000  # more change the factors by less than another seed does
_SAMPLE = 2000  # of these tiles, from which descriptors are fitted
_TILES_A_NUMBER = 4  # where there are fewer tiles for each descriptor, their principal axes stand for them
_SHRINKAGES = (1e-3, 1e-2, 1e-1, 1.0)
_HELD_OUT = 0.2  # of the triplets, in whole blocks, on which shrinkage and weight are chosen
_MOST = 2**0.5  # the part that tells places better weighs so much more, and no more: see docs

Rows = NDArray[np.float32]


def fitted(
    encoder: Encoder, source: Source, pixels: Pixels, runtime: Runtime, seed: int, on_progress: Progress
) -> Place:
    """The place column for these trained columns. Progress is in tiles.

    Fitted to the triplets that train, so that the others stay a test.
    """
    triplets = _triplets(source)
    tiles, pairs = np.unique(triplets[:, :2], return_inverse=True)
    pairs = pairs.reshape(-1, 2)
    random = np.random.default_rng((seed, draws.PLACE))
    encoder = encoders.fused(encoder).to(runtime.device)
    sample = source.used[np.sort(random.choice(tiles, min(_SAMPLE, len(tiles)), replace=False))]
    known = source.tiles.pixels(sample), source.tiles.valid(sample)
    described = descriptors.fit(*known, encoder.standardise.cpu(), random, descriptors.FILTERS)
    encoder.standardise.to(runtime.device)
    described.to(runtime.device)
    rows = _rows(encoder, described, tiles, pixels, runtime, on_progress)
    trained = rows[:, rows.shape[1] - sum(encoder.shares) :].copy()
    spread = _spread(trained)
    shift, deviation = rows.mean(axis=0), rows.std(axis=0)
    varies = deviation > 1e-6 * max(rows.max(), -rows.min())
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=varies)
    rows -= shift
    rows *= scale
    axes = np.eye(rows.shape[1])
    count = max(1, len(rows) // _TILES_A_NUMBER)
    if count < rows.shape[1]:
        axes = principal_axes(Covariances.of(rows, pairs[:0]).total, count)
        rows = rows @ axes.astype(np.float32)
    interrupts.raise_pending()
    choice = _choice(rows, trained, tiles, triplets, source, seed)
    interrupts.raise_pending()
    (factors,) = Covariances.of(rows, pairs).factors(min(FACTORS, rows.shape[1]), [choice.shrinkage])
    own = _spread(rows @ factors.astype(np.float32))
    if spread > 0 and own > 0:
        factors = factors * (choice.weight * spread / own)
    weight = torch.from_numpy((scale[:, None] * (axes @ factors)).astype(np.float32))
    return Place(described, torch.from_numpy(shift).to(runtime.device), weight.to(runtime.device))


def _spread(vectors: Rows) -> float:
    """Root of the mean squared distance from the mean vector."""
    return float(np.sqrt(vectors.var(axis=0).sum()))


@dataclass(frozen=True)
class Choice:
    """What triplets of blocks held out speak for."""

    shrinkage: float
    weight: float  # deviation of the place part over that of the trained part


def _choice(rows: Rows, trained: Rows, tiles: Ints, triplets: Ints, source: Source, seed: int) -> Choice:
    """Judged by how often neighbors are nearer than distants in blocks held out, the mean over these.

    Of the shrinkages the least one that tells them as well as the best does, within one standard error over
    these blocks: what is told finer is worth keeping where it costs nothing. The part that errs less weighs
    more, as the errors are to one another.
    """
    unknown = Choice(_SHRINKAGES[1], 1 / _MOST)
    lonlat = source.tiles.lonlat[source.used]
    block_m = max(draws.BLOCK_SIDES * source.triplets.side_m, source.triplets.settings["neighborhood_m"])
    inside = np.isin(triplets[:, 2], tiles)
    if not inside.any():  # of very many tiles, of which few are looked at
        return unknown
    numbers = np.searchsorted(tiles, triplets[inside])
    try:
        halves = draws.split(numbers, lonlat[tiles], block_m, 2 * source.triplets.side_m, _HELD_OUT, seed)
    except DataError:  # too few blocks to tell
        return unknown
    pairs, judged = numbers[halves.train][:, :2], numbers[halves.val]
    blocks = block_numbers(lonlat[tiles[judged[:, 0]]], block_m)

    def nearer(vectors: Rows) -> Floats:
        """(blocks,) share of their triplets in which the neighbor is."""
        anchor, neighbor, distant = vectors[judged].transpose(1, 0, 2)
        near, far = (np.square(anchor - other).sum(axis=1) for other in (neighbor, distant))
        shares: Floats = np.bincount(blocks, near < far) / np.bincount(blocks)
        return shares

    factors = Covariances.of(rows, pairs).factors(min(FACTORS, rows.shape[1]), _SHRINKAGES)
    shares = np.array([nearer(rows @ some.astype(np.float32)) for some in factors])
    means = shares.mean(axis=1)
    best = int(np.argmax(means))
    error = shares[best].std() / max(1, shares.shape[1] - 1) ** 0.5
    chosen = int(np.argmax(means >= means[best] - error))
    own, others = 1 - means[chosen], 1 - nearer(trained).mean()
    weight = float(np.clip(others / max(own, 1e-9), 1 / _MOST, _MOST))
    return Choice(_SHRINKAGES[chosen], weight)


def work(source: Source) -> int:
    """How many tiles it takes."""
    return len(np.unique(_triplets(source)[:, :2]))


def _triplets(source: Source) -> Ints:
    """(T, 3) of those that train, no more than have TILES neighbors and anchors."""
    triplets = source.numbers[source.split.train]
    # They are drawn at random: the first are as good as any.
    return triplets if len(source.used) <= TILES else triplets[: TILES // 2]


def _rows(
    encoder: Encoder,
    described: descriptors.Descriptors,
    tiles: Ints,
    pixels: Pixels,
    runtime: Runtime,
    on_progress: Progress,
    size: int = 128,  # tiles at a time
) -> Rows:
    """(N, P + D) descriptors of the tiles, and the trained columns' vectors beside them."""
    width = described.shape.width + sum(encoder.shares)
    rows, done = np.empty((len(tiles), width), np.float32), 0
    with torch.inference_mode(), runtime.autocast():
        chunks = (tiles[start : start + size, None] for start in range(0, len(tiles), size))
        for _, seen in pixels.stream(chunks):
            interrupts.raise_pending()
            plain = encoder.standardise(seen)
            beside = torch.cat([described(seen, plain), encoder(seen).float()], dim=1)
            rows[done : done + len(seen)] = beside.cpu().numpy()
            done += len(seen)
            on_progress(done, len(tiles))
    return rows

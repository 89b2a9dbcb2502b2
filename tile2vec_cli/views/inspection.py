"""Whether a representation is good in three senses: easier tasks, disentangled factors, plain directions.

Two passes over embeddings of any number: the first takes their moments, the second finds the tiles at
either end of each principal component.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.config.views import InspectConfig
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import Embeddings, OnRows
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import probing, splits
from tile2vec_cli.evaluation.scores import Verdict
from tile2vec_cli.geo.grid import Floats, spatial_blocks
from tile2vec_cli.labelling import labels
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import factors
from tile2vec_cli.views.factors import Factors, Told
from tile2vec_cli.views.spectra import Spectrum, Spread

ENDS = 10  # tiles at either end of a component
RIVALS = ("stats", "rcf")  # that the probe puts beside the vectors
PAIRS = 1000  # tiles of which all pairs are compared by cosine

_N_LABELS, _REPEATS = (100, 1000), 5  # of the probe


@dataclass(frozen=True)
class Component:
    """One principal component, and the tiles at its ends, the outermost first."""

    share: float  # of the variance
    correlations: dict[str, float]  # factor -> Pearson's r
    lowest: tuple[str, ...]  # tile_ids, or row numbers
    highest: tuple[str, ...]

    @property
    def factor(self) -> str | None:
        """The one it follows most."""
        return max(self.correlations, key=lambda name: abs(self.correlations[name]), default=None)


@dataclass(frozen=True)
class Part:
    """One part of the vectors by itself."""

    spread: Spread
    share: float  # of the whole vectors' variance
    told: dict[str, float]  # factor -> R² from this part alone


@dataclass(frozen=True)
class Inspection:
    """What was found. The sample has M tiles."""

    spectrum: Spectrum
    parts: dict[str, Part]  # of the vectors, by name; none where the file names none
    sample: int
    blocks: int
    told: list[Told]  # one a factor; none where all tiles lie in one block
    squared: Floats = field(repr=False)  # (D, F) r² of each dimension with each factor, over the sample
    components: list[Component]
    cosines: Floats = field(repr=False)  # of pairs of the sample
    probe: Verdict | None


def inspect(
    path: Path,
    config: InspectConfig,
    tiles: TileSet | None = None,
    source: str | LabelSource | None = None,
    on_progress: Progress = silent,
) -> Inspection:
    """Raises InputError and DataError as `Embeddings.open`, `labels.read` and `probing.probe`; DataError
    where there are too few tiles, or where the tiles are not those of the embeddings."""
    every = Embeddings.open(path, on_rows=lambda done: on_progress(done, 3 * count))
    count = len(every)
    if count < 3:
        raise DataError(f"{path}: holds {count} embeddings; at least 3 are needed. Embed more tiles.")
    chosen = np.arange(count)
    if count > config.sample:
        chosen = np.sort(np.random.default_rng(config.seed).choice(count, config.sample, replace=False))

    def first_pass() -> Iterator[Vectors]:
        for here in every.chunks():
            yield every.vectors[here]
            on_progress(count + here.stop, 3 * count)

    spectrum = Spectrum.of(first_pass())
    sample = every.take(chosen)
    known = factors.of(sample, tiles, config)
    blocks = spatial_blocks(sample.lonlat, splits.block_side_m(sample, config.block_m))
    n_blocks, shapes = len(np.unique(blocks)), sample.geometry

    def judged(vectors: Vectors) -> list[Told]:
        if not known.names or n_blocks < 2:
            return []
        return factors.told(vectors, known, blocks, shapes)

    squared = np.square(factors.correlations(sample.vectors, known.values))
    components = _components(
        every, spectrum, sample, known, config, lambda done: on_progress(2 * count + done, 3 * count)
    )
    variance = spectrum.eigenvalues.sum() or 1.0
    parts = {}
    for name, here in sample.parts.items():
        spread = spectrum.part(here)
        own = {one.factor: one.together for one in judged(sample.vectors[:, here])}
        parts[name] = Part(spread, float(spread.eigenvalues.sum() / variance), own)
    return Inspection(
        spectrum,
        parts,
        len(sample),
        n_blocks,
        judged(sample.vectors),
        squared,
        components,
        _cosines(sample, config.seed),
        None if source is None else _probe(sample, source, tiles, config),
    )


def _cosines(sample: Embeddings, seed: int) -> Floats:
    """Of all pairs of some of the sample."""
    rows = np.random.default_rng((seed, 1)).permutation(len(sample))[:PAIRS]
    vectors = sample.vectors[rows].astype(np.float64)
    length = np.linalg.norm(vectors, axis=1)
    units = vectors[length > 0] / length[length > 0, None]
    return np.asarray((units @ units.T)[np.triu_indices(len(units), 1)])


def _probe(
    sample: Embeddings, source: str | LabelSource, tiles: TileSet | None, config: InspectConfig
) -> Verdict:
    found = labels.read(
        source, sample.geometry, sample.tile_id, field=config.field, min_purity=config.min_purity
    )
    settings = ProbeConfig(
        classifiers=("logistic",),
        n_labels=_N_LABELS,
        repeats=_REPEATS,
        field=config.field,
        min_purity=config.min_purity,
        block_m=config.block_m,
        parts=bool(sample.parts),
        baselines=() if tiles is None else RIVALS,
        seed=config.seed,
    )
    return probing.probe(sample, found, settings, tiles)


# --- components --------------------------------------------------------------------------------


def _components(
    every: Embeddings,
    spectrum: Spectrum,
    sample: Embeddings,
    known: Factors,
    config: InspectConfig,
    on_rows: OnRows,
) -> list[Component]:
    shares = spectrum.shares
    count = min(config.components, int((shares > 0).sum()))
    axes = spectrum.axes[:count]
    values = (sample.vectors - spectrum.mean) @ axes.T  # (M, K)
    follows = factors.correlations(values, known.values)
    lowest, highest = _ends(every, spectrum.mean, axes, on_rows)
    return [
        Component(
            float(shares[k]),
            {name: float(r) for name, r in zip(known.names, follows[k], strict=True)},
            tuple(lowest[k]),
            tuple(highest[k]),
        )
        for k in range(count)
    ]


def _ends(
    every: Embeddings, mean: Floats, axes: Floats, on_rows: OnRows
) -> tuple[list[list[str]], list[list[str]]]:
    """The ids of the tiles at the low and at the high end of each axis; equal ones in the order of rows."""
    best: list[list[list[tuple[float, int]]]] = [[[] for _ in axes] for _ in range(2)]
    for here in every.chunks():
        values = (every.vectors[here] - mean) @ axes.T
        for side, sign in enumerate((1, -1)):
            for k in range(len(axes)):
                outer = np.argsort(sign * values[:, k], kind="stable")[:ENDS].tolist()
                new = [(float(sign * values[row, k]), here.start + row) for row in outer]
                best[side][k] = sorted([*best[side][k], *new])[:ENDS]
        on_rows(here.stop)
    low, high = (
        [[str(i) for i in every.ids(np.array([row for _, row in ends], np.int64))] for ends in side]
        for side in best
    )
    return low, high

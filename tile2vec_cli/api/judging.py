"""How good vectors are, and ways to make them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tile2vec_cli.api import vectors as arrays
from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.api.verdicts import Verdict
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.pipeline import BASELINE_NAMES, CompareConfig, ProbeConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import UsageError
from tile2vec_cli.evaluation import probe_reports
from tile2vec_cli.labelling import labels as labelling
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.tiling.tiles import TileSet

if TYPE_CHECKING:
    from tile2vec_cli.evaluation.comparison import Bench


def probe(
    embeddings: Path | Embeddings | Any,
    labels: LabelSource | Any,
    config: ProbeConfig,
    *,
    tiles: Path | None = None,
    places: Any = None,
    baselines: Sequence[str] | None = None,
    model: Path | None = None,
    beside: Sequence[Path] = (),
    out: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[Verdict]:
    """Judge embeddings by how well simple classifiers learn labels from them, on held-out blocks.

    embeddings: a path, or (N, D) vectors of all `tiles`, in their order, or of `places` (N geometries, or
    (N, 2) longitudes and latitudes). labels: paths, or the N classes themselves.
    baselines: rivals that learn from the pixels of `tiles` (default: all).
    """
    if baselines is not None and tiles is None:
        raise UsageError("--baselines: need the tiles' pixels. Give the tile set with --tiles.")
    if config.end_to_end is not None and tiles is None:
        raise UsageError("--end-to-end: needs the tiles' pixels. Give the tile set with --tiles.")
    if model is not None and config.end_to_end is None:
        raise UsageError("--model: is what --end-to-end starts from. Give --end-to-end MINUTES as well.")
    chosen = BASELINE_NAMES if baselines is None else tuple(dict.fromkeys(baselines))
    config = replace(config, baselines=() if tiles is None else chosen)
    vectors = _vectors(embeddings, tiles, places)
    source: LabelSource | Labels = labels
    if not isinstance(labels, LabelSource):
        count = len(vectors) if isinstance(vectors, Embeddings) else len(Embeddings.open(vectors))
        source = labelling.of_classes(labels, count)
    report = probe_reports.run(
        vectors,
        source,
        config,
        tiles=tiles,
        model=model,
        beside=beside,
        out=out,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    named = labels if isinstance(labels, LabelSource) else "labels"
    first = vectors if isinstance(vectors, Path) else "vectors"
    inputs = (first, named, tiles, model, *beside)
    return Outcome.of("probe", report, *inputs, open=lambda found: Verdict(found, out))


def _vectors(given: Any, tiles: Path | None, places: Any) -> Path | Embeddings:
    """What is to be judged: a file, or vectors in memory."""
    if isinstance(given, Embeddings):
        return given.path or given
    if isinstance(given, str | Path):
        return Path(given)
    if places is not None:
        return arrays.at(places, given)
    if tiles is None:
        raise UsageError("vectors: an array says not where it is. Give its tiles or places as well.")
    return arrays.of_tiles(TileSet.open(tiles), np.asarray(given))


def compare(
    tiles: Path,
    labels: LabelSource,
    out: Path,
    config: CompareConfig,
    *,
    triplets: Path | None = None,
    strict: bool = False,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Compare ways to learn without labels: the same tiles, encoder and minutes, scored on the same splits.

    Progress begins anew with each stage.
    """
    from tile2vec_cli.evaluation.comparison import Bench  # and all that trains, which no probe needs

    bench = Bench(
        tiles, labels, out, config, lambda *_: nullcontext(on_progress), triplets, overwrite, strict
    )
    return compared(bench)


def compared(bench: Bench) -> Outcome[None]:
    """The same, where each stage tells of itself."""
    from tile2vec_cli.evaluation import comparison_reports

    tiles, labels, triplets = bench.tiles, LabelSource.of(bench.labels), bench.triplets
    report = comparison_reports.run(bench)
    left_out = {"labels_left_out": report.labels_left_out} if report.labels_left_out else {}
    return Outcome(
        "compare",
        report.keys | left_out,
        [tiles, *labels.given, *([triplets] if triplets else [])],
        report.files,
        report.up_to_date,
        report.failed,
        report.made,
        report.kept,
    )

"""From a few labels to a class for every tile, and to the tiles that are worth labelling next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import ClassifyConfig, SuggestConfig
from tile2vec_cli.errors import UsageError
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.views import class_parts, class_reports, exemplars, suggest_reports
from tile2vec_cli.views.near_reports import Outputs


def classify(
    embeddings: Path,
    out: Sequence[Path],
    config: ClassifyConfig,
    *,
    labels: LabelSource | None = None,
    tiles: Path | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Give every tile a class and its probability, learned from the labels of a few."""
    if (labels is None) == (not config.positive):
        raise UsageError("--labels, or --positive and --negative: the one or the other is needed.")
    config = replace(
        config,
        positive=exemplars.listed("--positive", config.positive),
        negative=exemplars.listed("--negative", config.negative),
    )
    out = tuple(dict.fromkeys(out))
    if any(not one.suffix for one in out):
        folder = class_parts.require_alone(out, picture, config)
        report, failed = class_parts.run(
            embeddings, labels, config, folder, overwrite=overwrite, on_progress=on_progress
        )
        return Outcome.of("classify", report, embeddings, labels, tiles, failed=failed)
    class_reports.require_outputs(out, config)
    report = class_reports.run(
        embeddings,
        labels,
        config,
        out=out,
        tiles=tiles,
        picture=picture,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    return Outcome.of("classify", report, embeddings, labels, tiles)


def suggest(
    embeddings: Path,
    out: Path,
    config: SuggestConfig,
    *,
    labels: LabelSource | None = None,
    tiles: Path | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Suggest which tiles to label next; `report["suggested"]` lists them."""
    outputs = Outputs(out, tiles, picture, config.rgb, overwrite)
    report = suggest_reports.run(embeddings, labels, config, outputs, on_progress)
    return Outcome.of("suggest", report, embeddings, labels, tiles)

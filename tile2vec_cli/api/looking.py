"""What vectors say: look-alikes, maps of colours, analogies, change, and what is in them.

Each command imports its own views: those of `inspect` need torch and scikit-learn, four seconds that no
search should wait for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import (
    AnalogyConfig,
    ChangeConfig,
    InspectConfig,
    PreviewConfig,
    SimilarConfig,
)
from tile2vec_cli.errors import UsageError
from tile2vec_cli.outputs.parts import Progress, silent


def similar(
    embeddings: Path,
    config: SimilarConfig,
    *,
    out: Path | None = None,
    tiles: Path | None = None,
    picture: Path | None = None,
    raster: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Find the tiles whose vectors are nearest to those of example tiles; `report["similar"]` lists them.

    Examples are tile_ids, (longitude, latitude), or "@ids.txt".
    """
    from tile2vec_cli.views import exemplars, similarity
    from tile2vec_cli.views.near_reports import Outputs

    config = replace(
        config, to=exemplars.listed("--to", config.to), without=exemplars.listed("--not", config.without)
    )
    outputs = Outputs(out, tiles, picture, config.rgb, overwrite, raster)
    report = similarity.run(embeddings, config, outputs, on_progress)
    return Outcome.of("similar", report, embeddings, tiles)


def preview(
    embeddings: Path,
    out: Path,
    config: PreviewConfig,
    *,
    tiles: Path | None = None,
    fit_on: Path | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Show embeddings as a map: their first three principal components as red, green and blue."""
    from tile2vec_cli.views import previews

    if sheet is not None and tiles is None:
        raise UsageError("--sheet: needs the tiles' pixels. Give --tiles.")
    report = previews.run(
        embeddings,
        config,
        out=out,
        tiles=tiles,
        fit_on=fit_on,
        sheet=sheet,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    return Outcome.of("preview", report, embeddings, fit_on, tiles)


def analogy(
    embeddings: Path,
    config: AnalogyConfig,
    *,
    labels: LabelSource | None = None,
    out: Path | None = None,
    tiles: Path | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Find the tiles nearest to A - B + C, or score=True: how often class arithmetic is right.

    terms: A, B and C, each a tile_id, (longitude, latitude), or a class of the labels.
    """
    from tile2vec_cli.views import analogies
    from tile2vec_cli.views.near_reports import Outputs

    if not config.score:
        outputs = Outputs(out, tiles, picture, config.rgb, overwrite)
        report = analogies.run(embeddings, config, labels, outputs, on_progress)
    elif out or picture:
        raise UsageError("--score: writes no files; needs neither --out nor --picture. Use --json.")
    elif labels is None:
        raise UsageError("--score: needs classes. Give --labels.")
    else:
        report = analogies.score(embeddings, config, labels, on_progress)
    return Outcome.of("analogy", report, embeddings, labels, tiles)


def change(
    before: Path,
    after: Path,
    config: ChangeConfig,
    *,
    out: Sequence[Path] = (),
    tiles_before: Path | None = None,
    tiles_after: Path | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Rank places by how far their vectors moved between two dates."""
    from tile2vec_cli.views import change_reports

    if picture is not None and tiles_before is None:
        raise UsageError("--picture: needs the tiles' pixels. Give the tile set with --tiles-before.")
    if tiles_after is not None and tiles_before is None:
        raise UsageError("--tiles-after: needs --tiles-before as well. Give both, or only that one.")
    report = change_reports.run(
        before,
        after,
        config,
        out=tuple(dict.fromkeys(out)),
        tiles=None if tiles_before is None else (tiles_before, tiles_after or tiles_before),
        picture=picture,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    return Outcome.of("change", report, before, after, tiles_before, tiles_after)


def inspect(
    embeddings: Path,
    out: Path,
    config: InspectConfig,
    *,
    tiles: Path | None = None,
    labels: LabelSource | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Ask whether embeddings are a good representation: a page, a report and pictures in the folder `out`."""
    from tile2vec_cli.views import inspect_reports

    if labels is None and config.field is not None:
        raise UsageError("--field: names a field of --labels. Give both or neither.")
    if tiles is None and (config.red is not None or config.rgb is not None):
        raise UsageError(
            "--red, --nir and --rgb: name bands of --tiles. Give the tile set that was embedded."
        )
    report = inspect_reports.run(
        embeddings,
        config,
        out,
        tiles=tiles,
        labels=labels,
        overwrite=overwrite,
        on_progress=on_progress,
    )
    return Outcome.of("inspect", report, embeddings, tiles, labels)

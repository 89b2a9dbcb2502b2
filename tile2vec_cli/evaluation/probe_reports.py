"""A probe from files to files: report.json, confusion.csv, curve.png, confusion.png."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli import figures
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.config.training import PARTS
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import UsageError
from tile2vec_cli.evaluation import probing
from tile2vec_cli.evaluation.beside import Common, names
from tile2vec_cli.evaluation.fits import Fits
from tile2vec_cli.evaluation.scores import NETWORK, Verdict
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.labelling import labels
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.records import Folder, Maker, Report
from tile2vec_cli.tiling.tiles import TileSet

FORMAT = "tile2vec-probe/1"
REPORT, CONFUSION, CURVE, PICTURE = "report.json", "confusion.csv", "curve.png", "confusion.png"


def run(
    embeddings: Path | Embeddings,
    source: str | LabelSource | Labels,
    config: ProbeConfig,
    *,
    tiles: Path | None = None,
    model: Path | None = None,
    beside: Sequence[Path] = (),
    out: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Report:
    """Judge the embeddings; write the folder `out` if there is one, unless it is up to date.

    A run that was stopped while it trained networks goes on with the next one.

    Raises InputError and DataError for what cannot be read or used, DataError where `out` holds a
    report made with other settings, OutputError where it cannot be written.
    """
    tile_set = None if tiles is None else TileSet.open(tiles)
    others = names(beside, (probing.OWN, *(PARTS if config.parts else ()), *figures.NAMES))
    if out is None:
        verdict = _judge(embeddings, source, config, tile_set, model, others, Fits(), on_progress)
        return Report(verdict.report(), (), False)
    if isinstance(embeddings, Embeddings) or isinstance(source, Labels):
        raise UsageError(
            f"{out}: a report on disk says which files it was made from, and these are arrays. "
            "Give files, or leave out --out."
        )
    files = tuple(out / name for name in (REPORT, CONFUSION, CURVE, PICTURE))
    inputs: dict[str, records.Input] = {
        "embeddings": embeddings,
        "labels": source,
        "tiles": tiles,
        "model": model,
        **{f"beside {name}": path for name, path in others.items()},
    }
    known = {} if tile_set is None else {"tiles": tile_set.fingerprint}
    settings = config.settings() if model else {**config.settings(), "model": None}
    folder = Folder(files[0], FORMAT, records.made_from(out, settings, inputs, known), files[1:])
    fits = Fits.open(out, folder.made_from)
    found = folder.current(files, overwrite)
    if found is not None:
        fits.discard()
        return Report(found, files, True)
    verdict = _judge(embeddings, source, config, tile_set, model, others, fits, on_progress)
    folder.write(dict(zip(files[1:], _makers(verdict), strict=True)), verdict.report())
    fits.discard()
    return Report(verdict.report(), files, False)


def _judge(
    embeddings: Path | Embeddings,
    source: str | LabelSource | Labels,
    config: ProbeConfig,
    tiles: TileSet | None,
    model: Path | None,
    others: Mapping[str, Path],
    fits: Fits,
    on_progress: Progress,
) -> Verdict:
    vectors = embeddings if isinstance(embeddings, Embeddings) else Embeddings.open(embeddings)
    common = Common.of(vectors, others) if others else None
    if common is not None:
        vectors = common.own
    if isinstance(source, Labels):
        found, regions = source, None
    else:
        found = labels.read(
            source, vectors.geometry, vectors.tile_id, field=config.field, min_purity=config.min_purity
        )
        regions = _regions(source, vectors, found, config)
    return probing.probe(vectors, found, config, tiles, model, fits, regions, common, on_progress)


def _regions(
    source: str | LabelSource, vectors: Embeddings, found: Labels, config: ProbeConfig
) -> Labels | None:
    """The region of each tile, from the file of the labels; None where the split is by something else."""
    if config.region_field is None:
        return None
    if found.kind == "raster":
        raise UsageError(
            f"--region-field: {source} is a raster, without fields. Use a vector file or a table."
        )
    if config.field is None:
        raise UsageError("--region-field: the file holds classes too. Name their field with --field.")
    return labels.read(source, vectors.geometry, vectors.tile_id, field=config.region_field)


# --- files -------------------------------------------------------------------------------------


def _makers(verdict: Verdict) -> tuple[Maker, Maker, Maker]:
    """Of the table of confusion, the curves, and the picture of confusion."""
    repeats = verdict.scores[0].repeats
    return (
        lambda path: _write_confusion(path, verdict.classes, verdict.confusion),
        lambda path: figures.curves(path, _curves(verdict), verdict.majority_class, repeats, _notes(verdict)),
        lambda path: figures.confusion(path, verdict.confusion, verdict.classes),
    )


def _curves(verdict: Verdict) -> figures.Curves:
    """A panel for each classifier of features; what networks reach by themselves stands in all of them."""
    panels: dict[str, list[tuple[str, NDArray[np.float64]]]] = {}
    for classifier, features in dict.fromkeys((s.classifier, s.features) for s in verdict.scores):
        rows = [s for s in verdict.scores if (s.classifier, s.features) == (classifier, features)]
        points = [
            (s.n_labels, s.accuracy, s.std, np.nan if s.random_split is None else s.random_split)
            for s in rows
        ]
        panels.setdefault(classifier, []).append((features, np.array(points)))
    networks = panels.pop(NETWORK, [])
    return {classifier: lines + networks for classifier, lines in panels.items()}


def _notes(verdict: Verdict) -> dict[str, str]:
    """What sets the networks apart from the other lines of the picture."""
    given = verdict.end_to_end
    if given is None:
        return {}
    note = f"{given['minutes']:g} min"
    if given["repeats"] != verdict.scores[0].repeats:
        note += f", {given['repeats']} splits"
    return {score.features: note for score in verdict.scores if score.classifier == NETWORK}


def _write_confusion(path: Path, classes: tuple[str, ...], matrix: Ints) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["truth", *classes])
        rows.writerows([name, *counts] for name, counts in zip(classes, matrix.tolist(), strict=True))

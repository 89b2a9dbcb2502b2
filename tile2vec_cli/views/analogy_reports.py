"""An analogy from files to files, and its score."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import AnalogyConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.labelling import labels
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.records import Report
from tile2vec_cli.views import analogies, analogy_scores, contact_sheets, near_reports
from tile2vec_cli.views.analogies import Answer, Term
from tile2vec_cli.views.contact_sheets import SHOWN, Group, Source
from tile2vec_cli.views.near_reports import Finding, Outputs

_ACROSS = 10  # tiles of a class on the sheet
_SIGNS = (("A", "blue"), ("− B", "orange"), ("+ C", "blue"))


def run(
    path: Path,
    config: AnalogyConfig,
    source: str | LabelSource | None,
    outputs: Outputs,
    on_progress: Progress = silent,
) -> Report:
    """Find the answers; write what is not up to date. Errors as `near_reports.run` and `analogies.answer`."""

    def find() -> Finding:
        shown = 0 if outputs.picture is None else _ACROSS
        found = analogies.answer(path, config, source, shown, on_progress)
        rows = near_reports.rows(found.near)
        if found.classes is not None:
            rows = [{**row, "class": name} for row, name in zip(rows, found.classes, strict=True)]
        terms = [
            {"class" if term.is_class else "tile_id": term.name, "tiles": term.tiles} for term in found.terms
        ]
        keys: records.Keys = {"terms": terms, "nearest": rows}
        for name, counts in (
            ("labels_left_out", dict(found.labels_left_out)),
            ("label_rasters", found.label_rasters),
        ):
            if counts:
                keys[name] = counts
        return Finding(near_reports.batch(rows, found.near), keys, lambda s: _groups(found, s))

    inputs: dict[str, records.Input] = {"embeddings": path, "labels": source}
    return near_reports.run("analogy", config.settings(), inputs, outputs, find)


def score(
    path: Path, config: AnalogyConfig, source: str | LabelSource, on_progress: Progress = silent
) -> analogy_scores.Score:
    """How often class arithmetic is right. Errors as `Embeddings.open`, `labels.read` and of the score."""
    every = Embeddings.open(path, part=config.part)
    found = labels.read(
        source, every.geometry, every.tile_id, field=config.field, min_purity=config.min_purity
    )
    return analogy_scores.score(every, found, config, on_progress)


def _groups(found: Answer, source: Source) -> list[Group]:
    groups = []
    signed = list(zip(_SIGNS, found.terms, strict=True))
    if not any(term.is_class for term in found.terms):
        ids, signs = [term.name for term in found.terms], [sign for (sign, _), _ in signed]
        groups.append(source.group("A − B + C", ids, signs, "blue"))
    else:
        groups += [source.group(_heading(s, term), term.shown, colour=c) for (s, c), term in signed]
    return [*groups, contact_sheets.nearest("Nearest to A − B + C", found.near[:SHOWN], source)]


def _heading(sign: str, term: Term) -> str:
    if not term.is_class:
        return sign
    return f"{sign}: the mean of {term.name}, {term.tiles:,} tiles; those nearest to it"

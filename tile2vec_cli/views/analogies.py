"""A - B + C: the tiles where the vector of a difference, added to another tile, ends.

The arithmetic of word vectors (Mikolov, Yih, Zweig 2013, "Linguistic regularities in continuous space
word representations"), which Jean et al. (2019) show for tiles. Distances are Euclidean, as the loss is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import AnalogyConfig
from tile2vec_cli.embedding import embeddings
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.labelling import labels
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.records import Report
from tile2vec_cli.views import analogy_scores, exemplars, near_reports
from tile2vec_cli.views.contact_sheets import Group, Source
from tile2vec_cli.views.exemplars import Batch, Place, TileId
from tile2vec_cli.views.near_reports import Finding, Near, Outputs, nearest

_NAMED = 20  # classes named in an error
_ACROSS = 10  # tiles of a class on the sheet
_SIGNS = (("A", "blue"), ("− B", "orange"), ("+ C", "blue"))


@dataclass(frozen=True)
class Term:
    """What A, B or C turned out to be: a tile, or the mean of a class's tiles."""

    name: TileId
    vector: Floats  # (D,)
    tiles: int = 1
    is_class: bool = False
    shown: tuple[TileId, ...] = ()  # the tile, or those of the class that are nearest to its mean


@dataclass(frozen=True)
class Answer:
    """The tiles nearest to A - B + C, nearest first."""

    terms: tuple[Term, ...]
    near: tuple[Near, ...]
    classes: tuple[str | None, ...] | None  # of these tiles; None where there are no labels
    labels_left_out: Mapping[str, int] = field(default_factory=dict)  # what of the labels plays no part
    label_rasters: dict[str, int] = field(default_factory=dict)  # see LabelRasters.found


@dataclass(frozen=True)
class _Labelled:
    """N tiles with their classes."""

    ids: Sequence[TileId]
    labels: Labels

    def classes_of(self, ids: Sequence[TileId]) -> tuple[str | None, ...]:
        wanted = set(ids)
        pairs = zip(self.ids, self.labels.codes.tolist(), strict=True)
        found = {tile_id: code for tile_id, code in pairs if tile_id in wanted}
        return tuple(None if found[i] < 0 else self.labels.classes[found[i]] for i in ids)


def answer(
    path: Path,
    config: AnalogyConfig,
    source: str | LabelSource | None,
    shown: int = 0,
    on_progress: Progress = silent,
) -> Answer:
    """The tiles nearest to A - B + C. Tiles that are terms are left out; those of a class are not.

    source: where the classes are that a term may name. shown: tiles of a class to find for a picture.
    Raises InputError and DataError as `embeddings.read` and `labels.read`, and DataError for a term that
    is neither a tile nor a class.
    """
    labelled = None if source is None else _labelled(path, source, config)
    names = () if labelled is None else labelled.labels.classes
    codes = {place: names.index(place) for place in config.terms if isinstance(place, str) and place in names}
    total, done = embeddings.count(path) * 2, 0
    hint = ""
    if labelled is not None:
        listed = ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)
        hint = f" The classes of {source} are: {listed}."
    tiles = exemplars.resolve(
        path,
        [p for p in config.terms if p not in codes],
        lambda rows: on_progress(rows, total),
        hint,
        config.part,
    )
    found: dict[Place, Term] = {
        place: Term(one.tile_id, one.vector, shown=(one.tile_id,)) for place, one in tiles.items()
    }
    if labelled is not None:
        for place, code in codes.items():
            found[place] = _mean(path, labelled.labels, code, shown, config.part)
    terms = tuple(found[place] for place in config.terms)
    a, b, c = (term.vector for term in terms)
    target, left_out = (a - b + c)[None], {one.tile_id for one in tiles.values()}

    def distances(batch: Batch) -> Floats:
        nonlocal done
        distance = cdist(batch.vectors.astype(np.float64), target)[:, 0]
        distance[[tile_id in left_out for tile_id in batch.ids]] = np.inf
        done += len(batch.ids)
        on_progress(total // 2 + done, total)
        return np.asarray(distance)

    near = tuple(nearest(exemplars.batches(path, config.part), distances, config.top))
    if not near:
        raise DataError(f"{path}: holds no tiles other than A, B and C; the answer needs another.")
    if labelled is None:
        return Answer(terms, near, None)
    classes = labelled.classes_of([one.tile_id for one in near])
    return Answer(terms, near, classes, labelled.labels.left_out, labelled.labels.rasters)


def _labelled(path: Path, source: str | LabelSource, config: AnalogyConfig) -> _Labelled:
    """The classes of all tiles; of these only ids and footprints are in memory at once."""
    ids: list[TileId] = []
    geometry, names = [], []
    for batch in exemplars.batches(path):
        ids += batch.ids
        geometry.append(batch.rows.geometry)
        names.append(batch.rows.tile_id)
    known = None if any(one is None for one in names) else np.array(ids, dtype=object)
    found = labels.read(
        source, np.concatenate(geometry), known, field=config.field, min_purity=config.min_purity
    )
    return _Labelled(ids, found)


def _mean(path: Path, found: Labels, code: int, shown: int, part: str | None) -> Term:
    """The mean of a class's vectors."""
    total: Floats = np.zeros(0)
    count, start = 0, 0
    for batch in exemplars.batches(path, part):
        own = batch.vectors[found.codes[start : start + len(batch.ids)] == code].astype(np.float64)
        total = (total if len(total) else np.zeros(own.shape[1])) + own.sum(axis=0)
        count, start = count + len(own), start + len(batch.ids)
    name = found.classes[code]
    if not count:
        raise DataError(f"--labels: no tile is of class {name}; at least one is needed. Name another class.")
    mean = total / count
    typical = _typical(path, found.codes == code, mean, shown, part)
    return Term(name, mean, count, is_class=True, shown=typical)


def _typical(
    path: Path, members: NDArray[np.bool_], mean: Floats, shown: int, part: str | None
) -> tuple[TileId, ...]:
    """The members (N,) that are nearest to their mean."""
    start = 0

    def distances(batch: Batch) -> Floats:
        nonlocal start
        distance = cdist(batch.vectors.astype(np.float64), mean[None])[:, 0]
        distance[~members[start : start + len(batch.ids)]] = np.inf
        start += len(batch.ids)
        return np.asarray(distance)

    if not shown:
        return ()
    return tuple(one.tile_id for one in nearest(exemplars.batches(path, part), distances, shown))


# --- files -------------------------------------------------------------------------------------


def run(
    path: Path,
    config: AnalogyConfig,
    source: str | LabelSource | None,
    outputs: Outputs,
    on_progress: Progress = silent,
) -> Report:
    """Find the answers; write what is not up to date. Errors as `near_reports.run` and `answer`."""

    def find() -> Finding:
        shown = 0 if outputs.picture is None else _ACROSS
        found = answer(path, config, source, shown, on_progress)
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
) -> Report:
    """How often class arithmetic is right. Errors as `embeddings.read`, `labels.read` and of the score."""
    every = embeddings.read(path, config.part)
    found = labels.read(
        source, every.geometry, every.tile_id, field=config.field, min_purity=config.min_purity
    )
    return Report(analogy_scores.keys(analogy_scores.score(every, found, config, on_progress)), (), False)


def _groups(found: Answer, source: Source) -> list[Group]:
    groups = []
    signed = list(zip(_SIGNS, found.terms, strict=True))
    if not any(term.is_class for term in found.terms):
        ids, signs = [term.name for term in found.terms], [sign for (sign, _), _ in signed]
        groups.append(source.group("A − B + C", ids, signs, "blue"))
    else:
        groups += [source.group(_heading(s, term), term.shown, colour=c) for (s, c), term in signed]
    return [*groups, near_reports.group("Nearest to A − B + C", found.near, source)]


def _heading(sign: str, term: Term) -> str:
    if not term.is_class:
        return sign
    return f"{sign}: the mean of {term.name}, {term.tiles:,} tiles; those nearest to it"

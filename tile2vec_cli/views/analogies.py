"""A - B + C: the tiles where the vector of a difference, added to another tile, ends.

The arithmetic of word vectors (Mikolov, Yih, Zweig 2013, "Linguistic regularities in continuous space
word representations"), which Jean et al. (2019) show for tiles. Distances are Euclidean, as the loss is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import AnalogyConfig
from tile2vec_cli.embedding.embeddings import Embeddings, OnRows, TileId
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.labelling import labels
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.records import Report
from tile2vec_cli.views import analogy_scores, exemplars, near_reports
from tile2vec_cli.views.contact_sheets import Group, Source
from tile2vec_cli.views.exemplars import Place
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


def answer(
    path: Path,
    config: AnalogyConfig,
    source: str | LabelSource | None,
    shown: int = 0,
    on_progress: Progress = silent,
) -> Answer:
    """The tiles nearest to A - B + C. Tiles that are terms are left out; those of a class are not.

    source: where the classes are that a term may name. shown: tiles of a class to find for a picture.
    Raises InputError and DataError as `Embeddings.open` and `labels.read`, and DataError for a term that
    is neither a tile nor a class.
    """
    every = Embeddings.open(path, part=config.part, on_rows=lambda done: on_progress(done, total))
    total = 2 * len(every)
    labelled = None if source is None else _labels(every, source, config)
    names = () if labelled is None else labelled.classes
    codes = {place: names.index(place) for place in config.terms if isinstance(place, str) and place in names}
    hint = ""
    if labelled is not None:
        listed = ", ".join(names[:_NAMED]) + ", …" * (len(names) > _NAMED)
        hint = f" The classes of {source} are: {listed}."
    tiles = exemplars.resolve(every, [place for place in config.terms if place not in codes], hint)
    found: dict[Place, Term] = {
        place: Term(one.tile_id, one.vector, shown=(one.tile_id,)) for place, one in tiles.items()
    }
    if labelled is not None:
        for place, code in codes.items():
            found[place] = _mean(every, labelled, code, shown)
    terms = tuple(found[place] for place in config.terms)
    a, b, c = (term.vector for term in terms)
    distance = _away(every, a - b + c, lambda done: on_progress(len(every) + done, total))
    left_out = {one.tile_id for one in tiles.values()}
    for here in every.chunks() if left_out else ():
        distance[here][[tile_id in left_out for tile_id in every.ids(here)]] = np.inf
    near = nearest(every, distance, config.top)
    if not near:
        raise DataError(f"{path}: holds no tiles other than A, B and C; the answer needs another.")
    if labelled is None:
        return Answer(terms, near, None)
    return Answer(terms, near, _classes(every, labelled, near), labelled.left_out, labelled.rasters)


def _labels(every: Embeddings, source: str | LabelSource, config: AnalogyConfig) -> Labels:
    return labels.read(
        source, every.geometry, every.tile_id, field=config.field, min_purity=config.min_purity
    )


def _away(every: Embeddings, target: Floats, on_rows: OnRows = lambda _: None) -> Floats:
    """(N,) how far each vector is from one."""
    found = np.empty(len(every))
    for here in every.chunks():
        found[here] = cdist(every.vectors[here].astype(np.float64), target[None])[:, 0]
        on_rows(here.stop)
    return found


def _classes(every: Embeddings, found: Labels, near: Sequence[Near]) -> tuple[str | None, ...]:
    """Those of these tiles."""
    wanted: dict[TileId, int] = dict.fromkeys((one.tile_id for one in near), -1)
    for here in every.chunks():
        codes = zip(every.ids(here), found.codes[here].tolist(), strict=True)
        wanted |= {tile_id: code for tile_id, code in codes if tile_id in wanted}
    return tuple(None if wanted[i.tile_id] < 0 else found.classes[wanted[i.tile_id]] for i in near)


def _mean(every: Embeddings, found: Labels, code: int, shown: int) -> Term:
    """The mean of a class's vectors, and so many tiles to show that are nearest to it."""
    total: Floats = np.zeros(every.vectors.shape[1])
    members = found.codes == code
    for here in every.chunks():
        total = total + every.vectors[here][members[here]].astype(np.float64).sum(axis=0)
    name, count = found.classes[code], int(members.sum())
    if not count:
        raise DataError(f"--labels: no tile is of class {name}; at least one is needed. Name another class.")
    mean = total / count
    typical = nearest(every, np.where(members, _away(every, mean), np.inf), shown) if shown else ()
    return Term(name, mean, count, is_class=True, shown=tuple(one.tile_id for one in typical))


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
    """How often class arithmetic is right. Errors as `Embeddings.open`, `labels.read` and of the score."""
    every = Embeddings.open(path, part=config.part)
    found = _labels(every, source, config)
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

"""A class and probabilities for each tile of embeddings of any number, by a classifier of a few labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import ClassifyConfig
from tile2vec_cli.embedding.embedding_files import Vectors
from tile2vec_cli.embedding.embeddings import Embeddings, OnRows
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import classification, splits
from tile2vec_cli.evaluation.classification import Fitted
from tile2vec_cli.evaluation.scores import rounded
from tile2vec_cli.geo import feature_files
from tile2vec_cli.geo.grid import Ints, spatial_blocks
from tile2vec_cli.labelling import labels as labelling
from tile2vec_cli.labelling.labels import Labels
from tile2vec_cli.labelling.votes import UNLABELLED
from tile2vec_cli.outputs.records import Keys
from tile2vec_cli.outputs.spools import Spool
from tile2vec_cli.views import exemplars
from tile2vec_cli.views.mosaics import Mosaic, Placing

MOST = 50_000  # labels to learn from: more would take long and change little
EXAMPLES = ("negative", "positive")  # the classes of --negative and --positive
_GRID = 0.25  # pixels that a tile may lie off the grid of a map


@dataclass(frozen=True)
class Labelled:
    """n labelled tiles."""

    vectors: Vectors  # (n, D)
    classes: NDArray[np.int32]  # (n,) positions in `names`
    names: tuple[str, ...]  # each of a tile or more
    blocks: Ints  # (n,)
    block_m: float
    overlaps: Ints  # (P, 2) pairs in different blocks that share ground
    left_out: dict[str, int]  # tiles without a label, and labels of none, by reason
    rasters: dict[str, int]  # see LabelRasters.found


@dataclass(frozen=True)
class Learned:
    """A classifier, and what it was learned from."""

    fitted: Fitted
    labelled: Labelled

    @property
    def names(self) -> tuple[str, ...]:
        return self.labelled.names

    def keys(self) -> Keys:
        """What there is to report of it, as JSON."""
        held_out, labelled = self.fitted.held_out, self.labelled
        counts = np.bincount(labelled.classes, minlength=len(self.names)).tolist()
        untested = {self.names[number]: reason for number, reason in self.fitted.left_out.items()}
        keys: Keys = {
            "classes": list(self.names),
            "labels_used": len(labelled.classes),
            "labels": dict(zip(self.names, counts, strict=True)),
            "left_out": labelled.left_out,
            "label_rasters": labelled.rasters,
        }
        if held_out is None:
            why = self.fitted.why + "".join(f"; {name} {reason}" for name, reason in untested.items())
            why = f"{why} (blocks of {labelled.block_m:,.0f} m)"
            raw = {"method": "none", "why": f"{why}: the classifier's own probabilities"}
            return {
                **keys,
                "held_out": None,
                "held_out_why": why,
                "calibration": raw,
                "reliability": None,
            }
        score = asdict(held_out.score)
        named = ("accuracy", "std", "balanced_accuracy", "macro_f1", "repeats", "accuracies")
        found: Keys = {name: rounded(score[name]) for name in named}
        found |= {"tiles": held_out.tiles, "blocks": held_out.blocks, "block_m": labelled.block_m}
        found["classes_left_out"] = untested
        calibration: Keys = {
            "method": "temperature",
            "temperature": round(held_out.temperature, 4),
            "fitted_on": f"{held_out.tiles:,} tiles of held-out blocks",
        }
        return {
            **keys,
            "held_out": found,
            "held_out_why": None,
            "calibration": calibration,
            "reliability": dict(held_out.reliability),
        }


def learn(embeddings: Embeddings, labels: LabelSource | None, config: ClassifyConfig) -> Learned:
    """Errors as `_gathered`."""
    own = _gathered(embeddings, labels, config)
    fitted = classification.fit(
        own.vectors, own.classes, own.blocks, config.classifier, config.seed, own.overlaps
    )
    return Learned(fitted, own)


def _gathered(embeddings: Embeddings, labels: LabelSource | None, config: ClassifyConfig) -> Labelled:
    """The labelled tiles; without `labels` those that the examples name.

    Raises InputError and DataError as `Embeddings.open` and `labels.read`, DataError where fewer than two
    classes have tiles.
    """
    geometry = embeddings.geometry
    if labels is None:
        found = _of_examples(embeddings, config)
    else:
        found = labelling.read(
            labels, geometry, embeddings.tile_id, field=config.field, min_purity=config.min_purity
        )
    rows, left_out = found.labelled, dict(found.left_out)
    numbers, classes = np.unique(found.codes[rows], return_inverse=True)
    names = tuple(found.classes[number] for number in numbers)
    if len(names) < 2:
        what = f"all of class {names[0]}" if names else "of no class"
        source = "--positive and --negative" if labels is None else str(labels)
        reasons = "".join(f"; {reason}: {count:,}" for reason, count in left_out.items())
        raise DataError(
            f"{source}: {len(rows):,} of {len(embeddings):,} tiles have a label, {what}{reasons}; two "
            "classes are needed. Label tiles of another class."
        )
    if len(rows) > MOST:
        drawn = np.sort(np.random.default_rng(config.seed).choice(len(rows), MOST, replace=False))
        left_out[f"labels beyond the {MOST:,} drawn to learn from"] = len(rows) - MOST
        rows, classes = rows[drawn], classes[drawn]
    block_m = splits.block_side_m(embeddings, config.block_m)
    blocks = spatial_blocks(embeddings.lonlat[rows], block_m)
    overlaps = splits.overlapping(geometry[rows], blocks)
    vectors = embeddings.vectors_of(rows)
    return Labelled(
        vectors, classes.astype(np.int32), names, blocks, block_m, overlaps, left_out, found.rasters
    )


def _of_examples(embeddings: Embeddings, config: ClassifyConfig) -> Labels:
    meant = exemplars.resolve(embeddings, (*config.negative, *config.positive))
    negative, positive = (
        {meant[place].tile_id for place in places} for places in (config.negative, config.positive)
    )
    for tile_id in negative & positive:
        raise DataError(f"{tile_id}: given with --positive and with --negative; a tile is one of them.")
    codes = [0 if one in negative else 1 if one in positive else UNLABELLED for one in embeddings.ids()]
    return Labels(np.array(codes, np.int32), EXAMPLES, "examples")


@dataclass(frozen=True)
class Classified:
    """N tiles with their classes."""

    embeddings: Embeddings
    names: tuple[str, ...]
    classes: NDArray[np.int32] = field(repr=False)  # (N,) positions in `names`
    probabilities: NDArray[np.float32] = field(repr=False)  # (N, K)
    mosaics: list[Mosaic]  # none where they were not asked for

    @property
    def counts(self) -> dict[str, int]:
        found = np.bincount(self.classes, minlength=len(self.names)).tolist()
        return dict(zip(self.names, found, strict=True))

    def probability(self, here: slice = slice(None)) -> NDArray[np.float32]:
        """That of each tile's own class."""
        rows, own = self.probabilities[here], self.classes[here]
        return np.asarray(rows[np.arange(len(own)), own])

    def batches(self) -> Iterator[feature_files.Batch]:
        """The rows of a table, and their footprints."""
        rows = self.embeddings.rows.table
        numbered = rows["tile_id"].null_count == len(rows)
        names, time = np.array(self.names, dtype=object), pa.timestamp("ms", tz="UTC")
        for here in self.embeddings.chunks():
            ids = self.embeddings.ids(here)
            columns: dict[str, pa.Array] = {
                "tile_id": pa.array(ids, pa.int64()) if numbered else pa.array(map(str, ids), pa.string()),
                "class": pa.array(names[self.classes[here]], pa.string()),
                "probability": pa.array(self.probability(here)),
            }
            for number, name in enumerate(self.names):
                columns[f"probability_{name}"] = pa.array(self.probabilities[here, number])
            if "datetime" in rows.column_names:
                columns["datetime"] = rows["datetime"][here].cast(time)
            yield pa.table(columns), self.embeddings.shapes(here)


def classify(
    embeddings: Embeddings,
    learned: Learned,
    *,
    folder: Path,
    placing: Placing | None = None,
    on_rows: OnRows = lambda _: None,
) -> Classified:
    """Ask the classifier about all tiles. Probabilities of many lie in a file in `folder`.

    placing: finds where tiles lie, for maps.
    """
    classes = np.empty(len(embeddings), np.int32)
    with Spool(folder) as spool:
        for here in embeddings.chunks():
            found = learned.fitted.probabilities(embeddings.vectors[here])
            spool.write(found.astype(np.float32))
            classes[here] = found.argmax(axis=1)
            if placing is not None:
                placing.add(embeddings.places(here))
            on_rows(here.stop)
        probabilities = np.frombuffer(spool.mapped(), np.float32).reshape(len(classes), -1)
    mosaics = [] if placing is None else placing.mosaics()
    return Classified(embeddings, learned.names, classes, probabilities, mosaics)


def require_grid(found: Classified) -> None:
    """Raise DataError where other people's tiles are no pixels of a map."""
    aside = max(one.aside for one in found.mosaics)
    if aside > _GRID and found.embeddings.scene is None:
        raise DataError(
            f"{found.embeddings.name}: its footprints stand in no grid (up to {aside:.2f} of a tile off "
            "one); a map needs one. Write .parquet or .geojson instead."
        )

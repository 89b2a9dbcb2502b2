"""A class and probabilities for each tile of embeddings of any number, by a classifier of a few labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import ClassifyConfig
from tile2vec_cli.embedding.embeddings import Embeddings, OnRows
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import classification
from tile2vec_cli.evaluation.classification import Fitted
from tile2vec_cli.geo import feature_files
from tile2vec_cli.outputs.records import Keys
from tile2vec_cli.outputs.spools import Spool
from tile2vec_cli.views import class_labels
from tile2vec_cli.views.class_labels import Labelled
from tile2vec_cli.views.mosaics import Mosaic, Placing

_GRID = 0.25  # pixels that a tile may lie off the grid of a map


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
        found: Keys = {name: _rounded(score[name]) for name in named}
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


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return [round(one, 4) for one in value] if isinstance(value, tuple) else value


def learn(embeddings: Embeddings, labels: LabelSource | None, config: ClassifyConfig) -> Learned:
    """Errors as `class_labels.gather`."""
    own = class_labels.gather(embeddings, labels, config)
    fitted = classification.fit(
        own.vectors, own.classes, own.blocks, config.classifier, config.seed, own.overlaps
    )
    return Learned(fitted, own)


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

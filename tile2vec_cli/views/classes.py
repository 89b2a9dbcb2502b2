"""A class and probabilities for each tile of embeddings of any number, by a classifier of a few labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import ClassifyConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation import classification
from tile2vec_cli.evaluation.classification import Fitted
from tile2vec_cli.evaluation.scores import rounded
from tile2vec_cli.geo import feature_files
from tile2vec_cli.outputs.records import Keys
from tile2vec_cli.views import class_labels, exemplars
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


def learn(
    path: Path,
    labels: LabelSource | None,
    config: ClassifyConfig,
    only: Sequence[Path] | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Learned:
    """Errors as `class_labels.gather`."""
    own = class_labels.gather(path, labels, config, only, on_rows)
    fitted = classification.fit(
        own.vectors, own.classes, own.blocks, config.classifier, config.seed, own.overlaps
    )
    return Learned(fitted, own)


@dataclass(frozen=True)
class Classified:
    """N tiles with their classes."""

    path: Path
    part: str | None
    only: Sequence[Path] | None
    names: tuple[str, ...]
    classes: NDArray[np.int32] = field(repr=False)  # (N,) positions in `names`
    probabilities: NDArray[np.float32] = field(repr=False)  # (N, K)
    dated: bool
    numbered: bool  # whether tiles are known by numbers alone
    scenes: bool  # whether the scene of each tile is known
    mosaics: list[Mosaic]  # none where they were not asked for

    @property
    def counts(self) -> dict[str, int]:
        found = np.bincount(self.classes, minlength=len(self.names)).tolist()
        return dict(zip(self.names, found, strict=True))

    def probability(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """That of each tile's own class."""
        rows, own = self.probabilities[start:stop], self.classes[start:stop]
        return np.asarray(rows[np.arange(len(own)), own])

    def batches(self) -> Iterator[feature_files.Batch]:
        """The rows of a table, and their footprints."""
        start = 0
        names = np.array(self.names, dtype=object)
        for batch in exemplars.batches(self.path, self.part, self.only):
            stop = start + len(batch.ids)
            ids = batch.ids if self.numbered else map(str, batch.ids)
            columns: dict[str, pa.Array] = {
                "tile_id": pa.array(ids, pa.int64() if self.numbered else pa.string()),
                "class": pa.array(names[self.classes[start:stop]], pa.string()),
                "probability": pa.array(self.probability(start, stop)),
            }
            for number, name in enumerate(self.names):
                columns[f"probability_{name}"] = pa.array(self.probabilities[start:stop, number])
            if self.dated:
                times = batch.rows.datetime
                kind = pa.timestamp("ms", tz="UTC")
                columns["datetime"] = pa.nulls(stop - start, kind) if times is None else pa.array(times, kind)
            yield pa.table(columns), batch.rows.geometry
            start = stop


def classify(
    path: Path,
    learned: Learned,
    config: ClassifyConfig,
    stack: ExitStack,
    *,
    folder: Path,
    only: Sequence[Path] | None = None,
    placing: Placing | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Classified:
    """Ask the classifier about all tiles. Probabilities lie in a file in `folder` until the stack ends.

    placing: finds where tiles lie, for maps. Errors as `embeddings.read`.
    """
    spool = stack.enter_context(TemporaryFile(dir=folder))  # noqa: SIM115 - the stack closes it
    own, dated, numbered, scenes = [], False, True, True
    for batch in exemplars.batches(path, config.part, only):
        found = learned.fitted.probabilities(batch.vectors)
        spool.write(found.astype(np.float32).tobytes())
        own.append(found.argmax(axis=1).astype(np.int32))
        dated |= batch.rows.datetime is not None
        numbered &= batch.rows.tile_id is None
        scenes &= batch.rows.scene is not None
        if placing is not None:
            placing.add(batch.rows)
        on_rows(len(batch.ids))
    spool.flush()
    classes = np.concatenate(own)
    shape = (len(classes), len(learned.names))
    probabilities: NDArray[np.float32] = np.memmap(spool, np.float32, "r", shape=shape)
    mosaics = [] if placing is None else placing.mosaics()
    return Classified(
        path, config.part, only, learned.names, classes, probabilities, dated, numbered, scenes, mosaics
    )


def require_grid(found: Classified) -> None:
    """Raise DataError where other people's tiles are no pixels of a map."""
    aside = max(one.aside for one in found.mosaics)
    if not found.scenes and aside > _GRID:
        raise DataError(
            f"{found.path}: its footprints stand in no grid (up to {aside:.2f} of a tile off one); a map "
            "needs one. Write .parquet or .geojson instead."
        )

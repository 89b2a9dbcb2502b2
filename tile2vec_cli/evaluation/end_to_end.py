"""What embeddings are up against: their encoder, trained end to end on the very labels of a classifier.

The label-efficiency curve of Jean et al. 2019 (accuracy against the number of labels): Tile2Vec with
logistic regression was ahead of supervised CNNs with up to 50,000 labels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation.baselines import Architecture
from tile2vec_cli.evaluation.fits import Fits
from tile2vec_cli.evaluation.scores import NETWORK, confusion
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.learning import draws, heads, shards
from tile2vec_cli.learning.optimise import Budget, Course, Descent, Schedule
from tile2vec_cli.learning.starts import BETAS
from tile2vec_cli.neural import batches, device, encoders, models
from tile2vec_cli.neural.batches import Pixels
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.outputs.parts import Progress
from tile2vec_cli.tiling.tiles import TileSet

END_TO_END, FINE_TUNED = "end-to-end", "fine-tuned"  # from scratch, and from the embeddings' own weights

Classes = NDArray[np.int32]
OnSeconds = Callable[[float], None]  # seconds of training so far


@dataclass(frozen=True)
class Rivals:
    """Networks that learn the classes of tiles from their pixels. Tiles are numbered as in `ids`."""

    tiles: TileSet
    ids: Ints  # (N,) positions in the tile set
    architecture: Architecture
    budget: Budget
    seed: int
    starts: Mapping[str, encoders.Encoder | None]  # where each kind starts from; None: from scratch
    runtime: Runtime
    pixels: Pixels = field(repr=False)  # of the tiles as they lie in their scenes: read through
    numbers: Ints = field(repr=False)  # (N,) of each tile among these

    @classmethod
    def of(
        cls,
        tiles: TileSet,
        ids: Ints,
        metadata: Mapping[str, Any],
        budget: Budget,
        seed: int,
        model: Path | None = None,
    ) -> Rivals:
        """metadata: what the embeddings' file says of its model; `small` where it says nothing.

        model: the folder of that model, for a network that starts from its weights. Raises DataError where
        it is another model, or where the pixels are none a network could learn from.
        """
        starts: dict[str, encoders.Encoder | None] = {END_TO_END: None}
        architecture = Architecture.of(metadata)
        if model is not None:
            starts[FINE_TUNED], architecture = _start(model, tiles, metadata)
        runtime = device.choose()
        order = np.argsort(ids, kind="stable")
        pixels = Pixels.of(tiles, ids[order], runtime.device)
        return cls(tiles, ids, architecture, budget, seed, starts, runtime, pixels, np.argsort(order))

    def answer(self, kind: str, train: Ints, classes: Classes, test: Ints, on_seconds: OnSeconds) -> Classes:
        """(M,) classes of the tiles `test`, by a network that has seen `train` and their classes."""
        encoder, head = self._fit(kind, train, classes, on_seconds)
        encoder = encoders.fused(encoder)
        found = []
        size = encoders.tiles_a_pass(self.architecture.encoder, self.runtime.name)
        test = self.numbers[test]
        chunks = (test[start : start + size, None] for start in range(0, len(test), size))
        with torch.inference_mode():
            for _, pixels in self.pixels.stream(chunks):
                with self.runtime.autocast():
                    vectors = encoder(pixels)
                found.append(head(vectors.float()).argmax(dim=1).cpu())
        return torch.cat(found).numpy().astype(np.int32)

    def _fit(
        self, kind: str, train: Ints, classes: Classes, on_seconds: OnSeconds
    ) -> tuple[encoders.Encoder, nn.Module]:
        row = ENCODERS[self.architecture.encoder]
        encoder = self._encoder(kind, train).to(self.runtime.device).train()
        sizes = heads.Sizes(len(self.tiles.bands), self.tiles.size, int(classes.max()) + 1)
        head = heads.untrained(heads.classes, [self.architecture.dim], sizes, self.seed)[0]
        head.to(self.runtime.device)
        optimizer = Adam([*encoder.parameters(), *head.parameters()], row.lr, BETAS, fused=True)
        numbers = self.numbers[train]
        known = np.full(len(self.ids), -1)  # no other label is at hand
        known[numbers] = classes
        order = draws.order(len(train), min(row.batch_size, len(train)), self.seed, 0)
        steps = self.pixels.stream(numbers[rows, None] for rows in order)

        def loss() -> Tensor:
            batch, pixels = next(steps)
            target = torch.from_numpy(known[batch[:, 0]]).to(self.runtime.device)
            with self.runtime.autocast():
                vectors = step(draws.turned(pixels, self.seed, course.step), None)
            return cross_entropy(head(vectors.float()), target)

        course = Course()
        descent = Descent(
            networks=nn.ModuleList([encoder, head]),
            optimizer=optimizer,
            schedule=Schedule(self.budget.steps, self.budget.minutes, row.lr),
            course=course,
            device=self.runtime.name,
            diverged=self._no_number,
        )
        with shards.sharded(encoder, self.runtime, min(row.batch_size, len(train))) as step:
            descent.run(loss, lambda: on_seconds(course.seconds))
        return encoder.eval(), head.eval()

    def _no_number(self, step: int, value: float) -> DataError:
        return DataError(
            f"{self.tiles.path}: trained end to end on its tiles, a network's loss or gradient is {value} at "
            f"step {step}; finite numbers are needed. Leave --end-to-end out, or look for odd pixels."
        )

    def _encoder(self, kind: str, train: Ints) -> encoders.Encoder:
        """As it is before the first step; from scratch it knows the colours of `train` alone."""
        name, dim, bands = self.architecture.encoder, self.architecture.dim, len(self.tiles.bands)
        mean, std = batches.normalisation(self.tiles, np.sort(self.ids[train]))
        encoder = encoders.untrained(name, bands, dim, mean, std, self.seed)
        start = self.starts[kind]
        if start is not None:  # its weights are for pixels on its own scale
            encoder.load_state_dict(start.state_dict())
        return encoder


def judged(
    rivals: Rivals,
    classes: Classes,
    splits: Sequence[tuple[Ints, Ints]],
    n_labels: Sequence[int],
    fits: Fits,
    on_progress: Progress,
) -> dict[tuple[str, str, int], list[Ints]]:
    """(kind, classifier, n) -> a (K, K) confusion matrix a split: tiles to learn from, tiles to answer.

    Of the tiles to learn from the first n are labelled. classes: (N,) from 0. Fits that are known are
    not made again. Progress is in seconds.
    """
    trials = list(product(rivals.starts, n_labels, range(len(splits))))
    each = 60 * (rivals.budget.minutes or 0)
    found: dict[tuple[str, str, int], list[Ints]] = defaultdict(list)
    for number, (kind, n, repeat) in enumerate(trials):

        def tell(seconds: float, before: float = number * each) -> None:
            on_progress(round(before + seconds), round(len(trials) * each))

        name = f"{kind}, {n} labels, split {repeat}"
        matrix = fits.get(name)
        if matrix is None:
            train, test = splits[repeat][0][:n], splits[repeat][1]
            predicted = rivals.answer(kind, train, classes[train], test, tell)
            matrix = confusion(classes[test], predicted, int(classes.max()) + 1)
            fits.add(name, matrix)
        found[kind, NETWORK, n].append(matrix)
    return found


def _start(path: Path, tiles: TileSet, metadata: Mapping[str, Any]) -> tuple[encoders.Encoder, Architecture]:
    """The encoder that made the embeddings; DataError where the model is another one."""
    encoder, model = models.load_encoder(path, torch.device("cpu"))
    if models.fingerprint(path) != metadata.get("model"):
        made = metadata.get("model")
        found = f"the embeddings were made by model {made}" if made else "the embeddings name no model"
        raise DataError(
            f"--model {path}: is model {models.fingerprint(path)}, but {found}; the model that made them is "
            "needed. Give that one, or leave --model out."
        )
    models.require_fit(path, model, tiles)
    encoder.place, encoder.finished = None, False  # what has a gradient is tuned
    return encoder, Architecture.of({"architecture": model.architecture})

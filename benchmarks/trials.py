"""What makes training quicker to a good vector, and what does not: one change of the defaults at a time.

    python benchmarks/trials.py IMAGES LABELS --out DIR [--fields city,density] [--minutes 0.17] [--seeds 2]

Trains `small` with each change for the same processor time (of all threads, so that other work on the
machine costs nothing), probes it with logistic regression and 1,000 labels on held-out blocks, mean of ten
draws, and prints a table of the means over the training seeds, once more after every seed. The changes
that no option makes are patched in here.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import quality
import torch
from torch import Tensor
from torch.nn.functional import softplus
from torch.optim.swa_utils import AveragedModel, update_bn

from tile2vec_cli.config.pipeline import EmbedConfig, ProbeConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.evaluation import probing
from tile2vec_cli.labelling import labels
from tile2vec_cli.learning import loop, losses, optimise, training
from tile2vec_cli.learning.loop import Run
from tile2vec_cli.learning.optimise import Descent, Schedule
from tile2vec_cli.neural import columns

Rows = dict[str, dict[str, list[float]]]
Patches = tuple[tuple[Any, str, Any], ...]
SMALL = ((16, 32, 64), (32, 64, 128))  # channels of its columns' stages but the last
_CROP = 32  # pixels a side, for the first half of a progressive training


@dataclass(frozen=True)
class Trial:
    options: dict[str, Any] = field(default_factory=dict)
    patches: Patches = ()


def _rate(share: Callable[[float], float]) -> Patches:
    """A learning rate that follows the share of the time that is over."""

    def rate(self: Schedule, step: int, seconds: float = 0.0) -> float:
        return self.lr * share(self.share(step, seconds))

    return ((Schedule, "rate", rate),)


def _hinges(reduced: Callable[[Tensor, Tensor, float], Tensor]) -> Patches:
    """An in-batch loss that makes something else of the gaps (B, 2B) ‖a−n‖ − ‖a−d‖ of far tiles."""

    def loss(anchor: Tensor, neighbor: Tensor, far: Tensor, margin: float, l2: float) -> Tensor:
        tiles = torch.cat([anchor, neighbor])
        gaps = losses.distance(anchor, neighbor)[:, None] - losses.distances(anchor, tiles)
        return reduced(gaps, far, margin) + l2 * losses.mean_norm(anchor, neighbor)

    return ((losses, "in_batch_loss", loss),)


def _hardest(gaps: Tensor, far: Tensor, margin: float) -> Tensor:
    worst = gaps.masked_fill(~far, -torch.inf).amax(1)
    return (worst + margin).clamp(min=0).mean()


def _semi_hard(gaps: Tensor, far: Tensor, margin: float) -> Tensor:
    hinges = torch.where(far & (gaps < 0), (gaps + margin).clamp(min=0), 0)
    return hinges.sum() / (hinges.detach() > 0).sum().clamp(min=1)


def _soft(gaps: Tensor, far: Tensor, margin: float) -> Tensor:
    return (softplus(gaps + margin) * far).sum() / far.sum().clamp(min=1)


def _all(gaps: Tensor, far: Tensor, margin: float) -> Tensor:
    return ((gaps + margin).clamp(min=0) * far).sum() / far.sum().clamp(min=1)


def _cropped(self: Run, network: Any, numbers: Any, pixels: Tensor, loss: Any = Run._loss) -> Tensor:
    """The middle of the tiles while half of the time is not over."""
    if self.descent.share < 0.5:
        edge = (pixels.shape[-1] - _CROP) // 2
        pixels = pixels[..., edge : edge + _CROP, edge : edge + _CROP].contiguous()
    found: Tensor = loss(self, network, numbers, pixels)
    return found


def averaging(first: float, decay: float | None) -> Patches:
    """The mean of the weights from a share of the time on, all alike or the later the more."""
    updates, loops = Descent.update, Run.loop

    def mean(old: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        return old + (new - old) * (1 / (count + 1) if decay is None else 1 - decay)

    def update(self: Descent, loss: Any) -> None:
        updates(self, loss)
        if self.share >= first:
            encoder = self.networks[0]
            if not hasattr(self, "mean"):
                self.mean = AveragedModel(encoder, avg_fn=mean, use_buffers=False)
            self.mean.update_parameters(encoder)

    def whole(self: Run, on_progress: Any) -> None:
        loops(self, on_progress)
        self.encoder.load_state_dict(self.descent.mean.module.state_dict())
        _norms(self)

    return (Descent, "update", update), (Run, "loop", whole)


def _norms(self: Run) -> None:
    """Mean and deviation of the batch norms anew, of 32 batches as `embed` sees them."""
    batches = np.random.default_rng(0).integers(len(self.pixels.ids), size=(32, 256))
    update_bn((pixels for _, pixels in self.pixels.stream(list(batches[:, :, None]))), self.encoder)


def _renormed(self: Run, on_progress: Any, loops: Any = Run.loop) -> None:
    loops(self, on_progress)
    _norms(self)


def _shape(*widths: tuple[int, ...], blocks: int = 1, stem_stride: int = 2) -> Trial:
    made = columns.residual(*widths or SMALL, blocks=blocks, stem_stride=stem_stride)
    return Trial(patches=((columns, "small", made),))


TRIALS = {
    "the defaults": Trial(),
    "rate 0.0005 (0.002)": Trial({"lr": 0.0005}),
    "rate 0.001": Trial({"lr": 0.001}),
    "rate 0.004": Trial({"lr": 0.004}),
    "rate 0.008": Trial({"lr": 0.008}),
    "constant rate (half cosine)": Trial(patches=_rate(lambda share: 1)),
    "linear fall": Trial(patches=_rate(lambda share: 1 - share)),
    "warm-up over a tenth": Trial(
        patches=_rate(lambda share: min(1, share / 0.1 + 0.02) * (1 + math.cos(math.pi * share)) / 2)
    ),
    "batches of 32 (128)": Trial({"batch_size": 32}),
    "batches of 64": Trial({"batch_size": 64}),
    "batches of 256": Trial({"batch_size": 256}),
    "batches of 256, rate 0.004": Trial({"batch_size": 256, "lr": 0.004}),
    "saved distants (in-batch)": Trial({"distants": "saved"}),
    "hardest distant of the batch": Trial(patches=_hinges(_hardest)),
    "semi-hard distants": Trial(patches=_hinges(_semi_hard)),
    "soft hinge": Trial(patches=_hinges(_soft)),
    "mean over all hinges (the active)": Trial(patches=_hinges(_all)),
    "margin 1 (10)": Trial({"margin": 1.0}),
    "margin 50": Trial({"margin": 50.0}),
    "light 0 (0.8)": Trial({"jitter": 0.0}),
    "light 0.4": Trial({"jitter": 0.4}),
    "no turns": Trial({"augment": False}),
    "weights averaged over the last half": Trial(patches=averaging(0.5, None)),
    "weights averaged, decay 0.95": Trial(patches=averaging(0.0, 0.95)),
    "batch norms anew at the end": Trial(patches=((Run, "loop", _renormed),)),
    "tiles of 32 pixels for the first half": Trial(patches=((Run, "_loss", _cropped),)),
    "float32 (bf16)": Trial({"precision": "fp32"}),
    "compiled": Trial({"compile": True}),
    "stem at full resolution (half)": _shape(stem_stride=1),
    "two blocks a stage (one)": _shape(blocks=2),
    "half the widths": _shape((8, 16, 32), (16, 32, 64)),
    "one stage less": _shape((16, 32), (32, 64)),
    "one stage more": _shape((16, 32, 64, 64), (32, 64, 128, 128)),
    "one column": _shape((32, 64, 128)),
    "256 dimensions (128)": Trial({"dim": 256}),
}


@contextmanager
def patched(trial: Trial) -> Iterator[None]:
    """The clock of processor time, and what the trial changes."""
    clock = SimpleNamespace(monotonic=time.process_time)
    clocks = [(module, "time", clock) for module in (loop, optimise)]
    patches = [mock.patch.object(*patch) for patch in (*clocks, *trial.patches)]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in reversed(patches):
            patch.stop()


def steps_and_vectors(
    trial: Trial, tiles: Path, triplets: Path, out: Path, config: TrainConfig
) -> tuple[int, Embeddings]:
    model, vectors = out / "model", out / "vectors.parquet"
    shutil.rmtree(model, ignore_errors=True)  # its settings do not tell what is patched in
    vectors.unlink(missing_ok=True)
    with patched(trial):
        made = training.train(triplets, tiles, model, config)
        inference.embed(tiles, model, vectors, EmbedConfig())
    return made.steps, Embeddings.open(vectors)


def show(found: Rows, columns: list[str]) -> None:
    seeds = len(found["the defaults"][columns[0]])
    print(f"\n| change ({seeds} seeds) | {' | '.join(columns)} |")
    print("|---|" + "--:|" * len(columns))
    for name, row in found.items():
        cells = [f"{np.mean(row[column]):{'.0f' if column == 'steps' else '.3f'}}" for column in columns]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    arguments = quality.parser(__doc__)
    arguments.set_defaults(minutes="0.17")
    arguments.add_argument("--seeds", type=int, default=2)
    arguments.add_argument("--only", default="", help="changes whose names hold this")
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tiles, triplets = quality.prepared(options.images, options.out)
    fields, minutes = options.fields.split(","), float(options.minutes)
    found: Rows = {name: {} for name in TRIALS if options.only in name or name == "the defaults"}
    for seed in range(options.seeds):
        for name in found:
            changed = {"encoder": "small", "minutes": minutes, "seed": seed, **TRIALS[name].options}
            steps, vectors = steps_and_vectors(
                TRIALS[name], tiles, triplets, options.out, TrainConfig(**changed)
            )
            found[name].setdefault("steps", []).append(steps)
            for column in fields:
                truth = labels.read(str(options.labels), vectors.geometry, vectors.tile_id, field=column)
                config = ProbeConfig(field=column, classifiers=("logistic",), n_labels=(1000,))
                score = probing.probe(vectors, truth, config).scores[0]
                found[name].setdefault(column, []).append(score.accuracy)
            print(seed, name, {key: values[-1] for key, values in found[name].items()}, flush=True)
        show(found, ["steps", *fields])


if __name__ == "__main__":
    main()

"""Training an encoder, whatever for: steps of `optimise.py`, with epochs, checkpoints, signals around them.

All tiles of a step (anchors, neighbors and, with saved distants, distants) go through the encoder as
one batch. That is one pass of large kernels instead of three of small ones, and it changes what batch
norm sees: mean and deviation are taken over all tiles of the step, so that the three kinds of
tile are scaled alike and the loss cannot be lowered by what tells one kind's batch from
another's. Three passes would norm each kind by itself, and move the running statistics three
times a step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.errors import DataError, Interrupted
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.job import interrupts
from tile2vec_cli.learning import batch_norm, checkpoints, draws, losses, networks, shards
from tile2vec_cli.learning.checkpoints import State
from tile2vec_cli.learning.objective import Views
from tile2vec_cli.learning.objectives import Task
from tile2vec_cli.learning.optimise import Descent, Schedule
from tile2vec_cli.learning.ranks import Ranks
from tile2vec_cli.neural import encoders, models
from tile2vec_cli.neural.batches import Pixels, sent
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.outputs.parts import Progress

CHECKPOINT_EVERY_S = 30.0
CHECKPOINT_SHARE = 0.05  # of the time may go into checkpoints


@dataclass
class Run:
    """One run of the loop. Tiles are numbered as in `pixels`."""

    config: TrainConfig
    runtime: Runtime
    checkpoint: Path
    model: models.Description
    pixels: Pixels
    task: Task
    val: Ints  # (V, 3) anchor, neighbor, distant
    batch_size: int
    encoder: encoders.Encoder
    optimizer: Adam
    lr: float
    state: State
    best: dict[str, Tensor] | None
    ranks: Ranks

    def __post_init__(self) -> None:
        config, epochs = self.config, self.config.epochs
        ends = [config.steps, epochs and epochs * self.per_epoch]
        steps = min((end for end in ends if end), default=None)
        self.descent = Descent(
            networks=nn.ModuleList([self.encoder, self.task.heads]),
            optimizer=self.optimizer,
            schedule=Schedule(steps, config.minutes, self.lr),
            course=self.state,
            device=self.runtime.name,
            diverged=self._no_number,
            # Heads have seen the whole batch on every process.
            add_up=lambda: self.ranks.add_up(self.encoder),
        )

    def loop(self, on_progress: Progress) -> None:
        """Train until steps, epochs, minutes or patience are used up."""
        with self._network() as network:
            self._steps(network, on_progress)

    def _steps(self, network: networks.Network, on_progress: Progress) -> None:
        state, first = self.state, self.state.step
        examples = self.task.examples
        order = self.task.objective.order(examples, self.batch_size, first)
        steps = self.pixels.stream((examples.train[rows] for rows in order), self._needed)
        with self._agreed():
            self.save()  # a disk that takes no checkpoint is found now, not after an hour
            batch = next(steps)
        saved, pause = time.monotonic(), CHECKPOINT_EVERY_S

        def between() -> None:
            nonlocal batch, saved, pause
            with self._agreed():
                total = max(state.step, round(state.step / max(self.descent.share, 1e-9)))
                on_progress((state.step - first) * self.batch_size, (total - first) * self.batch_size)
                if time.monotonic() > saved + pause:
                    self.descent.look()
                    began = time.monotonic()
                    self.save()
                    saved = time.monotonic()
                    pause = max(CHECKPOINT_EVERY_S, (saved - began) / CHECKPOINT_SHARE)
                interrupts.raise_pending()
                batch = next(steps)
            self._close_epoch_when_due()

        try:
            self._close_epoch_when_due()  # a stop may have come just before that
            self.descent.run(lambda: self._loss(network, *batch), between, self._out_of_patience)
        except (Interrupted, DataError):
            diverged = self.descent.watch.look()
            with self.ranks.agreed():
                self.save()
            if diverged:
                raise self._no_number(*diverged) from None
            raise

    @contextmanager
    def _agreed(self) -> Iterator[None]:
        """What is raised inside on one process is raised on all, and the time that is used up is the same."""
        with self.ranks.agreed() as used:
            yield
            used += [self.state.seconds, self.state.step_seconds]
        self.state.seconds, self.state.step_seconds = used

    @property
    def per_epoch(self) -> int:
        """Steps per epoch."""
        return draws.steps_per_epoch(len(self.task.examples.train), self.batch_size)

    def save(self) -> None:
        """Write the checkpoint, once for all processes."""
        if self.ranks.first:
            made = (self.described(), self.encoder, self.optimizer, self.state, self.best, self.task.heads)
            checkpoints.save(self.checkpoint, *made)

    def described(self) -> models.Description:
        """The model with the scores of the weights that are kept."""
        lines = self.state.metrics
        kept = lines[-1] if lines else {}
        if self.best is not None:
            kept = next(line for line in lines if line["val_loss"] == self.state.best_loss)
        scores = {
            "steps": self.state.step,
            "triplets_seen": self.state.step * self.batch_size,
            **{key: kept.get(key) for key in ("train_loss", "val_loss", "val_triplet_accuracy")},
            "device": self.runtime.name,
            "precision": self.runtime.precision,
        }
        return replace(self.model, scores=scores)

    # --- a step ------------------------------------------------------------------------------

    def _loss(self, network: networks.Network, numbers: Ints, pixels: Tensor) -> Tensor:
        """Of the next step, which is about these tiles."""
        self.encoder.train()
        seed, step = self.config.seed, self.state.step
        if self.config.augment and self.task.objective.turns:
            pixels = draws.turned(pixels, seed, step)
        views = self.task.views(numbers, pixels, draws.question(seed, step))
        seen, light = self._shown(views, numbers)
        with self.runtime.autocast():
            vectors = network(seen, light)
        vectors = self.ranks.gathered(vectors, len(numbers))
        return self.task.loss(views, self.encoder.parts(vectors))

    @property
    def _needed(self) -> slice:
        """The examples of a batch whose pixels this process needs."""
        return slice(None) if self.task.objective.whole else self.ranks.share(self.batch_size)

    def _shown(self, views: Views[Any], numbers: Ints) -> tuple[Tensor, Tensor | None]:
        """This process's share of what a step shows, and its light."""
        seen, (items, kinds) = views.seen, numbers.shape
        if self.task.objective.whole:
            kinds = len(seen) // items
            if self.ranks.several:
                seen = seen[sent(torch.from_numpy(self.ranks.own(items, kinds)), seen.device)]
        return seen, self._light(items, kinds)

    def _light(self, items: int, kinds: int) -> Tensor | None:
        """The light of the lit columns in the next step, for this process's share of the tiles."""
        if not any(self.encoder.lit) or not self.config.jitter:
            return None
        bands = self.model.architecture["bands"]
        drawn = draws.light(self.config.seed, self.state.step, kinds * items, bands, self.config.jitter)
        return sent(drawn[:, self.ranks.own(items, kinds)], self.runtime.device)

    def _no_number(self, step: int, value: float) -> DataError:
        """The error for a NaN or infinite loss; it names where the last good weights are kept."""
        return DataError(
            f"--lr {self.lr:g}: loss or gradient is {value} at step {step}; finite numbers are "
            "needed. Use a lower --lr with --overwrite. "
            f"The weights of step {self.state.step} are kept in {self.checkpoint}."
        )

    # --- an epoch ----------------------------------------------------------------------------

    def _out_of_patience(self) -> bool:
        return self.state.epochs_without_better >= (self.config.patience or math.inf)

    def _close_epoch_when_due(self) -> None:
        """At the end of an epoch, or of the training, which may cut the last one short."""
        if self.state.open_steps and (self.state.step % self.per_epoch == 0 or self.descent.share >= 1):
            self._close_epoch()

    def _close_epoch(self) -> None:
        """Validate and write down how the epoch went."""
        self.descent.look()
        began, state = time.monotonic(), self.state
        rate = self.descent.rate
        val_loss, accuracy = self.ranks.of_first(self._validate)
        if val_loss is not None and self.config.patience:
            state.epochs_without_better += 1
            if state.best_loss is None or val_loss < state.best_loss:
                state.best_loss, state.epochs_without_better = val_loss, 0
                self.best = {name: tensor.clone() for name, tensor in self.encoder.state_dict().items()}
        with self._agreed():
            state.seconds += time.monotonic() - began
        state.metrics.append(
            {
                "epoch": len(state.metrics) + 1,
                "steps": state.step,
                "triplets_seen": state.step * self.batch_size,
                "train_loss": state.open_loss / state.open_steps,
                "val_loss": val_loss,
                "val_triplet_accuracy": accuracy,
                "lr": rate,
                "seconds": round(state.seconds, 3),
                "triplets_per_second": round(state.step * self.batch_size / max(state.step_seconds, 1e-9), 1),
            }
        )
        state.open_steps, state.open_loss = 0, 0.0

    @torch.no_grad()
    def _validate(self) -> tuple[float | None, float | None]:
        """Loss on held-out blocks, and share of the validation triplets with ‖a−n‖ < ‖a−d‖."""
        if not len(self.val):
            return None, None
        size = encoders.tiles_a_pass(self.model.architecture["encoder"], self.runtime.name)
        vectors = held_out_vectors(self.encoder, self.val, self.pixels, self.runtime, size)
        held_out = self.task.held_out(
            self.encoder, vectors.flatten(0, 1), self.pixels, self.runtime, self.batch_size
        )
        if held_out is not None and not math.isfinite(held_out):
            raise self._no_number(self.state.step, held_out)
        return held_out, losses.nearer(*vectors)

    @contextmanager
    def _network(self) -> Iterator[networks.Network]:
        """The encoder as the steps call it: compiled, or on a CPU in shards, where a signal ends a step."""
        first, alone = self.task.examples.train[: self.batch_size], not self.ranks.several
        with nullcontext() if alone else batch_norm.shared(self.encoder, self.ranks):
            if self.config.compile:
                numbers, pixels = next(self.pixels.stream([first], self._needed))
                views = self.task.views(numbers, pixels, draws.question(self.config.seed, 0))
                example = self._shown(views, numbers)
                with self.runtime.autocast():
                    network = networks.compiled(self.encoder, *example)
                yield network
            elif self.runtime.name == "cpu" and alone:  # a step given up by one process hangs the others
                networks.poll(self.encoder)
                with shards.sharded(self.encoder, self.runtime, first.size) as network:
                    yield network
            else:
                yield self.encoder


@torch.no_grad()
def held_out_vectors(
    encoder: encoders.Encoder, triplets: Ints, pixels: Pixels, runtime: Runtime, tiles_a_pass: int
) -> Tensor:
    """(3, V, D) vectors of the tiles of these (V, 3) triplets; leaves the encoder in evaluation mode."""
    encoder.eval()
    found, size = [], max(1, tiles_a_pass // 3)
    chunks = (triplets[start : start + size] for start in range(0, len(triplets), size))
    for numbers, seen in pixels.stream(chunks):
        interrupts.raise_pending()
        with runtime.autocast():
            found.append(torch.stack(encoder(seen).float().chunk(numbers.shape[1])))
    return torch.cat(found, dim=1)

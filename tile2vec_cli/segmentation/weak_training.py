"""Training one U-Net on weak labels: batches, turns, noise, the falling rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import AdamW

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.learning import optimise, shards
from tile2vec_cli.learning.networks import Network
from tile2vec_cli.learning.optimise import Course, Descent
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.segmentation.unet import UNet, padded
from tile2vec_cli.segmentation.weak_labels import UNKNOWN
from tile2vec_cli.tiling.tiles import TileSet

_LOG_EVERY = 25  # steps per line of metrics


def masked_loss(logits: Tensor, states: Tensor) -> Tensor:
    """Binary cross-entropy, mean over the pixels (B, H, W) whose state is 0 or 1; 0 without any such pixel.

    With one such pixel per tile it is the paper's masked loss, with all of them the usual one.
    """
    known = states != UNKNOWN
    losses = F.binary_cross_entropy_with_logits(logits, (states == 1).float(), reduction="none")
    return _mean(losses, known)


def soft_loss(logits: Tensor, probability: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy with a teacher's probabilities (B, H, W), mean over valid pixels (Hinton et al. 2015)."""
    losses = F.binary_cross_entropy_with_logits(logits, probability, reduction="none")
    return _mean(losses, valid)


def image_loss(logits: Tensor, states: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy of a tile's mean logit with its one label (B,).

    For a network that ends in a linear layer this is global average pooling and one logistic unit, the
    paper's U-CAM: the mean over pixels and the last layer commute, and the logits before the mean are
    the class activation map. Pixels that are not valid have no part in the mean.
    """
    total = torch.where(valid, logits, 0.0).sum((1, 2))
    pooled = total / valid.sum((1, 2)).clamp(min=1)
    losses = F.binary_cross_entropy_with_logits(pooled, (states == 1).float(), reduction="none")
    return _mean(losses, states != UNKNOWN)


def _mean(losses: Tensor, kept: Tensor) -> Tensor:
    return torch.where(kept, losses, 0.0).sum() / kept.sum().clamp(min=1)


@dataclass(frozen=True)
class Lessons:
    """What a network learns from: U tiles, of which the first n have labels."""

    tiles: TileSet
    ids: Ints  # (U,) positions in the tile set
    states: NDArray[np.uint8]  # (n, S, S) states of pixels, or (n,) of whole tiles
    soft: NDArray[np.float16] | None = None  # (U, S, S) a teacher's probabilities; NaN: none

    @property
    def labelled(self) -> int:
        return len(self.states)

    @property
    def of_tiles(self) -> bool:
        return self.states.ndim == 1


@dataclass(frozen=True)
class Schedule(optimise.Schedule):
    """How long, how fast and on what. The defaults are the published ones (Adam, constant rate)."""

    steps: int = field()  # nothing else ends it
    falling: bool = False
    batch_size: int = 32
    beta2: float = 0.999
    weight_decay: float = 0.0
    noise: float = 0.0  # deviation of what is added to the standardised bands
    label_weight: float = 1.0  # of the labels' loss, where there are soft labels
    soft_share: float = 0.5  # of a batch that is drawn from all U tiles, where there are soft labels
    window: float = 1.0  # share of a tile's side that a step sees, in whole strides of the network


@dataclass(frozen=True)
class _Windows:
    """A square of each tile of a batch."""

    corners: Ints  # (B, 2) first row and column
    side: int

    def cut(self, images: NDArray[Any]) -> NDArray[Any]:
        """(B, …, S, S) images to (B, …, side, side)."""
        pairs = zip(images, self.corners.tolist(), strict=True)
        return np.stack([image[..., r : r + self.side, c : c + self.side] for image, (r, c) in pairs])


@dataclass(frozen=True)
class _Batch:
    x: Tensor  # (B, C, S, S) standardised
    valid: Tensor  # (B, S, S)
    states: Tensor  # (B, S, S) or (B,)
    soft: Tensor | None  # (B, S, S)


def train(
    network: UNet,
    standardise: Standardise,
    lessons: Lessons,
    schedule: Schedule,
    runtime: Runtime,
    seed: int,
    on_progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Train the network in place and leave it in evaluation mode; a line of metrics every 25 steps.

    Raises DataError where the loss is NaN or infinite.
    """
    device = runtime.device
    network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    standardise.to(device)
    optimizer = AdamW(
        network.parameters(),
        schedule.lr,
        (0.9, schedule.beta2),
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    metrics: list[dict[str, Any]] = []
    losses: list[Tensor] = []
    deal = _dealer(lessons, schedule, np.random.default_rng(seed))
    windows = _windower(lessons, schedule.window, network.stride, np.random.default_rng([seed, 1]))

    def loss() -> Tensor:
        rows, turns = deal()
        batch = _batch(lessons, standardise, rows, windows(rows), turns, device)
        found = _loss(step, network, batch, schedule, runtime)
        losses.append(found.detach())
        return found

    def between() -> None:
        if course.step % _LOG_EVERY == 0 or descent.share >= 1:
            mean = float(np.mean(torch.stack(losses).tolist()))
            metrics.append({"step": course.step, "loss": round(mean, 6)})
            losses.clear()
        on_progress(course.step, schedule.steps)

    def diverged(step: int, _value: float) -> DataError:
        return DataError(
            f"{lessons.tiles.path}: the loss is NaN or infinite at step {step}. Choose a smaller --lr."
        )

    course = Course()
    descent = Descent(network, optimizer, schedule, course, runtime.name, diverged)
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        torch.manual_seed(seed)  # for noise and dropout
        with shards.sharded(network, runtime, schedule.batch_size) as step:
            descent.run(loss, between)
    network.eval()
    return metrics


def _dealer(
    lessons: Lessons, schedule: Schedule, random: np.random.Generator
) -> Callable[[], tuple[Ints, tuple[int, int]]]:
    """A function that deals the rows of `lessons` for the next batch, and its two turns.

    The labelled tiles come in random order, each as often as the others; the rest of the batch is
    drawn from all tiles.
    """
    by_label = schedule.batch_size
    if lessons.soft is not None:
        by_label -= round(schedule.soft_share * schedule.batch_size)
    waiting: list[int] = []

    def deal() -> tuple[Ints, tuple[int, int]]:
        while len(waiting) < by_label:
            waiting.extend(random.permutation(lessons.labelled).tolist())
        labelled, waiting[:by_label] = waiting[:by_label], []
        others = random.integers(len(lessons.ids), size=schedule.batch_size - by_label)
        first, second = random.integers(8, size=2)
        return np.concatenate([np.array(labelled, np.int64), others]), (int(first), int(second))

    return deal


def _windower(
    lessons: Lessons, share: float, stride: int, random: np.random.Generator
) -> Callable[[Ints], _Windows | None]:
    """A function that places a window in each tile of a batch; None: the tiles are seen whole.

    Each is anywhere in its tile, but holds one of the tile's labelled pixels, if there are any.
    """
    size = lessons.tiles.size
    side = max(1, int(share * size) // stride) * stride

    def place(rows: Ints) -> _Windows:
        corners = np.empty((len(rows), 2), np.int64)
        for corner, row in zip(corners, rows, strict=True):
            least, most = np.zeros(2, np.int64), np.full(2, size - side)
            if row < lessons.labelled and not lessons.of_tiles:
                known = np.argwhere(lessons.states[row] != UNKNOWN)
                if len(known):
                    pixel = known[random.integers(len(known))]
                    least, most = np.maximum(pixel - side + 1, 0), np.minimum(pixel, most)
            corner[:] = random.integers(least, most + 1)
        return _Windows(corners, side)

    return place if side < size else lambda _rows: None


def _batch(
    lessons: Lessons,
    standardise: Standardise,
    rows: Ints,
    windows: _Windows | None,
    turns: tuple[int, int],
    device: torch.device,
) -> _Batch:
    ids = lessons.ids[rows]
    seen = windows.cut if windows else lambda images: images
    pixels = torch.from_numpy(seen(lessons.tiles.pixels(ids)).astype(np.float32)).to(device)
    valid = torch.from_numpy(seen(lessons.tiles.valid(ids))).to(device)
    has_label = rows < lessons.labelled
    states = np.full((len(rows), *lessons.states.shape[1:]), UNKNOWN, np.uint8)
    states[has_label] = lessons.states[rows[has_label]]
    soft = None if lessons.soft is None else seen(lessons.soft[rows]).astype(np.float32)
    x = standardise.clipped(pixels, valid)
    label = torch.from_numpy(states if lessons.of_tiles else seen(states)).to(device)
    teacher = None if soft is None else torch.from_numpy(soft).to(device)
    return _Batch(
        _turned(x, turns),
        _turned(valid, turns),
        label if lessons.of_tiles else _turned(label, turns),
        None if teacher is None else _turned(teacher, turns),
    )


def _turned(images: Tensor, turns: tuple[int, int]) -> Tensor:
    """The even images turned and mirrored in one of eight ways, the odd ones in another."""
    out = torch.empty_like(images)
    for start, turn in enumerate(turns):
        image = torch.rot90(images[start::2], turn % 4, (-2, -1))
        out[start::2] = image.flip(-1) if turn >= 4 else image
    return out


def _loss(step: Network, network: UNet, batch: _Batch, schedule: Schedule, runtime: Runtime) -> Tensor:
    x = batch.x
    if schedule.noise:
        x = torch.where(batch.valid[:, None], x + schedule.noise * torch.randn_like(x), 0.0)
    x, inside = padded(x, network.stride)
    with runtime.autocast():
        logits = step(x.contiguous(memory_format=torch.channels_last), network.dropout(len(x)))
    logits = logits.float()[inside]
    if batch.states.ndim == 1:
        loss = image_loss(logits, batch.states, batch.valid)
    else:
        loss = masked_loss(logits, batch.states)
    if batch.soft is not None:
        taught = batch.valid & batch.soft.isfinite()
        loss = schedule.label_weight * loss + soft_loss(logits, batch.soft.nan_to_num(0.5), taught)
    return loss

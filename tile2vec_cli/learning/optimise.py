"""The loop that trains every network here in steps: budget, rate, a watch for NaN and infinity, signals.

What a step is about is its caller's (`loss`), and so is what happens between two steps: progress,
checkpoints, epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

LOOK_EVERY = {"cpu": 1, "cuda": 50}  # steps


@dataclass
class Course:
    """How far training is."""

    step: int = 0
    seconds: float = 0.0  # of training and validation, over all runs
    step_seconds: float = 0.0  # of training alone
    open_steps: int = 0  # of the epoch that is not closed yet
    open_loss: float = 0.0  # their sum


@dataclass(frozen=True)
class Budget:
    """What ends training: steps (which give the same weights every time), minutes, or the first of both."""

    steps: int | None = None
    minutes: float | None = None

    def share(self, step: int, seconds: float) -> float:
        """Of the training that is done; at least one step is made."""
        made = 0.0 if self.steps is None else step / max(self.steps, 1)
        spent = seconds / (60 * self.minutes) if self.minutes and step else 0.0
        return min(max(made, spent), 1.0)


@dataclass(frozen=True)
class Schedule(Budget):
    """A budget, and the rate along it."""

    lr: float = 1e-3
    warm_up: int = 0  # steps in which the rate rises
    falling: bool = True  # to 0, along a half cosine

    def rate(self, step: int, seconds: float = 0.0) -> float:
        """The learning rate of the next step."""
        risen = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        fallen = (1 + math.cos(math.pi * self.share(step, seconds))) / 2 if self.falling else 1.0
        return self.lr * risen * fallen


@dataclass
class Watch:
    """Looks after networks, their optimizer and `course`, whose `open_loss` it adds up."""

    networks: nn.Module
    optimizer: Adam
    course: Course
    every: int  # steps
    _unseen: list[Tensor] = field(default_factory=list)
    _before: _Snapshot | None = None

    @property
    def later(self) -> bool:
        """Whether steps change the weights before they are looked at."""
        return self.every > 1

    def begin(self) -> None:
        """Before each step: what can be returned to is kept."""
        if self.later and not self._unseen:
            self._before = _Snapshot.of(self.networks, self.optimizer, self.course)

    def note(self, loss: Tensor) -> None:
        """After the way back, before the weights change."""
        seen = [p.grad for p in self.networks.parameters() if p.grad is not None]
        seen += [buffer for buffer in self.networks.buffers() if buffer.is_floating_point()]
        self._unseen.append(torch.stack([loss.detach(), torch.nn.utils.get_total_norm(seen)]))

    @property
    def due(self) -> bool:
        return len(self._unseen) >= self.every

    def look(self) -> tuple[int, float] | None:
        """The first step since the last look whose loss, gradient or batch norm is not finite, and its value.

        Where there is one, all is again as it was before the steps since the last look.
        """
        if not self._unseen:
            return None
        began = time.monotonic()
        found = torch.stack(self._unseen).tolist()
        self._unseen.clear()
        first = self._before.course["step"] if self._before else self.course.step
        for step, (loss, size) in enumerate(found, first + 1):
            if not math.isfinite(loss + size):
                if self._before:
                    self._before.restore(self.optimizer, self.course)
                return step, loss if math.isfinite(size) else size
            self.course.open_loss += loss
        if self.later:  # else the look is a part of the step, which takes its own time
            waited = time.monotonic() - began
            self.course.seconds += waited
            self.course.step_seconds += waited
        return None


@dataclass(frozen=True)
class _Snapshot:
    """Copies of weights, batch norm's statistics, Adam's moments and how far training was."""

    copies: list[tuple[Tensor, Tensor]]  # what changes, and what it was
    stepped: bool  # whether there were moments
    course: dict[str, Any]

    @classmethod
    def of(cls, networks: nn.Module, optimizer: Adam, course: Course) -> _Snapshot:
        changing = list(networks.state_dict().values())
        changing += [moment for moments in optimizer.state.values() for moment in moments.values()]
        kept = {field.name: copy(getattr(course, field.name)) for field in fields(course)}
        return cls([(tensor, tensor.clone()) for tensor in changing], bool(optimizer.state), kept)

    def restore(self, optimizer: Adam, course: Course) -> None:
        with torch.no_grad():
            for tensor, before in self.copies:
                tensor.copy_(before)
        if not self.stepped:
            optimizer.state.clear()
        for name, kept in self.course.items():
            setattr(course, name, kept)


@dataclass
class Descent:
    """Networks on their way down a loss."""

    networks: nn.Module  # all that the optimizer changes
    optimizer: Adam
    schedule: Schedule
    course: Course
    device: str  # cpu, cuda
    diverged: Callable[[int, float], Exception]  # for a step, and its NaN or infinite loss or gradient
    add_up: Callable[[], None] = lambda: None  # gradients over all processes

    def __post_init__(self) -> None:
        self.watch = Watch(self.networks, self.optimizer, self.course, LOOK_EVERY[self.device])

    @property
    def share(self) -> float:
        """Of the training that is done, by what ends it first."""
        return self.schedule.share(self.course.step, self.course.seconds)

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return self.schedule.rate(self.course.step, self.course.seconds)

    def run(
        self,
        loss: Callable[[], Tensor],
        between: Callable[[], None],
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        """Step until the budget is used up, or `ended`; `between` is called after each step."""
        while self.share < 1 and not ended():
            self.update(loss)
            between()
        self.look()

    def update(self, loss: Callable[[], Tensor]) -> None:
        """One step. A signal, or a NaN or infinite loss, leaves all as it was before.

        On a GPU it is not known yet whether the loss is a number: see `Watch`.
        """
        began, course = time.monotonic(), self.course
        self.watch.begin()
        buffers = [] if self.watch.later else [buffer.clone() for buffer in self.networks.buffers()]
        self.optimizer.zero_grad()
        try:
            found = loss()
            found.backward()  # type: ignore[no-untyped-call]
            self.add_up()
            self.watch.note(found)
            if not self.watch.later:
                self.look()
        except BaseException:
            for buffer, before in zip(self.networks.buffers(), buffers, strict=False):
                buffer.copy_(before)
            raise
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.optimizer.step()
        course.step += 1
        course.open_steps += 1
        seconds = time.monotonic() - began
        course.seconds += seconds
        course.step_seconds += seconds
        if self.watch.due:
            self.look()

    def look(self) -> None:
        """Raise `diverged` where a step since the last look has met NaN or infinity; see `Watch`."""
        if found := self.watch.look():
            raise self.diverged(*found)

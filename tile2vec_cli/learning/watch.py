"""Whether the numbers of a training run are finite, at the price of as few looks as possible.

A look has the CPU wait until the device has done all that it was asked for. On a CPU there is
nothing to wait for, and a step is looked at before it changes the weights. On a GPU the numbers
of many steps stay there, beside a copy of the state before them, to which the run returns when
one of them is NaN or infinite.
"""

from __future__ import annotations

import math
import time
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from tile2vec_cli.learning.schedules import Course

LOOK_EVERY = {"cpu": 1, "cuda": 50}  # steps


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

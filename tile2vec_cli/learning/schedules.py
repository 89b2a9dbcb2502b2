"""How long and how fast networks are trained, and how far they are."""

from __future__ import annotations

import math
from dataclasses import dataclass


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

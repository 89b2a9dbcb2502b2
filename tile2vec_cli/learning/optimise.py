"""The loop that trains every network here in steps: budget, rate, a watch for NaN and infinity, signals.

What a step is about is its caller's (`loss`), and so is what happens between two steps: progress,
checkpoints, epochs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Adam

from tile2vec_cli.learning.schedules import Course, Schedule
from tile2vec_cli.learning.watch import LOOK_EVERY, Watch


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

        On a GPU it is not known yet whether the loss is a number: see `watch.py`.
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
        """Raise `diverged` where a step since the last look has met NaN or infinity; see `watch.py`."""
        if found := self.watch.look():
            raise self.diverged(*found)

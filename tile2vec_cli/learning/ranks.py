"""What the processes of one training run do together: shares of a batch, sums over it, agreement.

N processes do the arithmetic of one. Each takes its share of every batch; batch norm sees the
batch of all; vectors are gathered before the loss, so that every process holds the loss of the
whole batch; and gradients are added up. The weights stay alike without ever being sent.

No process goes on alone: what ends one of them (an error, a signal) is told at the next
agreement, and raised on all. A process that is gone without a word breaks the connection, which
raises ProcessLost on the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.distributed.rendezvous import rendezvous

from tile2vec_cli.errors import (
    BY_EXIT_CODE,
    Interrupted,
    ProcessLost,
    Tile2VecError,
    UsageError,
)
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.job.launch import ALONE, Launch

_JOINING = timedelta(minutes=5)
_WAITING = timedelta(minutes=30)  # for a process that reads its pixels from a slow disk
_NUMBERS = 2  # that an agreement carries
_MESSAGE = 16384  # bytes
_NOTHING = -math.inf


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, seen from one of them."""

    launch: Launch = ALONE

    @property
    def several(self) -> bool:
        return self.launch.count > 1

    @property
    def first(self) -> bool:
        """Whether this one writes and speaks for all."""
        return self.launch.rank == 0

    # --- agreement -------------------------------------------------------------------------------

    @contextmanager
    def agreed(self) -> Iterator[list[float]]:
        """What is raised inside on one process is raised on all of them when all are through.

        Two numbers may be added to the list; afterwards it holds the largest of all processes.
        """
        numbers: list[float] = []
        if not self.several:
            yield numbers
            return
        failure: BaseException | None = None
        try:
            yield numbers
        except ProcessLost:
            raise
        except (Exception, Interrupted, KeyboardInterrupt) as error:
            failure = error
        told = torch.full((1 + _NUMBERS,), _NOTHING, dtype=torch.float64)
        told[0] = failure is not None
        told[1 : 1 + len(numbers)] = torch.tensor(numbers, dtype=torch.float64)
        with reaching():
            distributed.all_reduce(told, distributed.ReduceOp.MAX)
        if told[0]:
            raise self._worst(failure)
        numbers[:] = told[1:].tolist()

    def _worst(self, own: BaseException | None) -> BaseException:
        """Of what the processes have met: the first one's error, or else the signal."""
        text = json.dumps(_told(own)).encode().ljust(_MESSAGE)
        every = self.every(torch.frombuffer(bytearray(text), dtype=torch.uint8))
        if own is not None and not isinstance(own, (Tile2VecError, Interrupted)):
            return own  # with its traceback
        met = [(rank, *json.loads(bytes(text.tolist()))) for rank, text in enumerate(every)]
        errors = [(rank, code, message) for rank, code, message in met if message]
        if not errors:
            return Interrupted(max(code for _, code, _ in met))
        rank, code, message = errors[0]
        if rank == self.launch.rank and own is not None:
            return own
        kind = BY_EXIT_CODE.get(code)
        return Tile2VecError(f"process {rank}: {message}") if kind is None else kind(message)

    def of_first(self, work: Callable[[], Sequence[float | None]]) -> Sequence[float | None]:
        """Up to two numbers that the first process works out for all."""
        if not self.several:
            return work()
        with self.agreed() as found:
            if self.first:
                found += [_NOTHING if number is None else number for number in work()]
        return [None if number == _NOTHING else number for number in found]

    def require_alike(self, what: str, number: int) -> None:
        """Raise UsageError on all processes where `number` is not the same on all."""
        with self.agreed() as found:
            found += [number, -number]
        if found[0] != -found[1]:
            raise UsageError(
                f"{self.launch.count} processes: they differ in {what} (the largest {found[0]:g}, the "
                f"least {-found[1]:g}); all need the same. Run them on machines of one kind and one disk."
            )

    # --- shares and sums -----------------------------------------------------------------------

    def share(self, items: int, rank: int | None = None) -> slice:
        """This process's part of so many items; none is more than one larger than another."""
        number, count = self.launch.rank if rank is None else rank, self.launch.count
        return slice(items * number // count, items * (number + 1) // count)

    def own(self, items: int, kinds: int) -> Ints:
        """Which of the rows of `kinds` columns of `items`, column after column, are this process's."""
        found: Ints = np.arange(kinds * items).reshape(kinds, items)[:, self.share(items)].ravel()
        return found

    def gathered(self, vectors: Tensor, items: int) -> Tensor:
        """(K B, D) vectors of the whole batch of `items` B from those of this share, column after column.

        The gradient of what each process makes of them must be the same: it is not added up.
        """
        if not self.several:
            return vectors
        parts = [self.share(items, rank) for rank in range(self.launch.count)]
        sizes = [part.stop - part.start for part in parts]
        whole: Tensor = _Gather.apply(vectors, sizes, self)  # type: ignore[no-untyped-call]
        return whole

    def every(self, own: Tensor) -> Tensor:
        """(N, …) what each process has told, in their order."""
        told = [torch.empty_like(own) for _ in range(self.launch.count)]
        with reaching():
            distributed.all_gather(told, own)
        return torch.stack(told)

    @property
    def keeps(self) -> bool:
        """Each process has running statistics of its own; see `batch_norm.Exchange`."""
        return True

    def add_up(self, network: nn.Module) -> None:
        """Make each gradient the sum of all processes' gradients."""
        if not self.several:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        with reaching():
            distributed.all_reduce(flat)
        sums = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, found in zip(gradients, sums, strict=True):
            gradient.copy_(found.view_as(gradient))


@contextmanager
def joined(launch: Launch, device: str) -> Iterator[Ranks]:
    """Wait until all processes are there, and keep them connected; `device` is that of --device.

    Raises ProcessLost where they do not come.
    """
    if launch.count == 1:
        yield Ranks()
        return
    on_gpu = device != "cpu" and torch.cuda.is_available()
    with reaching():
        url = f"tcp://{launch.host}:{launch.port}"
        meeting = rendezvous(url, launch.rank, launch.count, timeout=_JOINING)
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=next(meeting)[0],
            rank=launch.rank,
            world_size=launch.count,
            timeout=_WAITING,
        )
    try:
        yield Ranks(launch)
    finally:
        distributed.destroy_process_group()


@contextmanager
def reaching() -> Iterator[None]:
    """Around what is sent to the other processes: ProcessLost where one of them is gone."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise ProcessLost(
            f"another process of this run cannot be reached ({reason}); all are needed. "
            "What was saved is kept: run the same command to go on."
        ) from error


def _told(failure: BaseException | None) -> tuple[int, str]:
    """Exit code and message; a character takes up to twelve bytes of JSON."""
    if failure is None:
        return 0, ""
    if isinstance(failure, Tile2VecError):
        return failure.exit_code, str(failure)[: _MESSAGE // 13]
    if isinstance(failure, (Interrupted, KeyboardInterrupt)):
        return getattr(failure, "exit_code", 130), ""
    return 1, f"{type(failure).__name__}: {failure}"[: _MESSAGE // 13]


# --- through which gradients flow ----------------------------------------------------------------


class _Gather(torch.autograd.Function):
    """(K b, D) of each process to (K B, D) on all. Back goes the own part of a gradient that all share."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, sizes: list[int], ranks: Ranks) -> Tensor:
        rank = ranks.launch.rank
        ctx.sizes, ctx.rank = sizes, rank
        columns = vectors.detach().view(-1, sizes[rank], vectors.shape[1])
        padded = columns.new_zeros(len(columns), max(sizes), vectors.shape[1])
        padded[:, : sizes[rank]] = columns
        every = ranks.every(padded)
        pieces = [piece[:, :size] for piece, size in zip(every, sizes, strict=True)]
        return torch.cat(pieces, dim=1).flatten(0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        columns = gradient.reshape(-1, sum(ctx.sizes), gradient.shape[1])
        return torch.split(columns, ctx.sizes, dim=1)[ctx.rank].flatten(0, 1), None, None

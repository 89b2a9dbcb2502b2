"""A batch in shards, each on a thread of its own; the threads meet at batch norms alone.

Threads that share out each operation wait for one another some hundred times a step, and spin as they do:
where other work has one of their CPUs, all wait until it is given back. Shards meet some dozen times, and
sleep as they wait. The gradient is that of the whole batch, as with several processes (`ranks.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tile2vec_cli.learning import batch_norm
from tile2vec_cli.learning.networks import Network
from tile2vec_cli.neural.device import Runtime

_MOST = 8  # shards; more would wait for Python, which one thread runs at a time
_LEAST_TILES = 16  # of a shard

T = TypeVar("T")


@contextmanager
def sharded(network: nn.Module, runtime: Runtime, tiles: int) -> Iterator[Network]:
    """The network as steps of so many tiles call it, in training: in shards where torch has several threads.

    Inputs ask for no gradient, and nothing in the network draws from torch's generator.
    """
    threads = torch.get_num_threads() if runtime.name == "cpu" else 1
    most = min(threads, _MOST, tiles // _LEAST_TILES)
    if most < 2:
        yield network
        return
    count = max(range(2, most + 1), key=lambda count: (threads // count * count, count))  # few stay idle
    with ThreadPoolExecutor(count, "shard", _take, (threads // count,)) as pool:
        shards = _Shards(count, pool, runtime)
        shards.each(lambda _number: shards.meet())  # now all of them have begun
        torch.set_num_threads(threads)

        def call(pixels: Tensor, beside: Tensor | None) -> Tensor:
            cuts = list(zip(shards.cut(pixels), shards.cut(beside), strict=True))
            weights = [weight for weight in network.parameters() if weight.requires_grad]
            found: Tensor = _Sharded.apply(shards, network, cuts, *weights)  # type: ignore[no-untyped-call]
            return found

        with batch_norm.shared(network, shards):
            yield call


def _take(threads: int) -> None:
    """Have this thread, as it begins, work with so many of OpenMP's."""
    torch.set_num_threads(threads)  # for itself, and for all that begin later
    torch.get_num_threads()  # else the thread takes what was said last when it first needs to know


class _Shards:
    """So many threads, each with a number of its own; see `batch_norm.Exchange`."""

    def __init__(self, count: int, pool: ThreadPoolExecutor, runtime: Runtime) -> None:
        self.count, self.runtime = count, runtime
        self._pool = pool
        self._barrier = threading.Barrier(count)
        self._here = threading.local()
        self._told: tuple[list[Any], list[Any]] = ([None] * count, [None] * count)

    def each(self, work: Callable[[int], T]) -> list[T]:
        """What the threads make of their numbers. What one of them raises ends the others, and is raised."""
        futures: list[Future[T]] = []
        self._barrier.reset()
        try:
            for number in range(self.count):
                futures.append(self._pool.submit(self._as, number, work))
            wait(futures)
        except BaseException:  # a signal
            self._barrier.abort()
            raise
        finally:
            wait(futures)  # nothing goes on behind its caller's back
        failures = [error for future in futures if (error := future.exception())]
        for error in sorted(failures, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
            raise error  # what broke the barrier, not what that did to the others
        return [future.result() for future in futures]

    def _as(self, number: int, work: Callable[[int], T]) -> T:
        self._here.number, self._here.turn = number, 0
        try:
            return work(number)
        except BaseException:
            self._barrier.abort()
            raise

    def meet(self) -> None:
        self._barrier.wait()

    def every(self, own: Tensor) -> Tensor:
        # Two lists in turn: nobody writes into one before all have read it, which is before the next meeting.
        told = self._told[self._here.turn]
        self._here.turn = 1 - self._here.turn
        told[self._here.number] = own
        self.meet()
        return torch.stack(told)

    @property
    def keeps(self) -> bool:
        return bool(self._here.number == 0)

    def cut(self, shown: Tensor | None) -> Sequence[Tensor | None]:
        """What each shard is shown of images (…, B, C, H, W)."""
        return [None] * self.count if shown is None else shown.tensor_split(self.count, -4)


class _Sharded(torch.autograd.Function):
    """What a network gives for all shards. The gradient of a weight is the sum of theirs, in their order."""

    @staticmethod
    def forward(
        ctx: Any,
        shards: _Shards,
        network: Network,
        cuts: list[tuple[Tensor, Tensor | None]],
        *weights: Tensor,
    ) -> Tensor:
        def work(number: int) -> Tensor:
            with shards.runtime.autocast():
                return network(*cuts[number])

        ctx.shards, ctx.weights, ctx.found = shards, weights, shards.each(work)
        return torch.cat([found.detach() for found in ctx.found])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients = gradient.tensor_split(ctx.shards.count)

        def work(number: int) -> Sequence[Tensor | None]:
            shown, gradient = ctx.found[number], gradients[number]
            return list(torch.autograd.grad(shown, ctx.weights, gradient, allow_unused=True))

        found = ctx.shards.each(work)
        sums = [None if own[0] is None else sum(own[1:], own[0]) for own in zip(*found, strict=True)]
        return None, None, None, *sums

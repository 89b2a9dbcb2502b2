"""Batch norm over a batch that is shared out: to processes (`ranks.py`), or to threads (`shards.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Exchange(Protocol):
    """How those who share a batch tell each other what they have found in their part of it."""

    def every(self, own: Tensor) -> Tensor:
        """(N, …) what each of the N has told, in their order; all call it the same number of times."""

    @property
    def keeps(self) -> bool:
        """Whether this one adds to the running statistics, which may be one for all."""


@contextmanager
def shared(network: nn.Module, exchange: Exchange) -> Iterator[None]:
    """Inside, the network's batch norms see the whole batch; names and weights stay as they are."""
    found = [
        (module, name, child)
        for module in network.modules()
        for name, child in module.named_children()
        if isinstance(child, nn.BatchNorm2d)
    ]
    for module, name, child in found:
        setattr(module, name, BatchNorm.of(child, exchange))
    try:
        yield
    finally:
        for module, name, child in found:
            setattr(module, name, child.train(module.training))


class BatchNorm(nn.BatchNorm2d):
    """As torch's SyncBatchNorm, which works on GPUs only and has the CPU wait for them in every layer."""

    exchange: Exchange

    @classmethod
    def of(cls, other: nn.BatchNorm2d, exchange: Exchange) -> BatchNorm:
        """With the very parameters and buffers of another."""
        made = cls(other.num_features, other.eps, other.momentum, device="meta")
        made.exchange = exchange
        for name, parameter in other.named_parameters(recurse=False):
            setattr(made, name, parameter)
        for name, buffer in other.named_buffers(recurse=False):
            setattr(made, name, buffer)
        return made.train(other.training)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean, var, count = self._moments(x)
        normed: Tensor = _Normalise.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, mean, var, count, self.eps, self.exchange
        )
        return normed

    @torch.no_grad()
    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, biased variance (C,) and number of pixels of the whole batch, added to the running ones.

        Variances are joined by Chan et al. 1979, equation 2.1: no difference of large squares.
        """
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        unused = torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)
        moments = torch.batch_norm_update_stats(x, *unused, 0.0)
        size = torch.full((1, x.shape[1]), float(x.numel() // x.shape[1]), device=x.device)
        every = self.exchange.every(torch.cat([torch.stack(moments), size]))
        means, variances, sizes = every.unbind(1)
        count = sizes.sum(0)
        mean = (sizes * means).sum(0) / count
        var = (sizes * (variances + (means - mean).square())).sum(0) / count
        if self.exchange.keeps:
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
        return mean, var, count


class _Normalise(torch.autograd.Function):
    """(x − mean) / √(var + eps) · weight + bias, where mean and variance are those of the whole batch.

    The gradient is that of Ioffe & Szegedy 2015, section 3, with sums over the whole batch.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        var: Tensor,
        count: Tensor,
        eps: float,
        exchange: Exchange,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.exchange = eps, exchange
        normed: Tensor = torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, count = ctx.saved_tensors
        _, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, var, None, None, False, ctx.eps, [False, True, True]
        )
        of_bias, of_weight = ctx.exchange.every(torch.stack([to_bias, to_weight])).sum(0) / count
        scale = (var + ctx.eps).rsqrt()
        factor, slope = weight * scale, scale * of_weight
        # Each with its own mean taken off: what cancels is not rounded first.
        to_x = _affine(gradient, factor, -factor * of_bias)
        to_x += _affine(x, -factor * slope, factor * slope * mean)
        return to_x, to_weight, to_bias, None, None, None, None, None


def _affine(x: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    """x · factor + shift, by channel. Batch norm's kernel is several times as fast as plain bfloat16."""
    still = torch.zeros_like(factor), torch.ones_like(factor)
    found: Tensor = torch.native_batch_norm(x, factor, shift, *still, False, 0.0, 0.0)[0]
    return found

"""An encoder as the steps of training call it: compiled, or such that a signal ends a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

from tile2vec_cli.errors import UsageError
from tile2vec_cli.job import interrupts
from tile2vec_cli.learning.ranks import reaching
from tile2vec_cli.neural.encoders import Encoder

Network = Callable[[Tensor, Tensor | None], Tensor]


def poll(encoder: Encoder) -> None:
    """Let a signal end a step after any convolution, on the way back too.

    On a slow CPU a step of a large network takes longer than a job has between signal and kill.
    """

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        interrupts.raise_pending()
        if output.requires_grad:
            output.register_hook(lambda _gradient: interrupts.raise_pending())  # type: ignore[no-untyped-call]

    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(hook)


def compiled(encoder: Encoder, pixels: Tensor, light: Tensor | None) -> Network:
    """The encoder through torch.compile, tried out on an example; UsageError where that fails.

    On a GPU its kernels are recorded as CUDA graphs, which start all of them at once.
    """
    on_gpu = pixels.device.type == "cuda"
    buffers = [buffer.clone() for buffer in encoder.train().buffers()]
    try:
        network: Network = torch.compile(encoder, mode="reduce-overhead" if on_gpu else None)
        network(pixels, light).sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"--compile: torch cannot compile here ({reason}). Use --no-compile.") from error
    for buffer, before in zip(encoder.buffers(), buffers, strict=True):
        buffer.copy_(before)
    if not on_gpu:
        return network

    def step(pixels: Tensor, light: Tensor | None) -> Tensor:
        # What the last step gave may be written over.
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return network(pixels, light)

    return step


def span_processes(network: nn.Module) -> None:
    """Have the network's batch norms see the batch of all processes; names and weights stay as they are."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, BatchNorm.of(child))


class BatchNorm(nn.BatchNorm2d):
    """As torch's SyncBatchNorm, which works on GPUs only and has the CPU wait for them in every layer."""

    @classmethod
    def of(cls, other: nn.BatchNorm2d) -> BatchNorm:
        """With the very parameters and buffers of another."""
        made = cls(other.num_features, other.eps, other.momentum, device="meta")
        for name, parameter in other.named_parameters(recurse=False):
            setattr(made, name, parameter)
        for name, buffer in other.named_buffers(recurse=False):
            setattr(made, name, buffer)
        return made

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        mean, var, count = self._moments(x)
        normed: Tensor = _Normalise.apply(x, self.weight, self.bias, mean, var, count, self.eps)  # type: ignore[no-untyped-call]
        return normed

    @torch.no_grad()
    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, biased variance (C,) and number of pixels of all processes, added to the running ones.

        Variances are joined by Chan et al. 1979, equation 2.1: no difference of large squares.
        """
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        unused = torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)
        moments = torch.batch_norm_update_stats(x, *unused, 0.0)
        size = torch.full((1, x.shape[1]), float(x.numel() // x.shape[1]), device=x.device)
        own = torch.cat([torch.stack(moments), size])
        every = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        with reaching():
            distributed.all_gather(every, own)
        means, variances, sizes = torch.stack(every, dim=1)
        count = sizes.sum(0)
        mean = (sizes * means).sum(0) / count
        var = (sizes * (variances + (means - mean).square())).sum(0) / count
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * count / (count - 1), self.momentum)
        return mean, var, count


class _Normalise(torch.autograd.Function):
    """(x − mean) / √(var + eps) · weight + bias, where mean and variance are those of all processes' x.

    The gradient is that of Ioffe & Szegedy 2015, section 3, with sums over all processes.
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
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps = eps
        normed: Tensor = torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, count = ctx.saved_tensors
        _, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, var, None, None, False, ctx.eps, [False, True, True]
        )
        sums = torch.stack([to_bias, to_weight])
        with reaching():
            distributed.all_reduce(sums)
        of_bias, of_weight = sums / count
        scale = (var + ctx.eps).rsqrt()
        slope = scale * of_weight
        factor, shift = (part[:, None, None] for part in (weight * scale, of_bias - slope * mean))
        to_x = factor * (gradient - slope[:, None, None] * x - shift)
        return to_x.to(x.dtype), to_weight, to_bias, None, None, None, None

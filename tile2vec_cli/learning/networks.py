"""An encoder as the steps of training call it: compiled, or such that a signal ends a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tile2vec_cli.errors import UsageError
from tile2vec_cli.job import interrupts
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

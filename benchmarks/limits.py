"""What the machine can do: copying, random reads of a memory map, matrix products, the bare network."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import rasterio
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tile2vec_cli.neural.device import Runtime


def processor() -> str:
    """What the machine calls its processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def clocks(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of processor time of all threads of this process."""
    started, before = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - before


def copy(paths: Sequence[Path], target: Path) -> None:
    """Read all blocks of the scenes in order, write them to one file, flush it to disk, remove it."""
    with target.open("wb") as out:
        for path in paths:
            with rasterio.open(path) as source:
                for _, window in source.block_windows(1):
                    out.write(source.read(window=window).tobytes())
        out.flush()
        os.fsync(out.fileno())
    target.unlink()


def gather(pixels: np.ndarray, count: int, batch: int) -> None:
    """Random rows of a memory map, batch by batch."""
    rng = np.random.default_rng(0)
    for _ in range(count // batch):
        pixels[rng.integers(len(pixels), size=batch)]


def matrix_flops(runtime: Runtime, side: int = 2048) -> float:
    """Operations a second of a product of two square matrices in the runtime's precision; best of some."""
    dtype = torch.bfloat16 if runtime.precision == "bf16" else torch.float32
    left, right = torch.randn(2, side, side, dtype=dtype, device=runtime.device)
    return 2 * side**3 / min(seconds(lambda: (left @ right)[0, 0].item()) for _ in range(12))


def flops(work: Callable[[], object]) -> int:
    """Operations of the convolutions and matrix products in a piece of work."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def forward(network: Callable[[Tensor], Tensor], pixels: Tensor, runtime: Runtime) -> Callable[[], object]:
    """The network on pixels that are in memory."""

    def run() -> object:
        with torch.inference_mode(), runtime.autocast():
            return network(pixels).float().sum().item()

    return run

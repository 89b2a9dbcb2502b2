"""Where networks run and how exactly: device, precision, threads, seeds.

The same inputs, seed, device and number of threads give the same bytes: nothing here or in the
networks draws from torch's global generator, and only kernels with one order of summation are used.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from tile2vec_cli.errors import UsageError
from tile2vec_cli.job import resources
from tile2vec_cli.job.launch import ALONE, Launch
from tile2vec_cli.job.resources import BF16_FLAGS, cpu_flags, threads


@dataclass(frozen=True)
class Runtime:
    """A device and the precision of the arithmetic on it."""

    device: torch.device
    precision: str  # bf16: matrix products and convolutions in bfloat16, the rest in float32

    @property
    def name(self) -> str:
        return self.device.type

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which a network's forward pass runs."""
        return torch.autocast(self.name, torch.bfloat16, enabled=self.precision == "bf16")


def choose(device: str = "auto", precision: str = "auto", launch: Launch = ALONE) -> Runtime:
    """Turn --device and --precision into a Runtime, and set torch's threads and kernels for it.

    Of several processes on one machine each takes a GPU, or its share of the CPUs.

    Raises UsageError for `cuda` where torch finds no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch finds no GPU; needs one. Use --device cpu or auto.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    torch.set_num_threads(threads(launch.cpu_sharers))
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # one order of summation
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32
        # Where Slurm shows each task a GPU of its own, that one is the first.
        number = launch.local_rank % torch.cuda.device_count()
        torch.cuda.set_device(number)
        return Runtime(torch.device(device, number), precision)
    return Runtime(torch.device(device), precision)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken on the device; for the CPU within this job's own limit."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return resources.free_memory()


def _has_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulated it would be slower than float32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return not BF16_FLAGS.isdisjoint(cpu_flags())

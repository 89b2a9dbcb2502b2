"""How many processors this job may use: not the node's, but what the queue and the control group grant."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tile2vec_cli.errors import UsageError

BF16_FLAGS = {"avx512_bf16", "amx_bf16"}  # of processors that multiply bfloat16 in hardware

# How long threads of OpenMP spin before they sleep: some 50 µs (GCC's; by default up to 15 ms), 1 ms (LLVM's
# and Intel's; 200 ms). It covers the way from one kernel to the next, and wastes little of a slice of time
# where the thread that is waited for has lost its CPU.
_BRIEF = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
_WAITING = {"OMP_WAIT_POLICY", *_BRIEF}


def usable_cpus() -> int:
    """CPUs this process may use: Slurm's grant, else affinity, cut to the cgroup's quota."""
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if granted.isdigit() and int(granted) > 0:
        return int(granted)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cpus = min(cpus, max(1, round(int(quota) / int(period))))
    return cpus


def worker_count(workers: int | None) -> int:
    """Workers as asked for, by default one for each CPU."""
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: needs at least 1.")
    return workers or usable_cpus()


def threads(sharers: int = 1) -> int:
    """Threads for the networks: a share of this job's CPUs, or fewer where OMP_NUM_THREADS says so."""
    granted = max(1, usable_cpus() // sharers)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if not asked.isdigit() or not int(asked) or (asked == "1" and sharers > 1):
        return granted  # torchrun sets 1 where nobody has asked
    return min(granted, int(asked))


def wait_briefly() -> None:
    """Have the threads of OpenMP sleep soon while they wait, unless the environment says how they wait.

    On a busy machine those that spin keep the one that is waited for from its CPU. OpenMP reads this when it
    is loaded: it has to be said before torch and scikit-learn are.
    """
    if _WAITING.isdisjoint(os.environ):
        os.environ.update(_BRIEF)


def cpu_flags() -> frozenset[str]:
    """What the processor can do, in the kernel's words; nothing where the system does not say."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.split())
    return frozenset()

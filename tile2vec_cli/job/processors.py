"""How many processors this job may use: not the node's, but what the queue and the control group grant."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tile2vec_cli.errors import UsageError


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

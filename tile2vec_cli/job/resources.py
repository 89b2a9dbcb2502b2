"""Memory and processors that this job may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tile2vec_cli.errors import UsageError

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")

BF16_FLAGS = {"avx512_bf16", "amx_bf16"}  # of processors that multiply bfloat16 in hardware

# How long threads of OpenMP spin before they sleep: some 50 µs (GCC's; by default up to 15 ms), 1 ms (LLVM's
# and Intel's; 200 ms). It covers the way from one kernel to the next, and wastes little of a slice of time
# where the thread that is waited for has lost its CPU.
_BRIEF = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
_WAITING = {"OMP_WAIT_POLICY", *_BRIEF}


def granted_memory() -> int:
    """Bytes that this job may use in all: of the machine, Slurm's grant and the control groups the least."""
    limits = [limit for limit, _ in _groups()]
    return min([_pages("SC_PHYS_PAGES"), *_slurm(), *limits])


def free_memory() -> int:
    """Bytes that can still be taken. What the system only keeps of files, and gives back, counts as free."""
    left = [limit - used for limit, used in _groups()]
    left += [limit - _own() for limit in _slurm()]
    return max(0, min([_available(), *left]))


def _pages(name: str) -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf(name)
    except (ValueError, OSError):  # no such name on this system
        return 1 << 62


def _available() -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return _pages("SC_AVPHYS_PAGES")


def _own() -> int:
    """Bytes that this process holds."""
    with suppress(OSError, ValueError, IndexError):
        return int((_PROC / "self" / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _slurm() -> list[int]:
    """What Slurm grants, which not every cluster enforces by a control group."""
    found = {name: os.environ.get(f"SLURM_{name}", "") for name in ("MEM_PER_NODE", "MEM_PER_CPU")}
    cpus = os.environ.get("SLURM_CPUS_ON_NODE", "") or os.environ.get("SLURM_CPUS_PER_TASK", "")
    times = {"MEM_PER_NODE": 1, "MEM_PER_CPU": int(cpus) if cpus.isdigit() else 1}
    # 0 stands for all that the node has.
    return [int(mib) * times[name] << 20 for name, mib in found.items() if mib.isdigit() and int(mib)]


def _groups() -> Iterator[tuple[int, int]]:
    """(limit, used) bytes of each control group that holds this process and has a limit; versions 2 and 1."""
    try:
        lines = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            yield from _up(_CGROUPS, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _up(_CGROUPS / "memory", path, *names)


def _up(root: Path, path: str, limit: str, used: str, cached: str) -> Iterator[tuple[int, int]]:
    """From a group up to the root: a parent's limit holds too. Inside a container the path leads nowhere."""
    inner = root / path.strip("/")
    for folder in (inner, *inner.parents):
        with suppress(OSError, ValueError):
            most = int((folder / limit).read_text())  # "max": no limit
            taken = int((folder / used).read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield most, taken - int(stat.get(cached, 0))
        if folder == root:
            return


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

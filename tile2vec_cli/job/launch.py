"""Which process of how many this is, as `torchrun` and `srun` say it in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tile2vec_cli.errors import UsageError

_PORTS = range(20_000, 32_000)  # below those that systems hand out by themselves


@dataclass(frozen=True)
class Launch:
    """One process of a run; by default the only one."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0  # among those on this machine
    local_count: int = 1
    cpu_sharers: int = 1  # processes that share the CPUs this one may use
    host: str = ""  # where the first process listens
    port: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.count:
            raise UsageError(f"process {self.rank} of {self.count}: needs one from 0 to {self.count - 1}.")
        if not 0 <= self.port < 1 << 16:
            raise UsageError(f"MASTER_PORT {self.port}: needs a port, a number up to 65535.")


ALONE = Launch()


def find(env: Mapping[str, str] = os.environ) -> Launch:
    """The launch that the environment tells of. Raises UsageError where it is only half told."""
    if "RANK" in env and "WORLD_SIZE" in env:
        count = _number(env, "WORLD_SIZE")
        local = _number(env, "LOCAL_WORLD_SIZE", 1)
        host = env.get("MASTER_ADDR", "")
        if count > 1 and not host:
            raise UsageError("WORLD_SIZE is set without MASTER_ADDR; needs both. Use torchrun or srun.")
        port = _number(env, "MASTER_PORT", _PORTS[0])
        return Launch(_number(env, "RANK"), count, _number(env, "LOCAL_RANK", 0), local, local, host, port)
    if "SLURM_PROCID" not in env or _in_batch_script(env):
        return Launch()
    count = _number(env, "SLURM_STEP_NUM_TASKS", _number(env, "SLURM_NTASKS", 1))
    return Launch(
        _number(env, "SLURM_PROCID") if count > 1 else 0,
        count,
        _number(env, "SLURM_LOCALID", 0),
        _tasks_here(env),
        1,  # srun gives each task CPUs of its own
        env.get("MASTER_ADDR") or _first_host(env),
        _number(env, "MASTER_PORT", _port(env)),
    )


def _in_batch_script(env: Mapping[str, str]) -> bool:
    """Whether this runs in a job's script, which Slurm calls task 0 of all, and was not started by `srun`."""
    return env.get("ENVIRONMENT") == "BATCH" and "SLURM_STEP_NUM_TASKS" not in env


def _number(env: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = env.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise UsageError(f"{name} is {text!r}; a whole number is needed. Use torchrun or srun.")
    return int(text)


def _tasks_here(env: Mapping[str, str]) -> int:
    """From "2(x3),1": the tasks of each node."""
    text = env.get("SLURM_STEP_TASKS_PER_NODE", "1")
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    nodes = [int(tasks) for tasks, times in found for _ in range(int(times or 1))]
    node = _number(env, "SLURM_NODEID", 0)
    return nodes[node] if node < len(nodes) else 1


def _first_host(env: Mapping[str, str]) -> str:
    """The node of task 0: the first of a list such as "a[03-07,9],b"."""
    nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_JOB_NODELIST") or ""
    alone = (env.get("SLURM_STEP_NUM_NODES") or env.get("SLURM_JOB_NUM_NODES")) == "1"
    found = re.match(r"([^\[,]+)(?:\[(\d+)[^\]]*\])?([^,\[]*)", nodes)
    if alone or found is None:
        return "127.0.0.1" if alone else env.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")
    return "".join(part or "" for part in found.groups())


def _port(env: Mapping[str, str]) -> int:
    """One that the steps of a cluster seldom share; all tasks of a step come to the same."""
    job, step = _number(env, "SLURM_JOB_ID", 0), _number(env, "SLURM_STEP_ID", 0)
    return _PORTS[(job * 61 + step) % len(_PORTS)]

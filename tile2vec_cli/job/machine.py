"""The machine that a job runs on: what it grants, and what of it would be slow."""

from __future__ import annotations

import io
import os
import platform
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir
from typing import Literal

from tile2vec_cli.errors import DataError, Failure
from tile2vec_cli.job import resources

# Settings that lead a library to the files of another installation.
_ELSEWHERE = ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")

LEAST_MEMORY, LEAST_DISK = 2 << 30, 2 << 30
_SHOWN_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_NVIDIA = Path("/proc/driver/nvidia/version")
_MOUNTS = Path("/proc/self/mounts")
# File systems where each look at a file asks another machine; of FUSE's, some are local.
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "panfs", "wekafs"}
_REMOTE |= {f"fuse.{name}" for name in ("sshfs", "s3fs", "gcsfuse", "rclone", "glusterfs", "juicefs")}
_IN_MEMORY = {"tmpfs", "ramfs"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    found: str
    state: Literal["ok", "note", "slow", "broken"] = "ok"
    advice: str = ""

    @property
    def line(self) -> str:
        return f"{self.found}. {self.advice}" if self.advice else self.found

    @property
    def failure(self) -> Failure:
        message = f"{self.name}: {self.found}; a working one is needed. {self.advice}"
        return Failure(self.name, message, DataError.exit_code)


def tried(name: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What `look` finds, or that it broke, whatever a library raises. What libraries print is kept away."""
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(look())
    except Exception as error:
        said = (str(error).strip().splitlines() or [""])[0]
        return [Finding(name, f"{type(error).__name__}: {said}".rstrip(": ."), "broken", suspects(said))]


def suspects(said: str = "") -> str:
    """What to do about a library that does not work. said: how it told of that."""
    if lacking := re.match(r"(lib\S+): cannot open shared object file", said):
        return f"Install what brings {lacking[1]}, or load its module."
    found = [f"{name}={os.environ[name]}" for name in _ELSEWHERE if os.environ.get(name)]
    if found:
        return f"Try without {', '.join(found)}, which may lead to another installation's files."
    return "Install it again, best with all of tile2vec in an environment of its own."


def examine() -> Iterator[Finding]:
    for name, look in (
        ("device", _device),
        ("processor", _processor),
        ("CPUs", _cpus),
        ("threads", _threads),
        ("memory", _memory),
        ("folder", partial(_disk, "folder", Path.cwd)),
        ("TMPDIR", _temporary),
    ):
        yield from tried(name, look)


def _device() -> Iterator[Finding]:
    try:
        torch = import_module("torch")
    except Exception:  # which is told of among the libraries
        yield Finding("device", "unknown without torch", "note")
        return
    if not torch.cuda.is_available():
        if not _NVIDIA.exists():
            yield Finding("device", "cpu")
        elif torch.version.cuda is None:
            advice = "Install a build of torch with CUDA."
            yield Finding("device", "cpu: torch is built without CUDA, though a GPU is here", "slow", advice)
        else:
            hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
            why = "" if hidden is None else f" with CUDA_VISIBLE_DEVICES={hidden}"
            advice = f"Ask the queue for a GPU, or update its driver for CUDA {torch.version.cuda}."
            yield Finding(
                "device", f"cpu: torch finds no GPU{why}, though its driver is here", "slow", advice
            )
        return
    for number in range(torch.cuda.device_count()):
        # A build of torch may lack the kernels of a card that it finds.
        torch.ones(8, 8, device=f"cuda:{number}").sum().item()
        free, total = torch.cuda.mem_get_info(number)
        said = f"cuda:{number}, {torch.cuda.get_device_name(number)}, {_gib(free)} of {_gib(total)} free"
        if torch.cuda.get_device_capability(number) >= (8, 0):
            yield Finding("device", said)
        else:
            yield Finding("device", f"{said}, no bfloat16", "slow", "Networks run in float32 on it.")


def _processor() -> Iterator[Finding]:
    flags = resources.cpu_flags()
    said = " ".join([platform.machine(), *(name for name in _SHOWN_FLAGS if name in flags)])
    if flags.isdisjoint(resources.BF16_FLAGS):
        advice = (
            "Networks run in float32 on it: to train for long, take a GPU or a CPU with AVX512-BF16 or AMX."
        )
        yield Finding("processor", f"{said}, no bfloat16", "slow", advice)
    else:
        yield Finding("processor", said)


def _cpus() -> Iterator[Finding]:
    granted, here = resources.usable_cpus(), os.cpu_count() or 1
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else here
    said = f"{granted} of {here}"
    if bound < granted:
        advice = f"Start it with `srun --cpus-per-task={granted}`."
        yield Finding("CPUs", f"Slurm grants {granted}, but this process is held to {bound}", "slow", advice)
    elif granted == 1 < here:
        advice = "Ask the queue or the container for more, such as with --cpus-per-task=8."
        yield Finding("CPUs", f"{said} granted", "slow", advice)
    else:
        yield Finding("CPUs", f"{said} granted")


def _threads() -> Iterator[Finding]:
    threads, cpus = resources.threads(), resources.usable_cpus()
    if threads < cpus:
        said = f"{threads} for {cpus} CPUs, as OMP_NUM_THREADS says"
        yield Finding("threads", said, "slow", f"Unset it, or set it to {cpus}.")
    else:
        yield Finding("threads", str(threads))


def _memory() -> Iterator[Finding]:
    granted, free = resources.granted_memory(), resources.free_memory()
    said = f"{_gib(granted)} granted, {_gib(free)} free"
    if free < LEAST_MEMORY:
        advice = "Ask the queue for more (--mem), or end other programs."
        yield Finding("memory", said, "slow", advice)
    else:
        yield Finding("memory", said)


def _temporary() -> Iterator[Finding]:
    asked = os.environ.get("TMPDIR")
    taken = gettempdir()
    if asked and Path(asked).resolve() != Path(taken).resolve():
        advice = "Make the folder, or point TMPDIR to one that is there."
        yield Finding("TMPDIR", f"{asked} can't be written, {taken} is taken", "note", advice)
    yield from _disk("TMPDIR", lambda: Path(taken))


def _disk(name: str, where: Callable[[], Path]) -> Iterator[Finding]:
    path = where().resolve()
    kind = file_system(path)
    free = shutil.disk_usage(path).free
    said = f"{path}, {_gib(free)} free" + (f", {kind}" if kind else "")
    if not os.access(path, os.W_OK | os.X_OK):
        yield Finding(name, f"{path} can't be written", "note", "Let --out name a folder that can.")
    elif free < LEAST_DISK:
        yield Finding(name, said, "note", "Make room, or write elsewhere.")
    elif kind in _REMOTE:
        advice = "Small reads wait for a network: train on tiles that lie on a disk of this machine."
        yield Finding(name, said, "slow", advice)
    elif kind in _IN_MEMORY:
        yield Finding(name, said, "note", "What is kept there takes memory.")
    else:
        yield Finding(name, said)


def file_system(path: Path, mounts: Path = _MOUNTS) -> str:
    """The kind of the one that holds an absolute path, such as ext4; "" where the system does not say."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    found = [(point.replace("\\040", " "), kind) for _, point, kind, *_ in map(str.split, lines)]
    holding = [(len(Path(point).parts), kind) for point, kind in found if path.is_relative_to(point)]
    # Of several on one point, the last hides the others.
    return max(enumerate(holding), key=lambda one: (one[1][0], one[0]))[1][1] if holding else ""


def _gib(count: int) -> str:
    return f"{count / (1 << 30):,.1f} GiB"

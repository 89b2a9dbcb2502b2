"""Where networks run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tile2vec_cli.errors import UsageError
from tile2vec_cli.neural import device


def test_precision_is_as_asked() -> None:
    assert device.choose("cpu", "fp32").precision == "fp32"
    assert device.choose("cpu", "bf16").precision == "bf16"


def test_auto_takes_bf16_where_the_processor_has_it() -> None:
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    has = "avx512_bf16" in flags or "amx_bf16" in flags
    assert device.choose("cpu", "auto").precision == ("bf16" if has else "fp32")


def test_autocast_follows_the_precision() -> None:
    square = torch.ones(4, 4)
    with device.choose("cpu", "bf16").autocast():
        assert (square @ square).dtype == torch.bfloat16
    with device.choose("cpu", "fp32").autocast():
        assert (square @ square).dtype == torch.float32


def test_threads_are_those_the_job_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for granted, asked, threads in (("3", "", 3), ("1", "", 1), ("3", "2", 2), ("3", "8", 3), ("3", "0", 3)):
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", granted)
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        device.choose("cpu")
        assert torch.get_num_threads() == threads


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--device cuda: torch finds no GPU"):
        device.choose("cuda")
    assert device.choose("auto").name == "cpu"


def test_free_memory_is_within_the_machine() -> None:
    assert 0 < device.free_memory(torch.device("cpu")) < 2**50

"""What only a GPU can show; the benchmark for it runs anywhere."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import landscapes
import numpy as np
import pytest
import torch

from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding.forward import Forward
from tile2vec_cli.errors import DataError
from tile2vec_cli.learning.training import train
from tile2vec_cli.neural import batches, encoders, models
from tile2vec_cli.neural.device import Runtime, choose
from tile2vec_cli.tiling.tiles import TileSet

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu.py"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
CONFIG = TrainConfig(
    encoder="small", place=False, dim=16, batch_size=16, steps=120, val_fraction=0.2, device="cuda"
)

# Without what a machine with a GPU may lack.
BARE = """
import runpy, sys
missing = ("rasterio", "geopandas", "shapely", "pyproj", "safetensors", "matplotlib", "pandas")
sys.modules.update(dict.fromkeys(missing))
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return landscapes.make(tmp_path_factory.mktemp("gpu"))


def test_the_benchmark_runs_on_bare_torch(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    names = ["matmul bf16", "texture", "embed texture and place", "small, large, streamed", "waits"]
    command = [sys.executable, "-c", BARE, BENCHMARK, out, "--device", "cpu", "--quick", "--only", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["measurements"]
    assert list(found) == names
    assert not [row for row in found.values() if "error" in row]
    assert found["texture"]["triplets_per_second"] > 0
    most = 1 if choose("cpu").precision == "bf16" else math.inf  # emulated products are no measure
    assert 0 < found["embed texture and place"]["share_of_bf16_matmul"] < most


@needs_gpu
@pytest.mark.parametrize("compile", [False, True])
def test_streamed_pixels_train_as_resident_ones(
    data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compile: bool
) -> None:
    tiles, triplets = data
    config = replace(CONFIG, compile=compile)
    train(triplets, tiles, tmp_path / "resident", config)
    monkeypatch.setattr(batches, "free_memory", lambda _: 0)
    train(triplets, tiles, tmp_path / "streamed", config)
    resident, streamed = (models.metrics(tmp_path / name) for name in ("resident", "streamed"))
    assert [line["train_loss"] for line in resident] == [line["train_loss"] for line in streamed]
    weights = [(tmp_path / name / models.WEIGHTS).read_bytes() for name in ("resident", "streamed")]
    assert weights[0] == weights[1]


@needs_gpu
def test_the_cpu_does_not_wait_within_an_epoch(
    data: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third step on, until the first look."""

    def progress(done: int, _total: int) -> None:
        step = done // 16
        if step in (3, 19):
            torch.cuda.set_sync_debug_mode("error" if step == 3 else "default")

    tiles, triplets = data
    try:
        for free in (None, 0):
            if free is not None:
                monkeypatch.setattr(batches, "free_memory", lambda _: 0)
            config = replace(CONFIG, steps=40, val_fraction=0.0)
            train(triplets, tiles, tmp_path / str(free), config, on_progress=progress)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_gpu
def test_what_diverges_keeps_weights_that_are_numbers(data: tuple[Path, Path], tmp_path: Path) -> None:
    tiles, triplets = data
    with pytest.raises(DataError, match="finite numbers are needed"):
        train(triplets, tiles, tmp_path / "model", replace(CONFIG, lr=1e30))
    encoder, _ = models.load_encoder(tmp_path / ".model.training" / "last", torch.device("cpu"))
    assert all(torch.isfinite(tensor).all() for tensor in encoder.state_dict().values())


@needs_gpu
@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_a_gpu_embeds_as_a_cpu(data: tuple[Path, Path], name: str) -> None:
    parts = TileSet.open(data[0]).parts
    encoder = encoders.fused(encoders.untrained(name, 3, 32, [100.0] * 3, [50.0] * 3, seed=0))
    found = {}
    for runtime, batch_size in ((Runtime(torch.device("cpu"), "fp32"), 32), (choose("cuda", "fp32"), 100)):
        forward = Forward(encoder.to(runtime.device), runtime, batch_size)
        found[runtime.name] = [vectors for _, vectors in forward.vectors(parts, lambda *_: None)]
    for cpu, cuda in zip(found["cpu"], found["cuda"], strict=True):
        assert isinstance(cpu, np.ndarray) and isinstance(cuda, np.ndarray)
        assert np.allclose(cpu, cuda, rtol=1e-3, atol=1e-4 * np.abs(cpu).max())

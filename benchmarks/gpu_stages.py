"""What `gpu.py` measures, each stage by itself, on tiles in memory and by the package's own loops."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
from memory_tiles import BANDS, MEAN, STD, MemoryTiles
from torch import Tensor, nn
from torch.optim import Adam
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import safetensors  # noqa: F401
except ImportError:  # what the loop imports and never calls here
    sys.modules["safetensors"] = sys.modules["safetensors.torch"] = MagicMock()

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding.forward import Forward
from tile2vec_cli.learning import losses, optimise
from tile2vec_cli.learning.checkpoints import State
from tile2vec_cli.learning.examples import Examples
from tile2vec_cli.learning.loop import Run
from tile2vec_cli.learning.objectives import Task, chosen
from tile2vec_cli.learning.ranks import Ranks
from tile2vec_cli.neural import batches, device, encoders
from tile2vec_cli.neural.descriptors import FILTERS, Shape
from tile2vec_cli.neural.place import FACTORS, Place

BETAS, MARGIN, L2 = (0.5, 0.999), 10.0, 0.01
Found = dict[str, Any]


class Enough(Exception):
    """The measurement is made."""


class Unsaved(Run):
    """A run that has nothing to resume."""

    def save(self) -> None:
        pass


class Bench:
    """One device, one set of tiles, and sizes that suit it."""

    def __init__(self, name: str, quick: bool) -> None:
        self.runtime = device.choose(name)
        self.quick, self.on_gpu = quick, name == "cuda"
        self.tiles = MemoryTiles(300 if quick else 100_000, 8 if quick else 50)
        self.seconds = 0.2 if quick else 6.0
        self.paper, self.large = (8, 16) if quick else (50, 512)
        self.warm = 3 if quick else 20  # steps before a measurement
        self.matrix = 256 if quick else 8192
        numbers = np.random.default_rng(1).integers(0, self.tiles.count, (self.tiles.count, 3))
        self.triplets = numbers.astype(np.int64)
        self.limit = 0.0  # TFLOP/s

    def wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def network(self, name: str, dim: int | None = None, place: bool = False) -> encoders.Encoder:
        found = encoders.untrained(name, BANDS, dim or ENCODERS[name].dim, MEAN, STD, seed=0)
        if place:  # whatever its numbers are
            shape = Shape.of(BANDS, self.tiles.shape[-1], FILTERS)
            found.place = Place.empty(shape, sum(found.shares), FACTORS)
            for numbers in found.place.buffers():
                numbers.fill_(0.01)
        return found

    def rate(self, work: Callable[[], object]) -> float:
        """Calls a second."""
        for _ in range(3):
            work()
        self.wait()
        began, calls = time.perf_counter(), 0
        while time.perf_counter() < began + self.seconds / 2:
            work()
            calls += 1
            if calls % 20 == 0:
                self.wait()
        self.wait()
        return calls / (time.perf_counter() - began)

    # --- limits ----------------------------------------------------------------------------------

    def matmul(self, dtype: torch.dtype) -> Found:
        shape, place = (self.matrix, self.matrix), self.runtime.device
        one, other = (torch.randn(shape, device=place).to(dtype) for _ in "ab")
        found = self.rate(lambda: one @ other) * 2 * self.matrix**3 / 1e12
        if dtype == torch.bfloat16:
            self.limit = found
        return {"tflops": round(found, 3), "size": self.matrix}

    def arithmetic(self, network: encoders.Encoder, training: bool) -> float:
        """FLOP a tile, forward, or forward and back."""
        tile = torch.from_numpy(self.tiles.values[:2])
        with FlopCounterMode(display=False) as counter:
            vectors = network(tile)
            if training:
                vectors.sum().backward()
        return counter.get_total_flops() / 2

    def worth(self, network: encoders.Encoder, tiles_a_second: float, training: bool) -> Found:
        tflops = tiles_a_second * self.arithmetic(network, training) / 1e12
        share = round(tflops / self.limit, 4) if self.limit else None
        return {"tflops": round(tflops, 3), "share_of_bf16_matmul": share}

    # --- training --------------------------------------------------------------------------------

    def published(self, tf32: bool) -> Found:
        """Three passes in float32 and torch's default layout; each step's loss is asked for."""
        encoder = self.network("resnet18").to(self.runtime.device, memory_format=torch.contiguous_format)
        optimizer = Adam(encoder.parameters(), 1e-3, BETAS)
        size, shape = self.paper, self.tiles.shape[1:]
        pixels = torch.rand((3 * size, *shape), device=self.runtime.device)

        def step() -> None:
            optimizer.zero_grad()
            three = [encoder.columns[0](part) for part in pixels.chunk(3)]
            loss = losses.triplet_loss(*three, MARGIN, L2)
            loss.backward()
            optimizer.step()
            loss.item()

        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = tf32, False
        try:
            rate = self.rate(step) * size
        finally:
            device.choose(self.runtime.name)
        worth = self.worth(self.network("resnet18"), 3 * rate, True)
        return {"triplets_per_second": round(rate, 1), "batch": size, **worth}

    def run(self, name: str, batch: int, resident: bool, **settings: Any) -> Run:
        """A run of the real loop, as `train` sets it up."""
        config = TrainConfig(encoder=name, steps=10**9, batch_size=batch, val_fraction=0.0, **settings)
        ids = np.arange(self.tiles.count)
        pixels = batches.Pixels.of(self.tiles, ids, self.runtime.device)  # type: ignore[arg-type]
        if not resident:
            pixels = batches.Pixels(self.tiles, ids, pixels.device, None, pixels.dtype)  # type: ignore[arg-type]
        encoder = self.network(name, config.dim).to(self.runtime.device)
        row = ENCODERS[name]
        places = np.random.default_rng(2).uniform(0, 1e6, (self.tiles.count, 3))
        kinds = 3 if config.distants == "saved" else 2
        nothing = np.zeros(self.tiles.count, np.int64)
        examples = Examples(self.triplets[:, :kinds], self.triplets[:0], places, nothing, nothing)
        return Unsaved(
            config=config,
            runtime=self.runtime,
            checkpoint=Path("nowhere"),
            model=SimpleNamespace(architecture={"encoder": name, "bands": BANDS}),  # type: ignore[arg-type]
            pixels=pixels,
            task=Task(
                objective=chosen(config),
                examples=examples,
                places=torch.from_numpy(places).to(self.runtime.device),
                codes=torch.from_numpy(examples.codes).to(self.runtime.device),
                distant_min_m=100.0,
                standardise=encoder.standardise,
                heads=nn.ModuleList(nn.Identity() for _ in encoder.shares),
            ),
            val=self.triplets[:0],
            batch_size=batch,
            encoder=encoder,
            optimizer=Adam(encoder.parameters(), row.lr, BETAS, fused=True),
            lr=row.lr,
            state=State(),
            best=None,
            ranks=Ranks(),
        )

    def steps(
        self, run: Run, over: Callable[[int, float], bool], begin: Callable[[], object] = lambda: None
    ) -> tuple[int, float]:
        """Steps and seconds from the one after which `begin` is called until `over`, which is told both."""
        made, started = 0, 0.0

        def progress(done: int, _total: int) -> None:
            nonlocal made, started
            step = done // run.batch_size
            if step == self.warm:
                self.wait()
                begin()
                started = time.perf_counter()
            if step > self.warm and over(step - self.warm, time.perf_counter() - started):
                self.wait()
                made, started = step - self.warm, time.perf_counter() - started
                raise Enough

        with suppress(Enough):
            run.loop(progress)
        return made, started

    def training(
        self, name: str, batch: int, resident: bool = True, choose: bool = False, **settings: Any
    ) -> Found:
        """Triplets a second; `choose`: cudnn times its kernels, which then differ from run to run."""
        torch._dynamo.reset()
        run = self.run(name, batch, resident, **settings)
        torch.backends.cudnn.benchmark = choose
        try:
            made, seconds = self.steps(run, lambda _, seconds: seconds > self.seconds)
        finally:
            torch.backends.cudnn.benchmark = False
        rate = made * batch / seconds
        tiles = 3 if settings.get("distants") == "saved" else 2
        return {
            "triplets_per_second": round(rate, 1),
            "ms_per_step": round(1000 * seconds / made, 3),
            "batch": batch,
            "tiles_per_triplet": tiles,
            **self.worth(self.network(name, settings.get("dim")), tiles * rate, True),
        }

    def bounds(self, name: str, batch: int, **settings: Any) -> Found:
        """What a step's time is made of: kernels, how long the device is at work, and waits of the CPU."""
        torch._dynamo.reset()
        count = 5 if self.quick else 20
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * self.on_gpu
        profiler = profile(activities=activities, acc_events=True)
        run = self.run(name, batch, True, **settings)
        made, seconds = self.steps(run, lambda step, _: step >= count, profiler.start)
        profiler.stop()
        kind = torch.autograd.DeviceType.CUDA if self.on_gpu else torch.autograd.DeviceType.CPU
        rows = [row for row in profiler.key_averages() if row.device_type == kind]
        cost = "self_device_time_total" if self.on_gpu else "self_cpu_time_total"
        rows.sort(key=lambda row: -getattr(row, cost))
        busy_us = sum(getattr(row, cost) for row in rows)
        top = [
            {"name": row.key[:100], "us_per_step": round(getattr(row, cost) / made, 1)} for row in rows[:12]
        ]
        return {
            "batch": batch,
            "ms_per_step_profiled": round(1000 * seconds / made, 3),
            "device_busy_ms_per_step": round(busy_us / 1000 / made, 3),
            "kernels_per_step": sum(row.count for row in rows) / made,
            "top": top,
        }

    def waits(self, name: str, batch: int, resident: bool) -> Found:
        """How often the CPU waits for the GPU within the steps between two looks."""
        run = self.run(name, batch, resident)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            guard = torch.cuda.set_sync_debug_mode if self.on_gpu else lambda _: None
            made, _ = self.steps(run, lambda step, _: step >= 25, lambda: guard("warn"))
            guard("default")
        said = [str(warning.message) for warning in heard if "synchroniz" in str(warning.message)]
        return {"steps": made, "waits": len(said), "a_look_every": optimise.LOOK_EVERY[self.runtime.name]}

    # --- embedding -------------------------------------------------------------------------------

    def embedding(self, name: str, place: bool = False) -> Found:
        encoder = encoders.fused(self.network(name, place=place)).to(self.runtime.device)
        size = encoders.tiles_a_pass(name, self.runtime.name)
        forward = Forward(encoder, self.runtime, size)
        parts = [self.tiles] * (1 if self.quick else 2)
        for _ in range(2):  # the first one warms up
            began = time.perf_counter()
            for _, vectors in forward.vectors(parts, lambda *_: None):  # type: ignore[arg-type]
                assert isinstance(vectors, np.ndarray), vectors
            rate = len(parts) * self.tiles.count / (time.perf_counter() - began)
        pixels = torch.from_numpy(self.tiles.values[:size]).to(self.runtime.device)

        @torch.inference_mode()
        def alone() -> Tensor:
            with self.runtime.autocast():
                return encoder(pixels)

        bare = self.rate(alone) * len(pixels)
        return {
            "tiles_per_second": round(rate, 1),
            "network_alone": round(bare, 1),
            "share_of_it": round(rate / bare, 3),
            "batch": size,
            **self.worth(self.network(name, place=place), rate, False),
        }

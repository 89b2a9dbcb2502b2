"""Training, embedding, segmenting, mapping: the stages of run.py that run a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import limits
import numpy as np
import published
import torch
from embed import make_model
from limits import seconds
from map import alone, mapped
from map import make_model as make_segmenter
from rounds import Row, row
from tile import make_scene
from torch import nn
from torch.optim import Adam
from workbench import MEAN, STD, Bench, few

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.config.pipeline import EmbedConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.learning import losses, training
from tile2vec_cli.neural import encoders
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.segmentation import weak_recipes, weak_training
from tile2vec_cli.tiling.tiles import TileSet


def train(bench: Bench) -> Iterator[Row]:
    net = published.TileNet(4, MEAN, STD)
    rng = np.random.default_rng(0)

    def plain() -> float:
        chosen = rng.integers(len(bench.files), size=3 * published.BATCH)
        return published.BATCH / seconds(lambda: net.step(published.load([bench.files[k] for k in chosen])))

    plain()
    for name, distants, steps in (("resnet18", "saved", 4), ("small", "in-batch", 30)):
        size = ENCODERS[name].batch_size
        bare = bare_step(bench, name, distants)
        bare()
        yield row(
            f"train, {name}",
            "triplets",
            bench.rounds,
            lambda name=name, distants=distants, steps=steps: _trained(bench, name, distants, steps),
            plain,
            lambda bare=bare, size=size: 4 * size / seconds(lambda: [bare() for _ in range(4)]),
            "forward and backward alone",
        )
        matrix = limits.matrix_flops(bench.runtime)
        share = limits.flops(bare) / seconds(bare) / matrix
        print(f"{name}: forward and backward at {share:.0%} of {matrix / 1e9:,.0f} GFLOP/s", flush=True)


def bare_step(bench: Bench, name: str, distants: str) -> Callable[[], None]:
    """Forward and backward of a step on pixels in memory, without the update."""
    made = ENCODERS[name]
    encoder = encoders.untrained(name, 4, made.dim, MEAN, STD, 0).train()
    kinds = 3 if distants == "saved" else 2
    ids = np.random.default_rng(0).integers(len(bench.tiles), size=kinds * made.batch_size)
    pixels = torch.from_numpy(bench.tiles.pixels(ids)).to(bench.runtime.device)
    places = torch.from_numpy(bench.tiles.ecef[ids])
    far = losses.far_apart(places[: made.batch_size], places, 100.0)
    optimizer = Adam(encoder.parameters())

    def step() -> None:
        optimizer.zero_grad()
        with bench.runtime.autocast():
            vectors = encoder(pixels)
        found = []
        for part in encoder.parts(vectors):
            if kinds == 3:
                found.append(losses.triplet_loss(*part.chunk(3), 10.0, 0.01))
            else:
                found.append(losses.in_batch_loss(*part.chunk(2), far, 10.0, 0.01))
        torch.stack(found).mean().backward()

    return step


def _trained(bench: Bench, name: str, distants: str, steps: int) -> float:
    """Triplets a second of the product's loop, everything included but what happens once."""
    times: list[float] = []
    config = TrainConfig(encoder=name, distants=distants, steps=steps + 2, val_fraction=0, place=False)
    training.train(
        bench.triplets,
        bench.tiles.path,
        bench.free("model"),
        config,
        on_progress=lambda _done, _total: times.append(perf_counter()),
    )
    return steps * ENCODERS[name].batch_size / (times[-1] - times[1])


def embed(bench: Bench) -> Iterator[Row]:
    net = published.TileNet(4, MEAN, STD)
    some = bench.files[:40]
    for name in ("resnet18", "small"):
        made = ENCODERS[name]
        model = make_model(bench.folder, bench.tiles, name)
        encoder = encoders.untrained(name, 4, made.dim, MEAN, STD, 0)
        batch = torch.from_numpy(bench.tiles.pixels(np.arange(made.embed_batch_size)))
        bare = limits.forward(encoders.fused(encoder), batch.to(bench.runtime.device), bench.runtime)
        bare()
        tiles = bench.tiles if name == "small" else few(bench, 600)
        repeats = 20 if name == "small" else 4

        def ours(model: Path = model, tiles: TileSet = tiles) -> float:
            out = bench.free("vectors")
            report = inference.embed(tiles.path, model, out, EmbedConfig())
            return report.tiles_per_second or 0.0

        yield row(
            f"embed, {name}",
            "tiles",
            bench.rounds,
            ours,
            lambda: len(some) / seconds(lambda: net.embed(some)),
            lambda bare=bare, batch=batch, repeats=repeats: (
                repeats * len(batch) / seconds(lambda: [bare() for _ in range(repeats)])
            ),
            "forward alone",
        )


def weak_segment(bench: Bench) -> Iterator[Row]:
    size, steps = 32, 10
    plain = published.segmenting(weak_recipes.untrained("paper", 4, 0), bench.files)
    ids = np.arange(500)
    rng = np.random.default_rng(0)
    states = np.full((len(ids), 50, 50), 255, np.uint8)
    states[ids, rng.integers(50, size=len(ids)), rng.integers(50, size=len(ids))] = ids % 2
    lessons = weak_training.Lessons(bench.tiles, ids, states)
    plan = weak_training.Schedule(steps)

    def ours() -> float:
        network = weak_recipes.untrained("paper", 4, 0)
        arguments = (network, Standardise(MEAN, STD), lessons, plan, bench.runtime, 0)
        return size * steps / seconds(lambda: weak_training.train(*arguments))

    bare = _bare_segmenter(bench, weak_recipes.untrained("paper", 4, 0), size)
    bare()
    yield row(
        "weak-segment, a step of the paper's network",
        "tiles",
        bench.rounds,
        ours,
        lambda: 3 * size / seconds(lambda: [plain() for _ in range(3)]),
        lambda: steps * size / seconds(lambda: [bare() for _ in range(steps)]),
        "forward and backward alone",
    )


def _bare_segmenter(bench: Bench, network: nn.Module, size: int) -> Callable[[], None]:
    network.to(bench.runtime.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    x = torch.randn(size, 4, 64, 64).contiguous(memory_format=torch.channels_last).to(bench.runtime.device)

    def step() -> None:
        with bench.runtime.autocast():
            logits = network(x)
        logits.float().mean().backward()

    return step


def map_scenes(bench: Bench) -> Iterator[Row]:
    side = 1200
    scene = bench.folder / f"scene-{side}.tif"
    if not scene.exists():
        make_scene(scene, side)
    model = make_segmenter(bench.folder)
    plain = weak_recipes.untrained("paper", 4, 0)
    window = MapConfig().window
    yield row(
        "map",
        "pixels",
        bench.rounds,
        lambda: side**2 / mapped(scene, model, window, bench.free("maps")),
        lambda: side**2 / seconds(lambda: published.mapped(plain, scene)),
        lambda: side**2 / alone(scene, model, window),
        "the network alone",
    )

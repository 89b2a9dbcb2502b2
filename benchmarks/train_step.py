"""How much faster a training step is than three passes in float32: triplets/s of both, in one run.

python benchmarks/train_step.py [--encoder resnet18] [--batch-size 50] [--rounds 5] [--size 50]

The rival is the published way: anchors, neighbors and distants each go through the same network
by themselves, in float32 and torch's default layout. Ours is a step with saved distants: one
batch, channels-last, in bfloat16 where the processor has it. Steps of the two take turns, so
that a busy machine slows both. Forward, backward and Adam are in the time, reading tiles is not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import published
import torch
from command import argument_parser
from torch import Tensor
from torch.optim import Adam

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.learning import losses
from tile2vec_cli.learning.starts import BETAS
from tile2vec_cli.neural import device, encoders

MEAN, STD = [127.5] * 4, [73.9] * 4
Step = Callable[[Tensor], None]


def one_batch(name: str, runtime: device.Runtime) -> Step:
    encoder = encoders.untrained(name, 4, ENCODERS[name].dim, MEAN, STD, seed=0)
    optimizer = Adam(encoder.parameters(), 1e-3, BETAS, fused=True)

    def step(triplets: Tensor) -> None:
        optimizer.zero_grad()
        with runtime.autocast():
            vectors = encoder(triplets)
        losses.triplet_loss(*vectors.chunk(3), published.MARGIN, published.L2).backward()
        optimizer.step()

    return step


def seconds(step: Step, triplets: Tensor) -> float:
    started = time.perf_counter()
    step(triplets)
    return time.perf_counter() - started


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--encoder", default="resnet18", choices=ENCODERS)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=50)
    options = parser.parse_args()
    runtime = device.choose("cpu")
    random = torch.Generator().manual_seed(0)
    shape = (3 * options.batch_size, 4, options.size, options.size)
    triplets = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
    ways = {
        "three passes, fp32": published.TileNet(4, MEAN, STD, options.encoder).step,
        f"one batch, {runtime.precision}": one_batch(options.encoder, runtime),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for step in ways.values():
        seconds(step, triplets)  # the first step chooses kernels
    for _ in range(options.rounds):
        for way, step in ways.items():
            times[way].append(seconds(step, triplets))
    rates = {way: options.batch_size / statistics.median(found) for way, found in times.items()}
    slow, fast = rates.values()
    print(f"{options.encoder}, batch {options.batch_size}, {torch.get_num_threads()} threads\n")
    print("| step | triplets/s (median) | range |\n|---|---|---|")
    for way, rate in rates.items():
        least, most = options.batch_size / max(times[way]), options.batch_size / min(times[way])
        print(f"| {way} | {rate:.1f} | {least:.1f}–{most:.1f} |")
    print(f"\n{fast / slow:.2f} times as fast")


if __name__ == "__main__":
    main()

"""Where the time of a training step goes, by kind of operation.

    python benchmarks/kernels.py DIR [--encoder small]

Profiles forward and backward of the encoder on tiles in memory, and prints the share of each kind of
operation, then what the convolutions reach of a matrix product's arithmetic while they run.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import limits
from command import argument_parser
from network_stages import bare_step
from torch.profiler import ProfilerActivity, profile
from workbench import Bench

STEPS = 10
KINDS = {
    "convolution": ("mkldnn_convolution", "convolution_backward"),
    "batch norm": ("native_batch_norm", "native_batch_norm_backward"),
    "ReLU": ("relu", "relu_", "threshold_backward"),
    "addition": ("add_", "add", "sum"),
    "other types and layouts": ("copy_", "contiguous", "clone"),
}


def kind(name: str) -> str:
    plain = name.removeprefix("aten::")
    return next((kind for kind, names in KINDS.items() if plain in names), "all else")


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="small")
    options = parser.parse_args()
    bench = Bench.made(options.folder, quick=True)
    step = bare_step(bench, options.encoder, "saved" if options.encoder == "resnet18" else "in-batch")
    step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(STEPS):
            step()
    events = found.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    shares: dict[str, float] = defaultdict(float)
    for event in events:
        shares[kind(event.key)] += event.self_cpu_time_total / total
    print("| kind of operation | share of the time |\n|---|--:|")
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        print(f"| {name} | {share:.0%} |")
    matrix = limits.matrix_flops(bench.runtime)
    busy = shares["convolution"] * total / STEPS / 1e6  # seconds a step
    print(f"\nin convolutions {limits.flops(step) / busy / matrix:.0%} of {matrix / 1e9:,.0f} GFLOP/s")


if __name__ == "__main__":
    main()

"""What a GPU makes of training and embedding, beside the published way: one run, one JSON file.

    python benchmarks/gpu.py gpu.json [--device cpu --quick] [--minutes 7] [--only NAME...]

Needs torch and numpy alone: tiles are made in memory, and no model is written. Each measurement is
written down as soon as it is made; one that fails is a line with its error, and what does not fit
into the minutes is left out. Triplets of in-batch distants are two tiles each, others three, so
that TFLOP/s and their share of a matrix product in bfloat16 compare what triplets/s cannot. The
published way has its tiles on the GPU already, as float32, which spares it its files.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from command import argument_parser
from gpu_stages import Bench, Found


def plan(bench: Bench) -> dict[str, Callable[[], Found]]:
    """All measurements, the most telling ones first."""
    paper, large, huge = bench.paper, bench.large, 4 * bench.large
    small = bench.paper if bench.quick else 128
    train, streamed = bench.training, {"resident": False}
    found = {
        "matmul bf16": lambda: bench.matmul(torch.bfloat16),
        "matmul fp32": lambda: bench.matmul(torch.float32),
        "published, fp32": lambda: bench.published(tf32=False),
        "published, tf32 as torch has it": lambda: bench.published(tf32=True),
        "texture": lambda: train("texture", small),
        "texture, large": lambda: train("texture", huge),
        "texture, large, streamed": lambda: train("texture", huge, **streamed),
        "texture of 512 numbers": lambda: train("texture", small, dim=512),
        "texture of 512 numbers, large": lambda: train("texture", huge, dim=512),
        "embed texture": lambda: bench.embedding("texture"),
        "embed texture and place": lambda: bench.embedding("texture", place=True),
        "resnet18": lambda: train("resnet18", paper),
        "resnet18, large": lambda: train("resnet18", large),
        "resnet18, large, streamed": lambda: train("resnet18", large, **streamed),
        "resnet18, large, saved": lambda: train("resnet18", large, distants="saved"),
        "resnet18, large, cudnn chooses": lambda: train("resnet18", large, choose=True),
        "small": lambda: train("small", small),
        "small, large": lambda: train("small", huge),
        "small, large, streamed": lambda: train("small", huge, **streamed),
        "embed resnet18": lambda: bench.embedding("resnet18"),
        "embed small": lambda: bench.embedding("small"),
        "what bounds small": lambda: bench.bounds("small", small),
        "what bounds small, large": lambda: bench.bounds("small", huge),
        "what bounds resnet18, large": lambda: bench.bounds("resnet18", large),
        "what bounds texture": lambda: bench.bounds("texture", small),
        "waits": lambda: bench.waits("small", small, True),
        "waits, streamed": lambda: bench.waits("small", small, False),
    }
    if bench.quick:
        return found
    return found | {
        "texture, compiled": lambda: train("texture", small, compile=True),
        "small, compiled": lambda: train("small", small, compile=True),
        "resnet18, large, compiled": lambda: train("resnet18", large, compile=True),
        "small, large, compiled": lambda: train("small", huge, compile=True),
        "resnet18, compiled": lambda: train("resnet18", paper, compile=True),
        "what bounds small, compiled": lambda: bench.bounds("small", small, compile=True),
    }


def ratios(found: dict[str, Found]) -> Found:
    """Of the rates that were measured."""

    def rate(name: str) -> float | None:
        row = found.get(name, {})
        return row.get("triplets_per_second")

    pairs = {
        f"{name} / {rival}": (rate(name), rate(rival))
        for name in found
        if rate(name) and name.startswith("resnet18")
        for rival in found
        if rival.startswith("published")
    }
    for name in ("texture, large", "resnet18, large", "small, large"):
        pairs[f"{name}: streamed / resident"] = (rate(f"{name}, streamed"), rate(name))
    for name in ("texture", "resnet18", "resnet18, large", "small", "small, large"):
        pairs[f"{name}: compiled / not"] = (rate(f"{name}, compiled"), rate(name))
    return {name: round(one / other, 3) for name, (one, other) in pairs.items() if one and other}


def machine(bench: Bench) -> Found:
    found: Found = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    found |= {"device": bench.runtime.name, "precision": bench.runtime.precision}
    if bench.on_gpu:
        gpu = torch.cuda.get_device_properties(0)
        found |= {"gpu": gpu.name, "gib": round(gpu.total_memory / 2**30, 1)}
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return found


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="toy sizes: whether it works at all")
    parser.add_argument("--minutes", type=float, default=7.0, help="after which nothing more is begun")
    parser.add_argument("--only", nargs="+", default=[], help="these measurements")
    options = parser.parse_args()
    began = time.monotonic()
    bench = Bench(options.device, options.quick)
    found: dict[str, Found] = {}
    for name, measure in plan(bench).items():
        started = time.monotonic()
        if options.only and name not in options.only:
            continue
        if started > began + 60 * options.minutes:
            found[name] = {"skipped": "no time left"}
            continue
        try:
            found[name] = measure()
        except Exception as error:
            found[name] = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}
        found[name]["took_s"] = round(time.monotonic() - started, 1)
        print(f"{name}: {json.dumps(found[name])[:200]}", flush=True)
        if bench.on_gpu:
            torch.cuda.empty_cache()
        report = {"machine": machine(bench), "ratios": ratios(found), "measurements": found}
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

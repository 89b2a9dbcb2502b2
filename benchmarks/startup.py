"""How long `tile2vec --help` and each `COMMAND --help` take: median and best of several runs.

python benchmarks/startup.py [--runs 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = ("", "tile", "sample-triplets", "train", "embed", "probe", "demo")


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "tile2vec_cli", *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    print(f"{'command':<28}{'median ms':>10}{'best ms':>10}")
    for command in COMMANDS:
        arguments = [command, "--help"] if command else ["--help"]
        seconds(arguments)  # the first run fills the disk cache
        times = sorted(1000 * seconds(arguments) for _ in range(runs))
        print(f"{' '.join(['tile2vec', *arguments]):<28}{statistics.median(times):>10.0f}{times[0]:>10.0f}")


if __name__ == "__main__":
    main()

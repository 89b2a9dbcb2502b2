"""Kill and fail every command at every output operation, for as long as wished.

    python tests/faults/crash.py [--trials 10000] [--minutes 60] [--seed 0] [--commands tile,embed]

Goes through the operations of each command in turn; each trial kills the recovery as well, at a random
place. Every fourth trial meets a full disk or a bad block instead. Prints what struck and how often.
"""

from __future__ import annotations

import argparse
import errno
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cases import cases
from harness import KILL, build_shim, reference, server, survives


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000, help="faults that have to strike")
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", default="", help="names with commas; default: all")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    end = time.monotonic() + 60 * arguments.minutes
    struck: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shim = build_shim(folder)
        if shim is None:
            sys.exit("error: no C compiler (cc) on Linux; the faults need one.")
        with server(shim) as faults:
            chosen = arguments.commands.split(",") if arguments.commands else None
            todo = [case for case in cases(faults, folder) if chosen is None or case.name in chosen]
            references = [reference(faults, case) for case in todo]
            turn = 0
            while struck.total() < arguments.trials and time.monotonic() < end:
                turn += 1
                for case, (expected, count) in zip(todo, references, strict=True):
                    at = (turn - 1) % count + 1
                    action = rng.choice((errno.ENOSPC, errno.EIO)) if turn % 4 == 0 else KILL
                    hits = survives(faults, case, expected, (at, rng.randint(1, count)), action)
                    struck[f"{case.name} {'killed' if action == KILL else 'failed'}"] += hits
                if turn % 20 == 0:
                    print(f"{struck.total():,} faults, nothing lost", file=sys.stderr, flush=True)
    print(f"seed {arguments.seed}; {struck.total():,} faults; nothing lost")
    for what, number in sorted(struck.items()):
        print(f"  {what:<24}{number:>8,}")


if __name__ == "__main__":
    main()

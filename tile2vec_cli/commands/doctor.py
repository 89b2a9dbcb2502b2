"""`tile2vec doctor`: whether tile2vec can work here, and what would be slow."""

from __future__ import annotations

from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.console import Console


def doctor(*, console: Console, call: Call) -> None:
    """Look whether all that tile2vec needs works here, and what would be slow.

    One line for each library, the data of GDAL and PROJ, the device, the CPUs, threads and memory granted,
    and the disks; what is slow or broken, with what to do. Exits with 65 where something is broken.

    Example: tile2vec doctor
    """
    from tile2vec_cli.job.machine import Finding

    done = call()
    findings = [Finding(**one) for one in done.keys["findings"]]
    console.show(done, [(one.name, one.state, one.line) for one in findings])

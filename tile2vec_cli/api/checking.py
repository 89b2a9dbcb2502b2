"""Whether what lies on disk is what was written, and whether what tile2vec stands on works here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tile2vec_cli import checks
from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.job import libraries, machine
from tile2vec_cli.outputs.parts import Progress, silent


def check(path: Path, *, remove: bool = False, on_progress: Progress = silent) -> Outcome[None]:
    """Verify every fingerprint of a tile set, triplets, a model or embeddings."""
    report = checks.check(path, remove=remove, on_progress=on_progress)
    damaged = [failure.name for failure in report.damaged]
    keys = {"kind": report.kind, "checked": report.checked, "damaged": len(damaged), "failed": damaged}
    return Outcome("check", keys, [path], [], failed=report.damaged)


def doctor(*, on_progress: Progress = silent) -> Outcome[None]:
    """Examine libraries, data of GDAL and PROJ, device, memory and disks; `report["findings"]` lists them."""
    findings = [*libraries.examine(), *machine.examine()]
    broken = [one.failure for one in findings if one.state == "broken"]
    on_progress(len(findings), len(findings))
    keys = {"findings": [asdict(one) for one in findings], "failed": [failure.name for failure in broken]}
    return Outcome("doctor", keys, [], [], failed=broken)

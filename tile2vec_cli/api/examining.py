"""Whether what tile2vec stands on works here. Imports no library: one may be broken."""

from __future__ import annotations

from dataclasses import asdict

from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.job import libraries, machine
from tile2vec_cli.outputs.parts import Progress, silent


def doctor(*, on_progress: Progress = silent) -> Outcome[None]:
    """Examine libraries, data of GDAL and PROJ, device, memory and disks; `report["findings"]` lists them."""
    findings = [*libraries.examine(), *machine.examine()]
    broken = [one.failure for one in findings if one.state == "broken"]
    on_progress(len(findings), len(findings))
    keys = {"findings": [asdict(one) for one in findings], "failed": [failure.name for failure in broken]}
    return Outcome("doctor", keys, [], [], failed=broken)

"""Whether what lies on disk is what was written."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli import checks
from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.outputs.parts import Progress, silent


def check(path: Path, *, remove: bool = False, on_progress: Progress = silent) -> Outcome[None]:
    """Verify every fingerprint of a tile set, triplets, a model or embeddings."""
    report = checks.check(path, remove=remove, on_progress=on_progress)
    damaged = [failure.name for failure in report.damaged]
    keys = {"kind": report.kind, "checked": report.checked, "damaged": len(damaged), "failed": damaged}
    return Outcome("check", keys, [path], [], failed=report.damaged)

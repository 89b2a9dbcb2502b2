"""Models, and what they made, for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tile2vec_cli.api.outcomes import Outcome
from tile2vec_cli.catalogs import static
from tile2vec_cli.config.pipeline import ExportConfig, StacConfig
from tile2vec_cli.outputs.parts import Progress, silent


def export(
    model: Path, out: Path, config: ExportConfig, *, overwrite: bool = False, on_progress: Progress = silent
) -> Outcome[None]:
    """Export a model as one file that runs without tile2vec: .onnx, or .pt2 of torch.export."""
    from tile2vec_cli.exports import export_reports  # and torch, which no catalog needs

    report = export_reports.run(model, out, config, overwrite)
    on_progress(1, 1)
    return Outcome.of("export", report, model)


def stac(
    paths: Sequence[Path],
    out: Path,
    config: StacConfig,
    *,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Outcome[None]:
    """Put embeddings, maps and models into a self-contained static STAC catalog."""
    report = static.write(paths, out, config, overwrite=overwrite, on_progress=on_progress)
    return Outcome.of("stac", report, *paths)

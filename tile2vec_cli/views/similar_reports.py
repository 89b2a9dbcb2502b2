"""A search for similar tiles from files to files."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.config.views import SimilarConfig
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.records import Report
from tile2vec_cli.views import contact_sheets, near_reports, near_tables, similarity
from tile2vec_cli.views.contact_sheets import SHOWN, Group, Source
from tile2vec_cli.views.near_reports import Finding, Outputs
from tile2vec_cli.views.similarity import Found


def run(embeddings: Path, config: SimilarConfig, outputs: Outputs, on_progress: Progress = silent) -> Report:
    """Find the tiles; write what is not up to date. Errors as `near_reports.run` and `similarity.search`."""

    def find() -> Finding:
        found = similarity.search(embeddings, config, on_progress)
        rows = near_tables.rows(found.near)
        keys = {
            "similar": rows,
            "examples": list(found.examples),
            "counter_examples": list(found.counter_examples),
            "ruled_out": found.ruled_out,
        }
        return Finding(found.near, rows, keys, lambda source: _groups(found, source))

    return near_reports.run("similar", config.settings(), {"embeddings": embeddings}, outputs, find)


def _groups(found: Found, source: Source) -> list[Group]:
    groups = []
    for heading, ids, colour in (
        ("Example", found.examples[: SHOWN // 10], "blue"),
        ("Counter-example", found.counter_examples[: SHOWN // 10], "orange"),
    ):
        if ids:
            groups.append(source.group(heading + "s" * (len(ids) > 1), ids, colour=colour))
    return [*groups, contact_sheets.nearest("Nearest tiles", found.near[:SHOWN], source)]

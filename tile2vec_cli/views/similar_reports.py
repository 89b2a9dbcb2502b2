"""A search for similar tiles from files to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tile2vec_cli.config.views import SimilarConfig
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.records import Report
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import contact_sheets, near_reports, similarity
from tile2vec_cli.views.contact_sheets import SHOWN, Group, Source
from tile2vec_cli.views.mosaics import Placing
from tile2vec_cli.views.near_reports import Finding, Outputs
from tile2vec_cli.views.similarity import Found
from tile2vec_cli.views.value_maps import Maps

_TAGS = {
    "TILE2VEC_FORMAT": "tile2vec-similar/1",
    "TILE2VEC_VALUE": "Euclidean distance of a tile's vector to that of the nearest example: 0 at the "
    "examples, NaN where there is no tile or one nearer to a counter-example",
}


def run(embeddings: Path, config: SimilarConfig, outputs: Outputs, on_progress: Progress = silent) -> Report:
    """Find the tiles; write what is not up to date. Errors as `near_reports.run` and `similarity.search`."""

    def find() -> Finding:
        found = similarity.search(embeddings, config, on_progress)
        rows = near_reports.rows(found.near)
        keys = {
            "similar": rows,
            "examples": list(found.examples),
            "counter_examples": list(found.counter_examples),
            "ruled_out": found.ruled_out,
        }
        maps = None if outputs.raster is None else _maps(found, outputs.tiles)
        return Finding(
            near_reports.batch(rows, found.near), keys, lambda source: _groups(found, source), maps
        )

    return near_reports.run("similar", config.settings(), {"embeddings": embeddings}, outputs, find)


def _maps(found: Found, tiles: Path | None) -> Maps:
    """The distance of every tile. Raises DataError where the tiles lie on no grid."""
    placing = Placing(None if tiles is None else TileSet.open(tiles))
    placing.add_all(found.embeddings)
    placing.require_grids(found.embeddings.name)
    return Maps(placing.mosaics(), found.distances.astype(np.float32), _TAGS)


def _groups(found: Found, source: Source) -> list[Group]:
    groups = []
    for heading, ids, colour in (
        ("Example", found.examples[: SHOWN // 10], "blue"),
        ("Counter-example", found.counter_examples[: SHOWN // 10], "orange"),
    ):
        if ids:
            groups.append(source.group(heading + "s" * (len(ids) > 1), ids, colour=colour))
    return [*groups, contact_sheets.nearest("Nearest tiles", found.near[:SHOWN], source)]

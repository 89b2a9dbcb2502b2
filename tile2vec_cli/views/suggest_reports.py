"""Tiles to label from files to files: a table to fill in, and a contact sheet to label from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import SuggestConfig
from tile2vec_cli.geo import outlines
from tile2vec_cli.geo.feature_files import Batch
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.records import Keys, Report
from tile2vec_cli.views import contact_sheets, exemplars, near_reports, suggestions
from tile2vec_cli.views.contact_sheets import SHOWN, Group, Source
from tile2vec_cli.views.near_reports import Finding, Outputs
from tile2vec_cli.views.suggestions import Suggested

LABEL = "label"  # the column to fill in
_NUMBER = "number"  # in place of tile_id, which would be looked for in the embeddings
_TYPES = {
    "rank": pa.int64(),
    "tile_id": pa.string(),
    _NUMBER: pa.int64(),
    "scene": pa.string(),
    "row": pa.int64(),
    "col": pa.int64(),
    "longitude": pa.float64(),
    "latitude": pa.float64(),
    "uncertainty": pa.float64(),
    "stands_for": pa.int64(),
    LABEL: pa.string(),
}


def run(
    path: Path,
    labels: LabelSource | None,
    config: SuggestConfig,
    outputs: Outputs,
    on_progress: Progress = silent,
) -> Report:
    """Choose the tiles; write what is not up to date. Errors as `near_reports.run` and `suggest`."""

    def find() -> Finding:
        found = suggestions.suggest(path, labels, config, on_progress)
        rows = _rows(found)
        return Finding(_table(found, rows), _keys(found, rows), lambda source: _groups(found, source))

    inputs: dict[str, records.Input] = {"embeddings": path, "labels": labels}
    return near_reports.run("suggest", config.settings(), inputs, outputs, find)


def _rows(found: Suggested) -> list[dict[str, Any]]:
    """What there is to say of each tile; of those of others without ids, their number in the file."""
    rows: list[dict[str, Any]] = []
    scenes, centres = found.embeddings.scene, outlines.centres(found.embeddings.shapes(found.rows))
    for rank, (one, (lon, lat)) in enumerate(zip(found.tiles, centres.tolist(), strict=True), 1):
        row: dict[str, Any] = {"rank": rank}
        row["tile_id" if isinstance(one.tile_id, str) else _NUMBER] = one.tile_id
        if scenes is not None:
            row["scene"] = str(scenes[one.row])
        row |= _cell(one.tile_id)
        row |= {"longitude": lon, "latitude": lat, "uncertainty": one.uncertainty}
        if one.stands_for is not None:
            row["stands_for"] = one.stands_for
        rows.append(row)
    return rows


def _cell(tile_id: str | int) -> dict[str, int]:
    """The row and column of a tile whose id names them: "<scene>/<row>/<col>"."""
    _, *cell = exemplars.id_parts(str(tile_id))
    return dict(zip(("row", "col"), map(int, cell), strict=False))


def _table(found: Suggested, rows: list[dict[str, Any]]) -> Batch:
    names = [name for name in _TYPES if name == LABEL or any(name in row for row in rows)]
    schema = pa.schema([(name, _TYPES[name]) for name in names])
    return pa.Table.from_pylist(rows, schema), found.embeddings.shapes(found.rows)


def _keys(found: Suggested, rows: list[dict[str, Any]]) -> Keys:
    labels = found.labels
    keys: Keys = {
        "suggested": rows,
        "strategy": found.strategy,
        "labels_used": 0 if labels is None or found.classes < 2 else len(labels.labelled),
        "labelled": 0 if labels is None else len(labels.labelled),
        "classes": found.classes,
        "left_out": {} if labels is None else dict(labels.left_out),
    }
    if labels is not None and labels.rasters:
        keys["label_rasters"] = labels.rasters
    return keys


def _groups(found: Suggested, source: Source) -> list[Group]:
    ids = [one.tile_id for one in found.tiles[:SHOWN]]
    return [contact_sheets.named("To label next", ids, source)]

"""Rows and footer of a file of embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely
from scipy.stats import spearmanr

from tile2vec_cli.embedding import embedding_files
from tile2vec_cli.geo import geoparquet

DIM = 6


def some_index(count: int = 40) -> tuple[pa.Table, np.ndarray]:
    rng = np.random.default_rng(count)
    centres = np.array([10, 50]) + rng.uniform(0, 0.1, (count, 2))
    corners = centres[:, None] + 1e-4 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    table = pa.table(
        {
            "tile_id": [f"a/{i}/0" for i in range(count)],
            "scene": ["a"] * count,
            "row": pa.array(range(count), pa.int32()),
            "col": pa.array([0] * count, pa.int32()),
            "valid_share": pa.array([1.0] * count, pa.float32()),
            "datetime": pa.array([None] * count, pa.timestamp("ms", "UTC")),
        }
    )
    return geoparquet.with_footprints(table, corners), centres


def some_vectors(count: int = 40) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 3, (count, DIM)).astype(np.float32)


@pytest.mark.parametrize(
    ("dtype", "stored"), [("float32", "float"), ("float16", "halffloat"), ("int8", "int8")]
)
def test_rows_have_the_columns_of_the_contract(dtype: str, stored: str) -> None:
    scale = 0.1 if dtype == "int8" else None
    table = embedding_files.rows(some_index()[0], some_vectors(), dtype, scale)
    types = {field.name: str(field.type) for field in table.schema}
    assert list(types) == [
        *("tile_id", "scene", "row", "col", "datetime", "valid_share", "embedding", "geometry", "bbox")
    ]
    assert table.schema.field("embedding").type == pa.list_(
        table.schema.field("embedding").type.value_type, DIM
    )
    assert str(table.schema.field("embedding").type.value_type) == stored


def test_rows_keep_vector_and_tile_together() -> None:
    index, _ = some_index()
    vectors = some_vectors()
    table = embedding_files.rows(index, vectors, "float32", None)
    assert table["row"].to_pylist() != list(range(40))
    for row, vector, wkb in zip(
        *(table[n].to_pylist() for n in ("row", "embedding", "geometry")), strict=True
    ):
        assert vector == vectors[row].tolist()
        assert wkb == index["geometry"][row].as_py()


def test_int8_is_within_half_a_step() -> None:
    vectors = some_vectors()
    scale = embedding_files.int8_scale(float(np.abs(vectors).max()))
    table = embedding_files.rows(some_index()[0], vectors, "int8", scale)
    back = np.array(table["embedding"].to_pylist()) * scale
    assert np.abs(back - vectors[table["row"].to_numpy()]).max() <= scale / 2 + 1e-6
    assert np.abs(np.array(table["embedding"].to_pylist())).max() == 127
    assert embedding_files.int8_scale(0.0) == 1.0


# --- the Hilbert curve -------------------------------------------------------------------------


def test_the_order_is_a_hilbert_curve() -> None:
    cells = np.stack(np.meshgrid(np.arange(16), np.arange(16)), -1).reshape(-1, 2).astype(float)
    walk = cells[embedding_files.hilbert_order(cells)]
    assert (np.abs(np.diff(walk, axis=0)).sum(axis=1) == 1).all()  # each step goes to a cell beside


def test_the_order_is_that_of_geopandas() -> None:
    centres = np.random.default_rng(0).uniform(0, 1, (2000, 2))
    theirs = geopandas.GeoSeries(shapely.points(centres)).hilbert_distance()
    ours = np.empty(2000)
    ours[embedding_files.hilbert_order(centres)] = np.arange(2000)
    assert abs(spearmanr(theirs, ours).statistic) > 0.99


def test_the_order_of_few_places_and_of_those_at_the_antimeridian() -> None:
    assert embedding_files.hilbert_order(np.empty((0, 2))).tolist() == []
    assert embedding_files.hilbert_order(np.ones((3, 2))).tolist() == [0, 1, 2]
    lon = np.linspace(179.9, 180.1, 9)
    line = np.column_stack([(lon + 180) % 360 - 180, np.zeros(9)])
    assert embedding_files.hilbert_order(line).tolist() in (list(range(9)), list(reversed(range(9))))


# --- the footer --------------------------------------------------------------------------------


def test_the_footer_holds_the_fields_of_the_stac_extension() -> None:
    header = {
        "model": "abc",
        "architecture": {"encoder": "small", "bands": 4, "dim": DIM},
        "settings": {"dtype": "int8", "precision": "auto"},
        "parts": [{"name": "a", "fingerprint": "f"}],
    }
    layout = {"layout_type": "regular_grid", "chip_size": [50, 50], "stride": [25, 25]}
    found = embedding_files.footer(header, layout, 0.5)
    emb = json.loads(found["emb"])
    assert emb["type"] == "chip"
    assert emb["dimensions"] == DIM
    assert emb["data_type"] == "int8"
    assert emb["chip_layout"] == layout
    assert emb["quantization"]["method"] == "linear"
    assert emb["quantization"]["scale"] == [0.5]
    assert emb["model"]["fingerprint"] == "abc"
    own = embedding_files.header(found, Path("a.parquet"))
    assert own["format"] == "tile2vec-embeddings/1"
    assert own["scale"] == 0.5
    assert own["parts"] == header["parts"]


@pytest.mark.parametrize(
    "footer", [{}, {"tile2vec": "{"}, {"tile2vec": "[]"}, {"tile2vec": '{"format": "x/1"}'}]
)
def test_a_footer_of_others_has_no_header(footer: dict[str, str]) -> None:
    assert embedding_files.header(footer, Path("a.parquet")) == {}

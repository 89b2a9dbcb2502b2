"""GeoParquet 1.1: read by geopandas, DuckDB and against the rules of its schema."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import geopandas
import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import geoparquet, outlines

# What https://geoparquet.org/releases/v1.1.0 asks of the footer key `geo`.
BBOX = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
SIDE = {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}
SCHEMA = {
    "type": "object",
    "required": ["version", "primary_column", "columns"],
    "properties": {
        "version": {"const": "1.1.0"},
        "primary_column": {"type": "string", "minLength": 1},
        "columns": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "required": ["encoding", "geometry_types"],
                "properties": {
                    "encoding": {"enum": ["WKB", "point", "polygon", "multipolygon"]},
                    "geometry_types": {
                        "type": "array",
                        "uniqueItems": True,
                        "items": {"enum": ["Point", "Polygon", "MultiPolygon"]},
                    },
                    "crs": {
                        "type": ["object", "null"],
                        "required": ["type", "name", "coordinate_system", "id"],
                    },
                    "edges": {"enum": ["planar", "spherical"]},
                    "orientation": {"const": "counterclockwise"},
                    "bbox": BBOX,
                    "covering": {
                        "type": "object",
                        "required": ["bbox"],
                        "properties": {
                            "bbox": {
                                "type": "object",
                                "required": ["xmin", "xmax", "ymin", "ymax"],
                                "properties": dict.fromkeys(("xmin", "xmax", "ymin", "ymax"), SIDE),
                            }
                        },
                    },
                },
            },
        },
    },
}


def square(west: float, south: float, side: float = 0.01) -> np.ndarray:
    """Clockwise, as corners come from a scene whose rows go up."""
    east = (west + side + 180) % 360 - 180
    return np.array([[west, south], [west, south + side], [east, south + side], [east, south]])


def write(path: Path, corners: np.ndarray, **metadata: str) -> pa.Table:
    table = pa.table({"name": pa.array([f"tile {i}" for i in range(len(corners))])})
    table = geoparquet.with_footprints(table, corners)
    geoparquet.write(path, table, metadata)
    return table


def geo(path: Path) -> dict[str, Any]:
    return dict(json.loads(geoparquet.read_metadata(path)["geo"]))


@pytest.fixture
def corners() -> np.ndarray:
    return np.stack([square(10, 50), square(179.995, -17), square(-120.5, 37.25)])


def test_the_footer_obeys_the_schema(tmp_path: Path, corners: np.ndarray) -> None:
    path = tmp_path / "a.parquet"
    write(path, corners, other="kept")
    jsonschema.validate(geo(path), SCHEMA)
    column = geo(path)["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert column["geometry_types"] == ["Polygon", "MultiPolygon"]
    assert column["crs"]["id"] == {"authority": "OGC", "code": "CRS84"}
    assert column["bbox"] == [-180, -17, 180, 50.01]
    assert geoparquet.read_metadata(path)["other"] == "kept"
    # The covering leads to a struct of doubles that holds each row's geometry.
    schema = pq.read_schema(path)
    for name, field in column["covering"]["bbox"].values():
        assert schema.field(name).type.field(field).type == pa.float64()


def test_geopandas_reads_it(tmp_path: Path, corners: np.ndarray) -> None:
    path = tmp_path / "a.parquet"
    write(path, corners)
    frame = geopandas.read_parquet(path)
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry[0].bounds == pytest.approx((10, 50, 10.01, 50.01))
    assert frame.geometry.is_valid.all()
    near = geopandas.read_parquet(path, bbox=(-121, 37, -120, 38))
    assert list(near["name"]) == ["tile 2"]


def test_arrow_readers_see_all_of_the_footer(tmp_path: Path, corners: np.ndarray) -> None:
    path = tmp_path / "a.parquet"
    written = write(path, corners, emb="{}", tile2vec='{"format": "x"}')
    table = pq.read_table(path)
    footer = pq.ParquetFile(path).metadata.metadata
    assert set(table.schema.metadata) == {b"geo", b"emb", b"tile2vec"}
    assert all(footer[name] == value for name, value in table.schema.metadata.items())
    frame = geopandas.GeoDataFrame.from_arrow(table)
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.geom_equals_exact(geopandas.read_parquet(path).geometry, 0).all()
    assert geoparquet.read(path)[0].equals(written)  # and types such as fixed_size_list, see test_inference


def test_the_validator_finds_no_fault(tmp_path: Path, corners: np.ndarray) -> None:
    validator = shutil.which("geoparquet-validator", path=str(Path(sys.executable).parent))
    if validator is None:
        pytest.skip("geoparquet-validator is not installed")
    write(tmp_path / "a.parquet", corners, emb="{}")
    write(tmp_path / "none.parquet", np.empty((0, 4, 2)))
    for name in ("a", "none"):
        subprocess.run([validator, "check", tmp_path / f"{name}.parquet"], check=True, capture_output=True)


def test_duckdb_reads_it(tmp_path: Path, corners: np.ndarray) -> None:
    path = tmp_path / "a.parquet"
    write(path, corners)
    found = duckdb.sql(f"select name, bbox.xmin, bbox.ymax from '{path}' where bbox.xmin > 0").fetchall()
    assert found == [("tile 0", 10.0, 50.01)]
    keys = duckdb.sql(f"select decode(key) from parquet_kv_metadata('{path}')").fetchall()
    assert ("geo",) in keys


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, corners: np.ndarray) -> None:
    first, second = tmp_path / "a.parquet", tmp_path / "b" / "c.parquet"
    second.parent.mkdir()
    write(first, corners)
    write(second, corners)
    assert first.read_bytes() == second.read_bytes()


def test_row_groups_are_zstd_and_small_tables_share_one(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    lon = np.linspace(-170, 170, 70_000)
    corners = np.stack([lon, np.zeros_like(lon)], -1)[:, None] + square(0, 0) * 0.1
    table = geoparquet.with_footprints(pa.table({"i": np.arange(len(lon))}), corners)
    with geoparquet.writer(path, table.schema) as append:
        for start in range(0, len(table), 10_000):
            append(table.slice(start, 10_000))
    found = pq.ParquetFile(path).metadata
    assert [found.row_group(k).num_rows for k in range(found.num_row_groups)] == [65_536, 4_464]
    assert {found.row_group(0).column(k).compression for k in range(found.num_columns)} == {"ZSTD"}
    assert geoparquet.read(path)[0].equals(table)


def test_no_rows_make_a_valid_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(path, np.empty((0, 4, 2)))
    jsonschema.validate(geo(path), SCHEMA)
    assert len(geopandas.read_parquet(path)) == 0


# --- footprints ------------------------------------------------------------------------------


def test_rings_run_counter_clockwise_and_keep_their_digits() -> None:
    shape = outlines.polygons(square(-120.123456789, 37.1)[None])[0]
    assert shape.exterior.is_ccw
    assert set(shape.exterior.coords) == {tuple(corner) for corner in square(-120.123456789, 37.1)}


@given(
    west=st.floats(179.9901, 179.9999) | st.floats(-180, 179.98),
    south=st.floats(-80, 80),
    start=st.integers(0, 3),
    backwards=st.booleans(),
)
def test_a_footprint_is_cut_at_the_antimeridian(
    west: float, south: float, start: int, backwards: bool
) -> None:
    ring = np.roll(square(west, south)[:: -1 if backwards else 1], start, axis=0)
    shape = outlines.polygons(ring[None])[0]
    assert shape.is_valid
    assert shape.area == pytest.approx(1e-4, rel=1e-6)
    box = shapely.bounds(shape)
    assert -180 <= box[0] < box[2] <= 180
    crosses = west + 0.01 > 180
    assert shape.geom_type == ("MultiPolygon" if crosses else "Polygon")
    assert all(
        part.exterior.is_ccw and part.bounds[2] - part.bounds[0] < 0.011
        for part in getattr(shape, "geoms", [shape])
    )
    centre = outlines.centres(np.array([shape]))[0]
    assert abs((centre[0] - west - 0.005 + 180) % 360 - 180) < 1e-6
    assert centre[1] == pytest.approx(south + 0.005)


@pytest.mark.parametrize("west", [180.0, -180.0, 179.99])
def test_a_footprint_that_touches_the_antimeridian_stays_whole(west: float) -> None:
    shape = outlines.polygons(square(west, 10)[None])[0]
    assert shape.geom_type == "Polygon"
    assert shape.bounds[2] - shape.bounds[0] == pytest.approx(0.01)


@pytest.mark.parametrize("lat", [89.9, -89.9])
def test_a_footprint_around_a_pole_reaches_it(lat: float) -> None:
    ring = np.array([[45, lat], [135, lat], [-135, lat], [-45, lat]])
    shape = outlines.polygons(ring[None])[0]
    assert shape.is_valid
    assert shape.area == pytest.approx(36, rel=1e-6)
    assert shape.covers(shapely.Point(77, np.copysign(89.95, lat)))
    assert outlines.centres(np.array([shape]))[0].tolist() == [0, np.copysign(90, lat)]


def test_centres_of_points() -> None:
    points = shapely.points([[1.5, 2], [-179, 3]])
    assert outlines.centres(points).tolist() == [[1.5, 2], [-179, 3]]


# --- bad input -------------------------------------------------------------------------------


def test_missing_damaged_and_foreign_files(tmp_path: Path, corners: np.ndarray) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(InputError, match=r"a\.parquet: no such file"):
        geoparquet.read(path)
    with pytest.raises(InputError, match="cannot be read"):
        geoparquet.read(tmp_path)
    write(path, corners)
    with pytest.raises(DataError, match=r"a\.parquet: has no column 'x'"):
        geoparquet.read(path, ["x"])
    for damaged in (b"", b"PAR1", b"text\n", path.read_bytes()[:-10], path.read_bytes()[:50]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file") as caught:
            geoparquet.read(path)
        assert "\n" not in str(caught.value)


def test_a_path_with_an_equals_sign_adds_no_column(tmp_path: Path, corners: np.ndarray) -> None:
    folder = tmp_path / "year=2020"
    folder.mkdir()
    write(folder / "a.parquet", corners)
    table, _ = geoparquet.read(folder / "a.parquet")
    assert table.column_names == ["name", "geometry", "bbox"]

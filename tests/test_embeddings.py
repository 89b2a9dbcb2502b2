"""Reading embeddings: ours, other people's, and what is neither."""

from __future__ import annotations

import json
from mmap import mmap
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from embedded import decoded

from tile2vec_cli.embedding import embedding_files, embeddings
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import geoparquet
from tile2vec_cli.outputs import spools

VECTORS = np.random.default_rng(0).normal(0, 2, (5, 3)).astype(np.float32)
CENTRES = np.array([[10 + 0.001 * i, 50.0] for i in range(5)])


def save_own(path: Path, *, dtype: str = "float32", model: str = "m", vectors: np.ndarray = VECTORS) -> None:
    count = len(vectors)
    index = pa.table(
        {
            "tile_id": [f"{path.stem}/{i}/0" for i in range(count)],
            "scene": [path.stem] * count,
            "row": pa.array(range(count), pa.int32()),
            "col": pa.array([0] * count, pa.int32()),
            "valid_share": pa.array([1.0] * count, pa.float32()),
            "datetime": pa.array([1_600_000_000_000] * count, pa.timestamp("ms", "UTC")),
        }
    )
    corners = CENTRES[:count, None] + 2e-4 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    scale = embedding_files.int8_scale(float(np.abs(vectors).max())) if dtype == "int8" else None
    header = {
        "model": model,
        "architecture": {"encoder": "small", "dim": vectors.shape[1]},
        "settings": {"dtype": dtype},
        "parts": [],
    }
    table = embedding_files.rows(geoparquet.with_footprints(index, corners), vectors, dtype, scale)
    geoparquet.write(path, table, embedding_files.footer(header, {}, scale))


def save_foreign(
    path: Path,
    vectors: Any = None,
    *,
    name: str = "embedding",
    points: bool = True,
    crs: str | None = "OGC:CRS84",
    **columns: Any,
) -> None:
    """As other people's tools write it: geometry by geopandas, vectors as plain lists."""
    geometry = shapely.points(CENTRES) if points else shapely.buffer(shapely.points(CENTRES), 1e-4)
    frame = geopandas.GeoDataFrame(columns, geometry=list(geometry), crs="OGC:CRS84")
    frame = frame.to_crs(crs) if crs else frame.set_crs(None, allow_override=True)
    frame.to_parquet(path)
    if vectors is not None:
        table = pq.read_table(path)
        pq.write_table(table.append_column(name, vectors), path)


def lists(vectors: np.ndarray = VECTORS, kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(vectors.tolist(), pa.list_(kind or pa.float64()))


# --- ours --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0), ("float16", 2e-3), ("int8", 0.03)])
def test_what_is_written_is_read(tmp_path: Path, dtype: str, error: float) -> None:
    path = tmp_path / "a.parquet"
    save_own(path, dtype=dtype)
    found = Embeddings.open(path)
    order = np.argsort(found.tile_id)
    assert found.vectors.dtype == np.float32
    assert np.abs(found.vectors[order] - VECTORS).max() <= error
    assert np.allclose(found.lonlat[order], CENTRES, atol=1e-12)
    assert found.tile_id[order].tolist() == [f"a/{i}/0" for i in range(5)]
    assert set(found.scene) == {"a"}
    assert found.datetime[0] == np.datetime64(1_600_000_000_000, "ms")
    assert found.metadata["architecture"]["encoder"] == "small"
    # 4e-4 degrees at 50 north: 44.5 m north to south, 28.7 m east to west.
    assert found.side_m == pytest.approx(np.sqrt(44.497 * 28.681), rel=1e-3)


def test_a_folder_is_all_its_files(tmp_path: Path) -> None:
    save_own(tmp_path / "a.parquet")
    save_own(tmp_path / "b.parquet", dtype="int8")
    (tmp_path / ".tmp-123.parquet").write_text("half-written")
    (tmp_path / "manifest.json").write_text("{}")
    found = Embeddings.open(tmp_path)
    assert len(found) == 10
    assert set(found.scene) == {"a", "b"}
    assert found.path == tmp_path


def test_a_folder_of_several_models_is_refused(tmp_path: Path) -> None:
    save_own(tmp_path / "a.parquet")
    save_own(tmp_path / "b.parquet", model="other")
    with pytest.raises(DataError, match=r"b\.parquet: made by another model than .*a\.parquet"):
        decoded(tmp_path)
    save_foreign(tmp_path / "b.parquet", lists())
    with pytest.raises(DataError, match="made by another model"):
        decoded(tmp_path)
    (tmp_path / "a.parquet").unlink()
    save_foreign(tmp_path / "c.parquet", lists(VECTORS[:, :2]))
    with pytest.raises(DataError, match=r"c\.parquet: vectors of 2 numbers, but 3 in .*b\.parquet"):
        decoded(tmp_path)


def test_chunks_are_what_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_own(tmp_path / "a.parquet", dtype="int8")
    save_own(tmp_path / "b.parquet")
    whole = Embeddings.open(tmp_path)
    monkeypatch.setattr(embeddings, "CHUNK", 2)
    monkeypatch.setattr(spools, "_HELD", 10)
    mapped = Embeddings.open(tmp_path)
    pieces = [mapped.take(here) for here in mapped.chunks()]
    assert [len(piece) for piece in pieces] == [2, 2, 1, 2, 2, 1]
    assert all(isinstance(one, mmap) for one in mapped.rows.buffers)
    rows = np.array([9, 0, 3])
    assert (mapped.take(rows).vectors == whole.vectors[rows]).all()
    assert mapped.ids(rows) == whole.tile_id[rows].tolist()
    for name in ("vectors", "geometry", "tile_id", "scene", "datetime"):
        assert (np.concatenate([getattr(piece, name) for piece in pieces]) == getattr(whole, name)).all()
    save_own(tmp_path / "c.parquet", model="other")
    with pytest.raises(DataError, match="made by another model"):
        decoded(tmp_path)


# --- other people's ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["embedding", "embeddings"])
@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.float16()])
def test_lists_of_any_numbers(tmp_path: Path, name: str, kind: pa.DataType) -> None:
    path = tmp_path / "a.parquet"
    save_foreign(path, lists(kind=kind), name=name)
    found = Embeddings.open(path)
    assert np.allclose(found.vectors, VECTORS, atol=2e-3)
    assert found.tile_id is found.scene is found.datetime is None
    assert found.metadata == {}
    assert np.allclose(found.lonlat, CENTRES)
    assert found.side_m == 0


def test_other_lists(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for column in (
        pa.array(VECTORS.tolist(), pa.large_list(pa.float32())),
        pa.array(VECTORS.tolist(), pa.list_(pa.float32(), 3)),
    ):
        save_foreign(path, column)
        assert np.allclose(Embeddings.open(path).vectors, VECTORS)
    save_foreign(path, lists(np.arange(15).reshape(5, 3), pa.int8()))
    assert Embeddings.open(path).vectors.tolist() == np.arange(15).reshape(5, 3).tolist()


@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3857", "EPSG:3035"])
@pytest.mark.parametrize("points", [True, False])
def test_any_crs(tmp_path: Path, crs: str, points: bool) -> None:
    path = tmp_path / "a.parquet"
    save_foreign(path, lists(), crs=crs, points=points)
    found = Embeddings.open(path)
    assert np.allclose(found.lonlat, CENTRES, atol=1e-7)
    assert (found.side_m > 5) != points


def test_identity_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    times = pd.to_datetime(["2020-01-01"] * 5).tz_localize("UTC")
    save_foreign(path, lists(), tile_id=[1, 2, 3, 4, 5], scene=list("abcde"), datetime=times)
    found = Embeddings.open(path)
    assert found.tile_id.tolist() == list("12345")
    assert found.scene.tolist() == list("abcde")
    assert found.datetime[0] == np.datetime64("2020-01-01")


# --- neither -----------------------------------------------------------------------------------


def test_missing_files_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        decoded(tmp_path / "none.parquet")
    with pytest.raises(DataError, match=r"holds no \*\.parquet"):
        decoded(tmp_path)
    (tmp_path / "a.parquet").write_text("text")
    with pytest.raises(DataError, match=r"a\.parquet: not a whole Parquet file"):
        decoded(tmp_path)


def test_unusable_vectors(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"

    def refused(column: Any, words: str, **options: Any) -> None:
        save_foreign(path, column, **options)
        with pytest.raises(DataError, match=words) as caught:
            decoded(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)

    broken = VECTORS.copy()
    broken[1, 2], broken[3, 0] = np.nan, np.inf
    refused(lists(broken), "2 of 5 vectors hold NaN or infinity")
    refused(lists(), "has the columns geometry, other; one named embedding", name="other")
    refused(pa.array([1.0] * 5), "of type double; lists of numbers")
    refused(pa.array([["a"]] * 5), "lists of numbers")
    refused(pa.array([[1.0], [1.0, 2.0], [1.0], [1.0], [1.0]]), r"have lengths \[1, 2\]")
    refused(pa.array([[1.0], None, [1.0], [1.0], [1.0]]), r"row 1 \(of 0, 1, …\) has no vector")
    refused(pa.array([[]] * 5, pa.list_(pa.float32())), "have lengths")
    refused(pa.array([[1.0, None]] + [[1.0, 2.0]] * 4), "1 of 5 vectors")
    refused(lists(), "has no CRS", crs=None)


def test_unusable_geometry(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"embedding": lists()}), path)
    with pytest.raises(DataError, match="its footer describes no geometry"):
        decoded(path)
    save_foreign(path, lists())
    table = pq.read_table(path)
    for column, words in (
        (pa.array([b"junk"] * 5), "not valid WKB"),
        (pa.array([None] * 5, pa.binary()), "5 of 5 rows have no geometry"),
    ):
        pq.write_table(table.set_column(0, "geometry", column), path)
        with pytest.raises(DataError, match=words):
            decoded(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    geo["columns"]["geometry"]["encoding"] = "point"
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    with pytest.raises(DataError, match="encoded as point; a WKB column is needed"):
        decoded(path)


def test_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    save_foreign(path, lists())
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(DataError, match="holds no rows"):
        decoded(path)

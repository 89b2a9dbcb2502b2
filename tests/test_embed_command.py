"""`tile2vec embed` as a user runs it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from projects import DIM, write_model, write_scene


@pytest.fixture(scope="module")
def root(tile2vec: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiles/ with 2 parts of 9 tiles, and model/."""
    root = tmp_path_factory.mktemp("embed")
    for seed, name in enumerate(("a_2020-05-17", "b")):
        write_scene(root / "scenes" / f"{name}.tif", 500_000 + 1000 * seed, seed=seed, side=30)
    assert tile2vec("tile", root / "scenes", "--out", root / "tiles", "--size", 10).code == 0
    write_model(root / "model")
    return root


@pytest.fixture
def embed(tile2vec: Callable, root: Path) -> Callable:
    def run(*options: object) -> object:
        return tile2vec("embed", root / "tiles", "--model", root / "model", "--workers", 1, *options)

    return run


def test_one_file(embed: Callable, tmp_path: Path) -> None:
    out = tmp_path / "e.parquet"
    done = embed("--out", out, "--dtype", "float16", "--json")
    assert done.code == 0, done.err
    assert (done.report["tiles"], done.report["dim"]) == (18, DIM)
    assert done.report["tiles_per_second"] > 0
    assert done.report["outputs"] == [str(out)]
    schema = pq.read_schema(out)
    assert schema.names == [
        *("tile_id", "scene", "row", "col", "datetime", "valid_share", "embedding", "geometry", "bbox")
    ]
    assert schema.field("embedding").type == pa.list_(schema.field("embedding").type.value_field, DIM)
    assert schema.field("embedding").type.value_type == pa.float16()
    frame = geopandas.read_parquet(out)
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.is_valid.all()
    assert np.stack(frame["embedding"]).shape == (18, DIM)
    described = duckdb.sql(f"describe select embedding from '{out}'").fetchall()
    assert described[0][1] == "FLOAT[]"
    assert duckdb.sql(f"select count(*), count(distinct tile_id) from '{out}'").fetchall() == [(18, 18)]


def test_a_folder(embed: Callable, tmp_path: Path) -> None:
    out = tmp_path / "e"
    first = embed("--out", out, "--shard", "2/2", "--json").report
    assert (first["tiles"], first["made"]) == (9, 1)
    second = embed("--out", out, "--json").report
    assert (second["tiles"], second["made"]) == (18, 1)
    names = sorted(path.name for path in out.iterdir())
    assert names == ["a_2020-05-17.parquet", "b.parquet", "manifest.json"]
    again = embed("--out", out)
    assert again.code == 0
    assert "up to date" in again.err
    other = embed("--out", out, "--dtype", "int8")
    assert (other.code, other.err.count("\n"), other.out) == (65, 1, "")
    assert "dtype" in other.err
    assert "--overwrite" in other.err
    assert geopandas.read_parquet(out / "a_2020-05-17.parquet")["datetime"].dt.year.unique().tolist() == [
        2020
    ]


def test_a_model_without_weights(tile2vec: Callable, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "model", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    command = ("embed", root / "tiles", "--model", tmp_path / "model", "--out", tmp_path / "e")
    for done in (tile2vec(*command), tile2vec("check", tmp_path / "model")):
        assert (done.code, done.out.count("Traceback")) == (65, 0)
        assert "model.safetensors" in done.err and "Traceback" not in done.err
    assert not (tmp_path / "e").exists()


def test_bad_parts_are_named_and_retried(embed: Callable, root: Path, tmp_path: Path) -> None:
    pixels = root / "tiles" / "parts" / "b" / "pixels.npy"
    whole = shutil.copy(pixels, tmp_path / "whole.npy")
    out = tmp_path / "e"
    try:
        pixels.write_bytes(b"damaged")
        done = embed("--out", out, "--json")
        assert done.code == 65
        assert done.report["failed"] == ["b"]
        assert done.report["tiles"] == 9
        assert done.err.count("error: ") == 1
        assert "pixels.npy" in done.err
    finally:
        shutil.copy(whole, pixels)
    assert embed("--out", out, "--json").report["made"] == 1


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--dtype", "int4"), 2, "float32, float16, int8"),
        (("--batch-size", "0"), 2, "--batch-size 0"),
        (("--precision", "half"), 2, "--precision half"),
        (("--device", "tpu"), 2, "--device tpu"),
        (("--shard", "3/2"), 2, "--shard 3/2"),
        (("--model", "none"), 66, "none: no such folder"),
    ],
)
def test_bad_settings(
    embed: Callable, tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    done = embed("--out", tmp_path / "e", *options)
    assert (done.code, done.err.count("\n"), done.out) == (code, 1, "")
    assert words in done.err
    assert not (tmp_path / "e").exists()

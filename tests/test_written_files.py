"""What the files we write hold: dates where there are some, the footer for Arrow; older files still count."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SceneWriter
from projects import write_model

from tile2vec_cli.config.pipeline import EmbedConfig, TileConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.outputs.parts import dump_json, sha256_file
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tile_files import part_fingerprint
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]
DATED, UNDATED = "b_2020-05-17", "a"
FP32 = EmbedConfig(precision="fp32")


@pytest.fixture
def root(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> Path:
    """tiles/ of two scenes, one of which has a date, and model/."""
    for name in (DATED, UNDATED):
        write_scene(f"scenes/{name}.tif", noise(1, 20, 20))
    cut(tmp_path)
    write_model(tmp_path / "model", bands=1, dim=8)
    return tmp_path


def cut(root: Path) -> cutting.TileReport:
    scenes = sorted(map(str, (root / "scenes").glob("*.tif")))
    return cutting.cut(scenes, root / "tiles", TileConfig(size=10))


def embed(root: Path, out: str) -> int:
    return inference.embed(root / "tiles", root / "model", root / out, FP32, workers=1).made


def has_dates(path: Path) -> bool:
    return "datetime" in pq.read_schema(path).names


def make_older(path: Path) -> None:
    """As before: dates in any case, and nothing of the footer in the Arrow schema."""
    footer = pq.ParquetFile(path).metadata.metadata
    table = pq.read_table(path).replace_schema_metadata(None)
    if "datetime" not in table.column_names:
        nulls = pa.nulls(len(table), pa.timestamp("ms", "UTC"))
        table = table.add_column(table.column_names.index("valid_share"), "datetime", nulls)
    with pq.ParquetWriter(path, table.schema) as file:
        file.write_table(table)
        own = {key: value for key, value in footer.items() if key != b"ARROW:schema"}
        file.add_key_value_metadata(own)


def test_files_have_dates_where_a_tile_has_one(root: Path) -> None:
    embed(root, "e")
    embed(root, "e.parquet")
    for name in (DATED, UNDATED):
        assert has_dates(root / "tiles" / "parts" / name / "tiles.parquet") == (name == DATED)
        assert has_dates(root / "e" / f"{name}.parquet") == (name == DATED)
    assert has_dates(root / "e.parquet")
    day = np.datetime64("2020-05-17", "ms")
    tiles = TileSet.open(root / "tiles")
    assert tiles.table().num_rows == 8
    of = dict(zip(tiles.table()["tile_id"].to_pylist(), tiles.datetime, strict=True))
    for out in ("e", "e.parquet"):
        found = Embeddings.open(root / out)
        assert found.datetime is not None and found.tile_id is not None
        assert np.array_equal(found.datetime, [of[name] for name in found.tile_id], equal_nan=True)
        assert (found.datetime == day).sum() == np.isnat(found.datetime).sum() == 4
    (root / "scenes" / f"{DATED}.tif").rename(root / "scenes" / "c.tif")
    cutting.cut([str(root / "scenes" / "c.tif")], root / "undated", TileConfig(size=10))
    inference.embed(root / "undated", root / "model", root / "u.parquet", FP32, workers=1)
    assert not has_dates(root / "u.parquet")
    assert Embeddings.open(root / "u.parquet").datetime is None


def test_all_that_is_written_is_whole_geoparquet(root: Path) -> None:
    validator = Path(sys.executable).parent / "geoparquet-validator"
    embed(root, "e")
    for path in (root / "tiles" / "parts" / DATED / "tiles.parquet", root / "e" / f"{DATED}.parquet"):
        table = pq.read_table(path)
        frame = geopandas.GeoDataFrame.from_arrow(table)
        assert frame.geometry.geom_equals_exact(geopandas.read_parquet(path).geometry, 0).all()
        assert {b"geo"} <= set(table.schema.metadata) <= {b"geo", b"emb", b"tile2vec"}
        if validator.exists():
            subprocess.run([validator, "check", path], check=True, capture_output=True)
    assert pa.types.is_fixed_size_list(table.schema.field("embedding").type)
    assert json.loads(table.schema.metadata[b"emb"])["dimensions"] == 8
    assert json.loads(table.schema.metadata[b"tile2vec"])["format"] == "tile2vec-embeddings/1"


def test_what_older_versions_wrote_is_read_and_up_to_date(root: Path) -> None:
    for name in (DATED, UNDATED):
        part = root / "tiles" / "parts" / name
        make_older(part / "tiles.parquet")
        info = json.loads((part / "part.json").read_text())
        info["sha256"]["tiles.parquet"] = sha256_file(part / "tiles.parquet")
        (part / "part.json").write_text(dump_json({**info, "fingerprint": part_fingerprint(info)}))
    assert cut(root).made == 0
    TileSet.open(root / "tiles").parts[0].verify()
    for out in ("e", "e.parquet"):
        embed(root, out)
        files = list(root.glob(f"{out}/*.parquet")) or [root / out]
        new = Embeddings.open(root / out)
        for path in files:
            make_older(path)
        older = {path: path.read_bytes() for path in files}
        assert embed(root, out) == 0
        assert {path: path.read_bytes() for path in files} == older
        found = Embeddings.open(root / out)
        assert np.array_equal(found.vectors, new.vectors)
        assert found.datetime is not None and new.datetime is not None
        assert np.array_equal(found.datetime, new.datetime, equal_nan=True)

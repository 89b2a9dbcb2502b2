"""Triplets as they lie in their file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from some_tiles import SomePart, SomeTiles, draw, of_many_places

from tile2vec_cli.config.pipeline import TripletConfig
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.tiling import triplets


@pytest.fixture
def tiles() -> SomeTiles:
    return of_many_places()


@pytest.fixture
def path(tmp_path: Path, tiles: SomeTiles) -> Path:
    path = tmp_path / "t.parquet"
    triplets.save(path, draw(tiles, count=500))
    return path


def test_what_is_saved_is_loaded(path: Path, tiles: SomeTiles) -> None:
    expected = draw(tiles, count=500)
    found = triplets.load(path, tiles)  # type: ignore[arg-type]
    assert np.array_equal(found.ids, expected.ids)
    assert np.array_equal(found.distant_m, expected.distant_m)
    assert found.settings == expected.settings
    assert found.side_m == 30


def test_the_columns_are_those_of_the_contract(path: Path) -> None:
    schema = pq.read_schema(path)
    types = {name: str(schema.field(name).type) for name in schema.names}
    assert types == {
        "anchor": "int64",
        "neighbor": "int64",
        "distant": "int64",
        "neighbor_m": "float",
        "distant_m": "float",
    }
    header = json.loads(schema.metadata[b"tile2vec"])
    assert header["format"] == "tile2vec-triplets/1"
    assert header["parts"][0] == {"name": "a", "fingerprint": "of a", "count": 49}


def test_the_same_draw_gives_the_same_bytes(path: Path, tiles: SomeTiles, tmp_path: Path) -> None:
    triplets.save(tmp_path / "u.parquet", draw(tiles, count=500))
    assert (tmp_path / "u.parquet").read_bytes() == path.read_bytes()


def test_positions_follow_a_tile_set_that_has_grown(path: Path, tiles: SomeTiles) -> None:
    first, last = SomePart("0", "new", 3), SomePart("bb", "new", 2)
    parts = (first, *tiles.parts[:2], last, *tiles.parts[2:])
    lonlat = np.concatenate([np.ones((3, 2)), tiles.lonlat[:98], np.ones((2, 2)), tiles.lonlat[98:]])
    grown = SomeTiles(lonlat, parts)
    before, now = triplets.load(path, tiles), triplets.load(path, grown)  # type: ignore[arg-type]
    assert np.array_equal(tiles.lonlat[before.ids], grown.lonlat[now.ids])
    assert now.parts == tuple((p.name, p.fingerprint, p.count) for p in parts)


def test_a_changed_or_missing_part_is_named(path: Path, tiles: SomeTiles) -> None:
    changed = replace(tiles, parts=(replace(tiles.parts[0], fingerprint="other"), *tiles.parts[1:]))
    with pytest.raises(DataError, match=r"t\.parquet: drawn from part a as it was before it changed"):
        triplets.load(path, changed)  # type: ignore[arg-type]
    missing = SomeTiles(tiles.lonlat[:98], tiles.parts[:2])
    with pytest.raises(DataError, match=r"t\.parquet: drawn from part c, which tiles does not hold"):
        triplets.load(path, missing)  # type: ignore[arg-type]


def test_files_of_others_and_damaged_ones(tmp_path: Path, path: Path, tiles: SomeTiles) -> None:
    with pytest.raises(InputError, match="no such file"):
        triplets.load(tmp_path / "none.parquet", tiles)  # type: ignore[arg-type]
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match=r"other\.parquet: not a tile2vec-triplets/1 file"):
        triplets.load(tmp_path / "other.parquet", tiles)  # type: ignore[arg-type]
    header = {b"tile2vec": table.schema.metadata[b"tile2vec"]}
    pq.write_table(table.drop_columns("anchor").replace_schema_metadata(header), tmp_path / "less.parquet")
    with pytest.raises(DataError, match=r"less\.parquet: damaged"):
        triplets.load(tmp_path / "less.parquet", tiles)  # type: ignore[arg-type]
    outside = table.set_column(0, "anchor", [np.full(500, 10**6)]).replace_schema_metadata(header)
    pq.write_table(outside, tmp_path / "outside.parquet")
    with pytest.raises(DataError, match=r"outside\.parquet: names tiles outside"):
        triplets.load(tmp_path / "outside.parquet", tiles)  # type: ignore[arg-type]


def test_what_is_current(path: Path, tiles: SomeTiles, tmp_path: Path) -> None:
    def current(tiles: SomeTiles, *, overwrite: bool = False, **settings: Any) -> bool:
        config = TripletConfig(**{"count": 500, **settings})
        return triplets.is_current(path, tiles, config, overwrite=overwrite)  # type: ignore[arg-type]

    assert current(tiles)
    assert current(tiles, neighborhood_m=60)  # what the default came to
    # Another median side moves the default, which stays the default.
    assert current(replace(tiles, side_m=31))
    with pytest.raises(DataError, match="made with neighborhood_m = 60"):
        current(tiles, neighborhood_m=61)
    with pytest.raises(DataError, match=r"made with seed = 0; this run has 1.*--overwrite"):
        current(tiles, seed=1)
    assert not current(tiles, seed=1, overwrite=True)
    assert not current(replace(tiles, parts=(*tiles.parts, SomePart("e", "", 0))))
    path.write_text("not Parquet")
    with pytest.raises(DataError, match="exists and holds no triplets"):
        current(tiles)
    assert not current(tiles, overwrite=True)

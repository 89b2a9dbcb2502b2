"""Which files a folder of `embed` keeps, replaces and loses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from projects import content, embed, make

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import geoparquet


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path)


def test_files_of_parts_that_are_gone(root: Path) -> None:
    embed(root, "e")
    shutil.rmtree(root / "tiles" / "parts" / "a")
    shutil.copy(root / "e" / "b.parquet", root / "e" / "b+001.parquet")  # as if b had been cut in blocks
    report = embed(root, "e")
    assert (report.others, report.removed) == (1, 1)
    assert sorted(path.name for path in (root / "e").glob("*.parquet")) == [
        "a.parquet",
        "b.parquet",
        "c.parquet",
    ]


def test_files_of_a_users_own_stay(root: Path) -> None:
    embed(root, "e")
    embed(root, "whole.parquet")
    out = root / "e"
    table, _ = geoparquet.read(out / "b.parquet")
    geoparquet.write(out / "b+002.parquet", table.drop_columns("embedding"))  # a name as of a block
    shutil.copy(out / "b.parquet", out / "b-copy.parquet")
    shutil.copy(root / "whole.parquet", out / "a+003.parquet")
    before = content(out)
    for overwrite in (False, True):
        report = embed(root, "e", overwrite=overwrite)
        assert (report.others, report.removed) == (3, 0)
        assert content(out) == before


def test_a_users_file_of_a_name_that_is_needed(root: Path) -> None:
    path = root / "e" / "b.parquet"
    path.parent.mkdir()
    shutil.copy(root / "tiles" / "parts" / "b" / "tiles.parquet", path)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"b\.parquet: exists and is not what `embed` writes .*--overwrite"):
        embed(root, "e")
    assert path.read_bytes() == before
    assert embed(root, "e", overwrite=True).made == 3

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tile2vec_cli.errors import InputError, UsageError
from tile2vec_cli.geo.scene_lists import expand


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.tif", "a.TIFF", "c.vrt", "d.jp2", "notes.txt", "deep/e.tif"):
        path = tmp_path / "scenes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "scenes"


def names(paths: list[str]) -> list[str]:
    return [Path(path).name for path in paths]


def test_a_folder_means_its_rasters(folder: Path) -> None:
    assert names(expand([str(folder)])) == ["a.TIFF", "b.tif", "c.vrt", "d.jp2"]
    assert names(expand([str(folder)], recursive=True)) == ["a.TIFF", "b.tif", "c.vrt", "d.jp2", "e.tif"]


def test_a_link_to_nothing_is_a_raster_that_is_missing(folder: Path) -> None:
    (folder / "gone.tif").symlink_to(folder / "elsewhere.tif")
    (folder / "deep" / "gone.tif").symlink_to("gone.tif")  # to itself
    (folder / "folder.tif").symlink_to(folder / "deep")
    assert names(expand([str(folder)])) == ["a.TIFF", "b.tif", "c.vrt", "d.jp2", "gone.tif"]
    found = names(expand([str(folder)], recursive=True))
    assert found == ["a.TIFF", "b.tif", "c.vrt", "d.jp2", "e.tif", "gone.tif", "gone.tif"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_with_a_byte_order_mark(folder: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    (folder / "list.txt").write_text("a.TIFF\r\nb.tif\r\n", encoding=encoding)
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffc.vrt\n"))
    monkeypatch.chdir(folder)
    assert names(expand(["@list.txt", "-"])) == ["a.TIFF", "b.tif", "c.vrt"]


def test_a_list_of_find_print0(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "list").write_bytes(b"b.tif\0./two\nlines.tif\0")
    assert names(expand(["@list"])) == ["b.tif", "two\nlines.tif"]


def test_lists_and_stdin_and_paths_mix(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "list.txt").write_text("deep/e.tif\n\n  /vsicurl/https://host/x.tif  \n")
    monkeypatch.setattr("sys.stdin", io.StringIO("b.tif\nb.tif\n"))
    monkeypatch.chdir(folder)
    found = expand(["@list.txt", "-", "./a.TIFF", "s3://bucket/key.tif", "missing.tif"])
    assert names(found) == ["e.tif", "x.tif", "b.tif", "a.TIFF", "key.tif", "missing.tif"]
    assert found[1] == "/vsicurl/https://host/x.tif"
    assert found[3] == str(folder / "a.TIFF")


def test_nothing_to_be_found_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(InputError, match=r"no rasters.*--recursive"):
        expand([str(tmp_path / "empty")])
    with pytest.raises(InputError, match="No such file"):
        expand([f"@{tmp_path}/none.txt"])
    (tmp_path / "blank.txt").write_text("\n")
    with pytest.raises(UsageError):
        expand([f"@{tmp_path}/blank.txt"])

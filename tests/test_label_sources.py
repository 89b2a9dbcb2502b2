"""What --labels may name, and how a changed file is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from catalogs import catalog, item, keep, naip, served
from conftest import SceneWriter

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.errors import DataError, InputError, Tile2VecError, UsageError
from tile2vec_cli.labelling import labels
from tile2vec_cli.outputs import provenance, records


@pytest.fixture
def folder(write_scene: SceneWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("c", "a", "b"):
        write_scene(f"labels/{name}.tif", np.full((1, 4, 4), ord(name), np.uint8))
    (tmp_path / "labels" / "notes.txt").write_text("no raster")
    (tmp_path / "list.txt").write_text("labels/b.tif\nlabels/a.tif\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["labels"], "abc"),
        (["labels/*.tif"], "abc"),
        (["labels/[bc].tif"], "bc"),
        (["@list.txt"], "ba"),
        (["labels/c.tif", "labels"], "cab"),
        (["labels/b.tif", "./labels/../labels/b.tif"], "b"),
        (["labels/a.tif"], "a"),
    ],
)
def test_names_of_many_files(folder: Path, given: list[str], expected: str) -> None:
    found = labels.named(given)
    assert found.given == tuple(given)
    assert "".join(Path(path).stem for path in found.files) == expected
    assert all(Path(path).exists() for path in found.files)
    assert found.is_single == (given == ["labels/a.tif"])


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        (["none/*.tif"], InputError, r"none/\*\.tif: matches no file"),
        (["@none.txt"], InputError, r"none\.txt: No such file"),
        (["empty"], InputError, "empty: no rasters in this folder"),
        ([], UsageError, "--labels: names no file"),
    ],
)
def test_names_of_nothing(folder: Path, given: list[str], kind: type[Tile2VecError], text: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(kind, match=text):
        labels.named(given)


def test_several_files_are_all_rasters(folder: Path) -> None:
    (folder / "points.gpkg").touch()
    with pytest.raises(DataError, match=r"points\.gpkg: is not a raster; of several label files all must be"):
        labels.is_raster(labels.named(["labels/a.tif", "points.gpkg"]))
    with pytest.raises(UsageError, match=r"--label-band: points\.csv is not a raster"):
        labels.require_no_raster_options(labels.named(["points.csv"], 2))


@pytest.mark.parametrize(
    ("band", "nodata", "text"),
    [
        (0, (), "--label-band 0: needs a number of at least 1"),
        (None, (float("inf"),), "--label-nodata inf: needs a finite number"),
        (None, (1.0, float("nan")), "--label-nodata nan: needs a finite number"),
    ],
)
def test_settings_no_run_could_use(band: int | None, nodata: tuple[float, ...], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        LabelSource(("a.tif",), ("a.tif",), band, nodata)


def made_from(source: LabelSource | str, folder: Path) -> dict[str, object]:
    return records.made_from(folder / "out", {"seed": 0}, {"labels": source}, {})


def test_one_file_leaves_the_mark_it_always_left(folder: Path) -> None:
    path = str(folder / "labels" / "a.tif")
    expected = {
        "settings": {"labels": "../labels/a.tif", "seed": 0},
        "content": {"labels": provenance.content(path)},
    }
    assert made_from(path, folder) == made_from(labels.named([path]), folder) == expected


@pytest.mark.parametrize(
    "given", [["labels"], ["labels/*.tif"], ["@list.txt"], ["labels/a.tif", "labels/b.tif"]]
)
def test_a_change_of_any_file_is_told(folder: Path, write_scene: SceneWriter, given: list[str]) -> None:
    before = made_from(labels.named(given), folder)
    assert made_from(labels.named(given), folder) == before
    write_scene("labels/b.tif", np.full((1, 4, 4), 3, np.uint8))
    changed = made_from(labels.named(given), folder)
    assert changed["settings"] == before["settings"]
    assert changed["content"] != before["content"]
    write_scene("labels/d.tif", np.full((1, 4, 4), 3, np.uint8))
    assert (made_from(labels.named(given), folder) == changed) == (given[0] in ("@list.txt", "labels/a.tif"))


def test_the_order_and_the_options_are_told(folder: Path) -> None:
    names = ["labels/a.tif", "labels/b.tif"]
    plain = made_from(labels.named(names), folder)
    assert made_from(labels.named(names[::-1]), folder) != plain
    other = made_from(labels.named(names, 2, (0.0, -9999.0)), folder)
    assert other["settings"] == {**plain["settings"], "label_band": 2, "label_nodata": [-9999.0, 0.0]}  # type: ignore[dict-item]


def test_assets_of_items(folder: Path, write_scene: SceneWriter, tmp_path: Path) -> None:
    raster = str(folder / "labels/a.tif")
    assets = {"landcover": {"href": raster, "roles": ["data"]}, "extra": {"href": "labels/b.tif"}}
    assets["extra"]["bands"] = [{"name": "one"}, {"name": "two"}]
    keep(folder / "item.json", item("i", assets))
    keep(folder / "catalog.json", catalog("c", ("item", "item.json")))
    for given in ("item.json", "item.json#landcover", "catalog.json#landcover"):
        assert labels.named([given]).files == (raster,)
        assert made_from(labels.named([given]), folder) == made_from(labels.named([given]), folder)
    assert labels.named(["item.json#extra"]).files == (str(folder / "labels/b.tif"),)
    with pytest.raises(DataError, match="no asset or band none; it has landcover, extra"):
        labels.named(["item.json#none"])
    with pytest.raises(DataError, match="with --label-band 2"):
        labels.named(["item.json#two"])
    # Other files that end so are what they were.
    (folder / "areas.json").write_text('{"type": "FeatureCollection", "features": []}')
    assert labels.named(["areas.json"]).is_single


@pytest.mark.parametrize("key", ["", "#image"])
def test_a_document_of_a_server_is_asked_for_once(tmp_path: Path, key: str) -> None:
    keep(tmp_path / "item.json", naip("m_3708020", "m.tif"))
    with served(tmp_path) as shelf:
        found = labels.named([f"{shelf.url}/item.json{key}"])
    assert [Path(path).name for path in found.files] == ["m.tif"]
    assert shelf.asked == ["/item.json"]

"""`stac`: the published schemas of STAC and PySTAC as independent judges of a catalog as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from catalogued import hrefs, read, write_embeddings, write_map, write_model
from conftest import SceneWriter
from embedded import call

pystac = pytest.importorskip("pystac")

from pystac.validation.local_validator import LocalValidator  # noqa: E402

from tile2vec_cli.config.pipeline import StacConfig  # noqa: E402
from tile2vec_cli.errors import UsageError  # noqa: E402
from tile2vec_cli.geo import geoparquet  # noqa: E402


@pytest.fixture
def stac(capsys, monkeypatch):
    return lambda *arguments: call(capsys, monkeypatch, "stac", *arguments)


@pytest.fixture
def scene_map(write_scene: SceneWriter) -> Path:
    return write_map(write_scene)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")  # whose model.json its item must not be written over


def test_a_catalog_is_valid_and_whole(stac, tmp_path: Path, scene_map: Path, model: Path) -> None:
    out = tmp_path / "catalog"
    write_embeddings(tmp_path / "vectors" / "a.parquet", ("2021-05-18", "2021-08-27"))
    write_embeddings(tmp_path / "vectors" / "b.parquet", ("2022-01-01",))
    segmenter = write_model(tmp_path / "segmenter", "segmenter")
    done = stac(tmp_path / "vectors", scene_map.parent, scene_map, model, segmenter, "--out", out, "--json")
    assert done.code == 0, done.err
    assert [done.report[kind] for kind in ("embeddings", "maps", "models", "undated")] == [2, 1, 2, []]
    judge = LocalValidator()
    documents = [out / "catalog.json", *out.glob("*/collection.json"), *out.glob("*/*/item.json")]
    for path in documents:
        said = read(path)
        kind = {"Catalog": "catalog", "Collection": "collection", "Feature": "item"}[said["type"]]
        assert not list(getattr(judge, f"{kind}_validator")().iter_errors(said)), path
        for entry in (*said["links"], *said.get("assets", {}).values()):
            assert entry["href"].startswith(".") and (path.parent / entry["href"]).is_file()
        for asset in said.get("assets", {}).values():
            assert (path.parent / asset["href"]).stat().st_size == asset["file:size"]
    catalog = pystac.Catalog.from_file(str(out / "catalog.json"))
    items = {item.id: item for item in catalog.get_items(recursive=True)}
    assert items.keys() == {"a", "b", scene_map.stem, "model", "segmenter"}
    assert {item.get_collection().id for item in items.values()} == {
        f"tile2vec-{kind}" for kind in ("embeddings", "maps", "models")
    }
    extent = catalog.get_child("tile2vec-embeddings").extent
    assert extent.temporal.to_dict() == {"interval": [["2021-05-18T00:00:00Z", "2022-01-01T00:00:00Z"]]}
    np.testing.assert_allclose(extent.spatial.bboxes, [[8, 1, 8.2, 2]])
    copy = out / "models" / "model" / "model.json"
    assert copy.read_bytes() == (model / "model.json").read_bytes()


def test_embeddings_of_two_models_are_two_collections(stac, tmp_path: Path) -> None:
    one = write_embeddings(tmp_path / "a.parquet", ("2021-05-18",))
    two = write_embeddings(tmp_path / "b.parquet", ("2021-05-18",), model="other")
    assert stac(one, two, "--out", tmp_path / "catalog").code == 0
    found = {path.parent.name: read(path) for path in (tmp_path / "catalog").glob("*/collection.json")}
    assert {name: said["title"] for name, said in found.items()} == {
        "embeddings-1": "Embeddings of tiles 1",
        "embeddings-2": "Embeddings of tiles 2",
    }
    assert hrefs(found["embeddings-2"])["item"] == "./b/item.json"


def test_run_again(stac, tmp_path: Path, scene_map: Path) -> None:
    out, twin, maps = tmp_path / "catalog", tmp_path / "twin", scene_map.parent
    assert stac(maps, "--out", out).code == stac(scene_map, "--out", twin).code == 0
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    for more in ((), ("--overwrite",)):
        assert "up to date" in stac(maps, "--out", out, *more).err
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before
    for file in filter(Path.is_file, out.rglob("*")):
        assert file.read_bytes() == (twin / file.relative_to(out)).read_bytes()
    refused = stac(maps, "--out", out, "--title", "Farms")
    assert refused.code == 65 and "title" in refused.err and "--overwrite" in refused.err
    (out / "maps" / "notes.txt").write_text("mine")
    assert stac(maps, "--out", out, "--title", "Farms", "--overwrite").code == 0
    assert (out / "maps" / "notes.txt").read_text() == "mine"
    (maps / "late_2022-01-01.tif").write_bytes(scene_map.read_bytes())
    assert stac(maps, "--out", out, "--title", "Farms", "--json").report["maps"] == 2
    fewer = stac(scene_map, "--out", out, "--title", "Farms")
    assert fewer.code == 65 and "maps/late_2022-01-01" in fewer.err and "--overwrite" in fewer.err
    assert stac(scene_map, "--out", out, "--title", "Farms", "--overwrite").code == 0
    assert not (out / "maps" / "late_2022-01-01").exists()
    (out / "maps" / scene_map.stem / scene_map.name).unlink()
    assert "up to date" not in stac(maps, "--out", out, "--title", "Farms").err
    assert (out / "maps" / scene_map.stem / scene_map.name).read_bytes() == scene_map.read_bytes()


def test_what_is_refused(stac, tmp_path: Path, scene_map: Path) -> None:
    out = tmp_path / "catalog"
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    geoparquet.write(
        tmp_path / "t.parquet", geoparquet.read(write_embeddings(tmp_path / "v.parquet", (None,)))[0]
    )
    twin = tmp_path / "more" / scene_map.name
    twin.parent.mkdir()
    twin.write_bytes(scene_map.read_bytes())
    for paths, code, said in (
        ([tmp_path / "none"], 66, "no such"),
        ([tmp_path / "empty"], 65, "model folder"),
        ([tmp_path / "notes.txt"], 65, "embeddings"),
        ([tmp_path / "t.parquet"], 65, "t.parquet: no embeddings of ours"),
        ([scene_map, twin], 65, "farm_2021-05-18"),
    ):
        done = stac(*paths, "--out", out)
        assert done.code == code and said in done.err and done.err.count("\n") == 1
        assert not out.exists()
    assert stac(scene_map, "--out", twin.parent).code == 65  # other files are never replaced
    assert stac(scene_map, "--out", scene_map.parent).code == 2 and twin.exists() and scene_map.exists()
    for wrong in ({"id": "a b"}, {"license": "of mine"}, {"description": " "}):
        with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
            StacConfig(**wrong)

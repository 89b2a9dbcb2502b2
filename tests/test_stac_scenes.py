"""STAC items, collections, catalogs and search results as SCENES of `tile`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from catalogs import SIGNATURES, WHEN, Shelf, catalog, collected, earth_search, keep, naip, newest, served
from conftest import Run, SceneWriter

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, InputError, UsageError
from tile2vec_cli.geo.scene_lists import choose
from tile2vec_cli.geo.stac_catalogs import is_document
from tile2vec_cli.tiling.cutting import TileReport, cut
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]
CONFIG = TileConfig(size=10, assets=("red", "nir"))


@pytest.fixture
def shelf(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> Iterator[Shelf]:
    """Two Sentinel-2 items, S2A and S2B, in folders of their own, and a NAIP one."""
    for number, name in enumerate(("S2A", "S2B")):
        red, nir = noise(1, 40, 40, "uint16"), noise(1, 20, 20, "uint16") + number
        write_scene(f"c/{name}/B04.tif", red, tiled=True, blockxsize=16, blockysize=16)
        from_nir = rasterio.transform.from_origin(500_000, 4_400_000, 20, 20)
        write_scene(f"c/{name}/B08.tif", nir, transform=from_nir)
        keep(tmp_path / f"c/{name}.json", earth_search(name, f"./{name}/"))
    write_scene("n/m.tif", noise(4, 40, 40))
    keep(tmp_path / "n/m.json", naip("m_3708020", "m.tif"))
    with served(tmp_path) as found:
        yield found


def cut_into(out: Path, *arguments: object, config: TileConfig = CONFIG, by_path: bool = False) -> TileReport:
    chosen = choose([*map(str, arguments)], assets=config.assets, by_path=by_path)
    return cut(chosen.scenes, out, config, names=chosen.names, facts=chosen.facts)


def bands(folder: Path) -> np.ndarray:
    """What rasterio reads of an item's red and nir, the latter brought to 40 rows."""
    with rasterio.open(folder / "B04.tif") as red, rasterio.open(folder / "B08.tif") as nir:
        return np.concatenate([red.read(), nir.read().repeat(2, axis=1).repeat(2, axis=2)])


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("entry", ["c/S2A.json", "search.json", "catalog.json", "items.parquet"])
def test_all_kinds_of_documents(shelf: Shelf, tmp_path: Path, far: bool, entry: str) -> None:
    base = f"{shelf.url}/" if far else f"{tmp_path}/"
    items = [earth_search(name, f"{base}c/{name}/") for name in ("S2A", "S2B")]
    keep(tmp_path / "search.json", collected(*items))
    keep(tmp_path / "c/collection.json", catalog("c", *(("item", f"./{n}.json") for n in ("S2A", "S2B"))))
    keep(tmp_path / "catalog.json", catalog("root", ("child", "./c/collection.json"), ("self", "x")))
    write_geoparquet(tmp_path / "items.parquet", items)
    report = cut_into(tmp_path / "tiles", base + entry)
    tiles = TileSet.open(tmp_path / "tiles")
    assert tiles.scenes == ["S2A", "S2B"][: 1 if entry == "c/S2A.json" else 2]
    assert not report.failed and len(tiles) == 16 * len(tiles.scenes)
    expected = bands(tmp_path / "c" / tiles.scenes[-1])
    found = tiles.pixels(np.array([len(tiles) - 1 - 4]))[0]
    assert (found == expected[:, 20:30, 30:40]).all()
    assert tiles.band_names == ("red", "nir")
    assert set(tiles.datetime.astype(str)) == {WHEN[:23]}
    assert cut_into(tmp_path / "tiles", base + entry).made == 0


def write_geoparquet(path: Path, items: list[dict[str, Any]]) -> None:
    rows = [{k: v for k, v in one.items() if k not in ("geometry", "properties")} for one in items]
    rows = [{**row, **one["properties"]} for row, one in zip(rows, items, strict=True)]
    table = pa.Table.from_pylist([{k: v for k, v in row.items() if k != "links"} for row in rows])
    times = pa.array([datetime.fromisoformat(row["datetime"]) for row in rows], pa.timestamp("us", "UTC"))
    pq.write_table(table.set_column(table.column_names.index("datetime"), "datetime", times), path)


def test_assets_as_text_in_geoparquet(shelf: Shelf, tmp_path: Path) -> None:
    assets = json.dumps(naip("m", f"{tmp_path}/n/m.tif")["assets"])
    pq.write_table(pa.table({"id": ["m"], "assets": [assets]}), tmp_path / "items.parquet")
    cut_into(tmp_path / "tiles", tmp_path / "items.parquet", config=TileConfig(size=10))
    assert TileSet.open(tmp_path / "tiles").shape == (16, 4, 10, 10)


def test_catalogs_that_go_round(shelf: Shelf, tmp_path: Path) -> None:
    keep(tmp_path / "a.json", catalog("a", ("child", "b.json"), ("child", "a.json"), ("item", "c/S2A.json")))
    keep(tmp_path / "b.json", catalog("b", ("child", f"{tmp_path}/a.json"), ("item", "./c/../c/S2A.json")))
    found = choose([str(tmp_path / "a.json")], assets=("red", "nir"))
    assert list(found.names.values()) == ["S2A"]
    twice = collected(earth_search("one", "./c/S2A/"), earth_search("two", "./c/S2A/"))
    found = choose([str(keep(tmp_path / "twice.json", twice))], assets=("red", "nir"))
    assert found.left_out == {"other paths of the same file": 1}
    keep(tmp_path / "empty.json", catalog("e", ("child", "b.json")))
    keep(tmp_path / "b.json", catalog("b"))
    with pytest.raises(DataError, match=r"empty\.json: leads to no items"):
        choose([str(tmp_path / "empty.json")])


def test_one_bad_item_does_not_stop_the_others(shelf: Shelf, tmp_path: Path) -> None:
    without, gone = earth_search("less", "./c/S2A/"), earth_search("gone", "./nowhere/")
    del without["assets"]["nir"], without["assets"]["nir-jp2"]
    items = [without, gone, earth_search("S2B", "c/S2B/"), {"id": "odd", "assets": 3}]
    search = keep(tmp_path / "search.json", collected(*items))
    links = [("item", "search.json"), ("item", "none.json"), ("child", f"{shelf.url}/none.json")]
    root = keep(tmp_path / "root.json", catalog("root", *links))
    report = cut_into(tmp_path / "tiles", root)
    assert TileSet.open(tmp_path / "tiles").scenes == ["S2B"]
    said = {failure.message.partition(";")[0]: failure.exit_code for failure in report.failed}
    assert list(said.values()) == [65, 66, 65, 66, 66]
    texts = list(said)
    assert texts[0].startswith(f"{search}: item less has no asset or band nir")
    assert "B04.tif" in texts[1] and "item odd cannot be read" in texts[2]
    assert "none.json: No such file" in texts[3] and "HTTP 404" in texts[4]
    assert cut_into(tmp_path / "tiles", root).made == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "holds no JSON object"),
        ('{"type": "Topology"}', "says to be 'Topology'"),
        ('{"type": "FeatureCollection", "features": [{"type": "Feature"}]}', "features without assets"),
        ('{"type": "FeatureCollection", "features": []}', "leads to no items"),
        ('{"type": "Catalog", "links": 3}', "leads to no items"),
        ("\udcff", "is no JSON"),
    ],
)
def test_documents_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=rf"x\.json: .*{message}"):
        cut_into(tmp_path / "tiles", tmp_path / "x.json", config=TileConfig())
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"x\.parquet: cannot be read as Parquet"):
        cut_into(tmp_path / "tiles", tmp_path / "x.parquet", config=TileConfig())
    with pytest.raises(InputError, match=r"y\.json: No such file"):
        cut_into(tmp_path / "tiles", tmp_path / "y.json", config=TileConfig())


def test_options_that_do_not_go_together(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--assets: is of STAC items"):
        choose([str(tmp_path / "n/m.tif")], assets=("red",))
    with pytest.raises(UsageError, match="--stack: is of files"):
        choose([str(tmp_path / "c/S2A.json")], stack=("red",))


def test_one_id_in_two_collections(shelf: Shelf, tmp_path: Path) -> None:
    other = {**earth_search("S2A", "c/S2B/"), "collection": "mine/own"}
    keep(tmp_path / "both.json", collected(earth_search("S2A", "c/S2A/"), other))
    report = cut_into(tmp_path / "tiles", tmp_path / "both.json")
    assert [failure.exit_code for failure in report.failed] == [65, 65]
    assert "--name-by path" in report.failed[0].message
    cut_into(tmp_path / "apart", tmp_path / "both.json", by_path=True)
    assert TileSet.open(tmp_path / "apart").scenes == ["mine%2Fown/S2A", "sentinel-2-c1-l2a/S2A"]


def test_an_item_that_changes(shelf: Shelf, tmp_path: Path, write_scene: SceneWriter) -> None:
    search, out = tmp_path / "search.json", tmp_path / "tiles"
    keep(search, collected(earth_search("S2A", "c/S2A/"), earth_search("S2B", "c/S2B/")))
    assert cut_into(out, search).made == 2
    later = keep(tmp_path / "later.json", json.loads(search.read_text()))
    search.unlink()
    assert cut_into(out, later).made == 0  # another search that found the same
    keep(later, collected(earth_search("S2A", "new/"), earth_search("S2B", "c/S2B/")))
    write_scene("new/B04.tif", np.full((1, 40, 40), 5, np.uint16))
    write_scene("new/B08.tif", np.full((1, 40, 40), 6, np.uint16))
    assert cut_into(out, later).made == 1
    assert (TileSet.open(out).pixels(np.array([0]))[0, :, 0, 0] == [5, 6]).all()
    dated = earth_search("S2B", "c/S2B/", datetime="2022-01-01T00:00:00Z")
    keep(later, collected(earth_search("S2A", "new/"), dated))
    assert cut_into(out, later).made == 1
    os.utime(tmp_path / "new/B04.tif", (1, 1))
    assert cut_into(out, later).made == 0  # touched, and the same pixels


def test_scale_offset_and_nodata_of_the_item(shelf: Shelf, tmp_path: Path, write_scene: SceneWriter) -> None:
    pixels = np.arange(2 * 20 * 20, dtype=np.uint16).reshape(2, 20, 20)
    write_scene("two.tif", pixels)
    path = keep(tmp_path / "two.json", newest("two", "two.tif"))
    for virtual in (False, True):
        config = replace(CONFIG, scaled=True, virtual=virtual, min_valid=0.5)
        out = tmp_path / f"tiles{virtual}"
        cut_into(out, path, config=config)
        expected = np.stack([pixels[0] * np.float32(0.5) + 1, pixels[1] * np.float32(0.25)])
        found = TileSet.open(out).pixels(np.array([1, 3]))
        assert (found == np.stack([expected[:, :10, 10:], expected[:, 10:, 10:]])).all()
        valid = TileSet.open(out).valid(np.array([0]))[0]
        assert not valid[0, 9] and valid.sum() == 99  # 9 in the first band, whose own it is
        assert cut_into(out, path, config=config).made == 0


def test_the_command_line(tile2vec: Callable[..., Run], shelf: Shelf, tmp_path: Path) -> None:
    """Signed addresses are read, and stand nowhere; one page of a search is said to be one."""
    shelf.needed = "Signature=5ec4e7"
    items = [earth_search(name, f"{shelf.url}/c/{name}/") for name in ("S2A", "S2B")]
    for one in items:
        for asset in one["assets"].values():
            asset["href"] += f"?{SIGNATURES[0]}"
    more = {"numberMatched": 1234, "links": [{"rel": "next", "href": "https://h/?token=5ec4e7"}]}
    items.append(earth_search("S2C", f"{shelf.url}/c/S2A/nothing"))
    keep(tmp_path / "search.json", collected(*items, **more))
    out = tmp_path / "tiles"
    address = f"{shelf.url}/search.json?{SIGNATURES[1]}"
    call = ["tile", address, "--assets", "red,nir", "--size", 10, "--out", out, "--json"]
    run = tile2vec(*call)
    assert run.code == 66 and run.report["tiles"] == 32, run.err
    assert "holds one page of a search result, 3 items of 1,234" in run.err
    again = tile2vec(*call)
    assert again.report["made"] == 0
    failing = tile2vec(*call[:-1], "--strict")
    everything = [run.out, run.err, again.out, again.err, failing.out, failing.err]
    everything += [str(p.read_bytes()) + str(p) for p in out.rglob("*") if p.is_file()]
    for secret in ("5ec4e7", "AKIASECRET", "X-Amz", "skoid"):
        assert not [text for text in everything if secret in text], secret
    assert "up to date" in again.err
    # Signed anew, it is the same.
    keep(tmp_path / "search.json", json.loads((tmp_path / "search.json").read_text().replace("AKIA", "BKIA")))
    assert tile2vec(*call).report["made"] == 0
    later = tile2vec(*call[:-3], "--out", tmp_path / "later", "--virtual")
    assert later.code == 65 and "is signed for a time" in later.err and "5ec4e7" not in later.err
    other = tile2vec(*call[:2], "--assets", "nir,red", *call[4:])
    assert other.code == 65 and "assets" in other.err


def test_which_paths_are_documents() -> None:
    api = "https://earth-search.aws.element84.com/v1"
    for path in (
        "a.json",
        "/x/A.JSON",
        f"{api}/search?limit=3",
        f"{api}/collections/c/items/S2A",
        "i.parquet",
    ):
        assert is_document(path), path
    for path in ("a.tif", "/collections/c", f"{api}/a.tif", "https://h/x?f=a.json", "/search"):
        assert not is_document(path), path

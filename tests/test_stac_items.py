"""STAC items as scenes: which assets, in which order, and what is said of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from catalogs import COG, SIGNATURES, earth_search, item, landsat, naip, newest
from conftest import SceneWriter

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo import signed_urls, stacks
from tile2vec_cli.geo.scene_facts import BandFacts, Facts
from tile2vec_cli.geo.scenes import open_scene
from tile2vec_cli.geo.stac_items import located, scene

BASE = "https://example.com/c/item.json"


def chosen(found: dict[str, Any], *assets: str) -> tuple[list[str], Facts]:
    one = scene(found, BASE, assets or None)
    one.facts.require()
    return [path.rpartition("/")[2] for path in stacks.files(one.path)], one.facts


def refused(found: dict[str, Any], *assets: str) -> str:
    with pytest.raises(DataError) as caught:
        chosen(found, *assets)
    return str(caught.value)


def test_assets_by_key_and_by_names_of_bands() -> None:
    sentinel = earth_search("S2A", "./S2A/")
    assert chosen(sentinel, "nir", "red")[0] == ["B08.tif", "B04.tif"]
    # By band: neither the picture that holds red too, nor the same in JPEG 2000.
    assert chosen(sentinel, "B05", "B04")[0] == ["B05.tif", "B04.tif"]
    assert chosen(sentinel, "visual")[0] == ["TCI.tif"]
    assert chosen(sentinel, "green")[1].picks == ((0, 2),)  # nothing but the picture has it
    assert chosen(landsat("LC08", "./"), "nir08", "OLI_B4")[0] == ["SR_B5.TIF", "SR_B4.TIF"]
    files, facts = chosen(naip("m", "./m.tif"), "nir", "Red")
    assert (files, facts.picks, facts.names) == (["m.tif"], ((0, 4), (0, 1)), ("nir", "Red"))
    files, facts = chosen(newest("n", "n.tif"), "nir")
    assert (files, facts.picks) == (["n.tif"], ((0, 2),))


def test_the_only_raster_with_data() -> None:
    assert chosen(naip("m", "./m.tif"))[0] == ["m.tif"]
    assert chosen(item("i", {"a": {"href": "a.tif"}, "b": {"href": "b.csv"}}))[0] == ["a.tif"]
    said = refused(earth_search("S2A", "./"))
    assert "has 6 assets with data: red, nir, rededge1, red-jp2" in said and "--assets" in said
    assert "visual" not in said and "thumbnail" not in said
    assert "no raster among its assets: a" in refused(item("i", {"a": {"href": "a.csv"}}))


def test_what_is_refused_names_what_there_is() -> None:
    said = refused(earth_search("S2A", "./"), "red", "swir22")
    assert said.startswith(f"{BASE}: item S2A has no asset or band swir22; it has red, nir")
    twins = {k: {"href": f"{k}.tif", "type": COG, "eo:bands": [{"common_name": "rededge"}]} for k in "ab"}
    assert "several bands rededge, in a, b" in refused(item("i", twins), "rededge")
    assert "was taken at 'soon'" in refused(
        item("i", {"a": {"href": "a.tif"}}, properties={"datetime": "soon"})
    )


@pytest.mark.parametrize(
    "found",
    [
        {"id": "i", "assets": []},
        {"id": "i", "assets": {"a": {}}},
        {"id": "i", "assets": {"a": 7}},
        {"assets": {"a": {"href": "a.tif"}}},
        {"id": "i", "assets": {"a": {"href": "a.tif", "eo:bands": 7}}},
        {"id": "i", "assets": {"a": {"href": "a.tif"}}, "properties": []},
        {"id": "i", "assets": {"a": {"href": "a.tif"}}, "properties": "x"},
        {"id": "i", "assets": {"a": {"href": "a.tif", "nodata": "many"}}},
        {"id": "i", "assets": {"a": {"href": "a.tif", "nodata": [0]}}},
    ],
)
def test_items_that_are_none(found: dict[str, Any]) -> None:
    one = scene(found, BASE, None)
    if found.get("properties") == []:  # as good as none
        assert one.facts.error is None
        return
    with pytest.raises(DataError, match=r"^https://example\.com/c/item\.json: item .* cannot be read"):
        one.facts.require()


def test_dates() -> None:
    assert chosen(naip("m", "m.tif"))[1].datetime == datetime(2021, 5, 13, 17, 19, 1, 24000, UTC)
    assert chosen(newest("n", "n.tif"))[1].datetime == datetime(2019, 12, 31, 22, tzinfo=UTC)
    undated = item("i", {"a": {"href": "a.tif"}}, properties={"datetime": None})
    assert chosen(undated)[1].datetime is None


def test_what_is_said_of_bands() -> None:
    said = BandFacts(0, 0.0001, -0.1)
    assert chosen(earth_search("S2A", "./"), "red", "nir")[1].bands == ((said,), (said,))
    # Its provider has taken the offset off the pixels, and leaves it in the item.
    applied = earth_search("S2A", "./", **{"earthsearch:boa_offset_applied": True})
    assert chosen(applied, "red")[1].bands == ((BandFacts(0, 0.0001, None),),)
    assert chosen(newest("n", "n.tif"))[1].bands == ((BandFacts(9, 0.5, 1.0), BandFacts(7, 0.25, None)),)
    old = item("i", {"a": {"href": "a.tif", "file:nodata": "nan"}})
    assert np.isnan(chosen(old)[1].bands[0][0].nodata)


def test_facts_as_json_come_back() -> None:
    for found in (chosen(newest("n", "n.tif"), "nir")[1], chosen(earth_search("S", "./"), "red", "nir")[1]):
        assert Facts.of_json(found.as_json()) == found
    assert Facts.of_json(None) is None


@pytest.mark.parametrize(
    ("href", "base", "expected"),
    [
        ("./a.tif", "https://h/c/i.json", "https://h/c/a.tif"),
        ("../a.tif", "https://h/c/i.json?sig=5ec4e7", "https://h/a.tif"),
        ("/a.tif", "https://h/c/i.json", "https://h/a.tif"),
        ("a.tif", "s3://b/c/i.json", "/vsis3/b/c/a.tif"),
        ("s3://b/k/a.tif", "/x/i.json", "/vsis3/b/k/a.tif"),
        ("gs://b/a.tif", "/x/i.json", "/vsigs/b/a.tif"),
        ("https://h/a.tif?v=2", "/x/i.json", "https://h/a.tif?v=2"),
        ("/vsicurl/https://h/a.tif", "/x/i.json", "/vsicurl/https://h/a.tif"),
        ("./../a.tif", "/x/y/i.json", "/x/a.tif"),
        ("/d/a.tif", "/x/y/i.json", "/d/a.tif"),
        ("file:///d/a%20b.tif", "/x/i.json", "/d/a b.tif"),
        ("a%20b.tif", "/x/i.json", "/x/a b.tif"),
    ],
)
def test_links(href: str, base: str, expected: str) -> None:
    assert located(href, base) == expected


def test_signatures_are_taken_off_and_found_again() -> None:
    for number, signature in enumerate(SIGNATURES):
        bare = f"https://h/{number}.tif"
        assert signed_urls.admit(f"{bare}?{signature}") == bare
        assert signed_urls.signed(bare) == f"{bare}?{signature}"
        assert signed_urls.admit(f"{bare}?v=2&{signature}") == f"{bare}?v=2"
        assert signed_urls.known([bare, "/x.tif"]) == (f"{bare}?{signature}",)
        assert signed_urls.scrubbed(f"'{bare}?{signature}' failed") == f"'{bare}' failed"
    for plain in ("https://h/a.tif?st=1&se=2", "/data/what?sig=1.tif", "https://h/a.tif", "/vsis3/b/a.tif"):
        assert signed_urls.unsigned(plain) == plain


def test_stacks_of_any_files_come_apart_again() -> None:
    for files in (
        ["/d/x_B02.tif", "/d/x_B03.tif"],
        ["/d/a.tif", "/d/ab.tif"],
        ["https://h/a/1.tif?v=2", "/d/b,{c}.tif", "/vsis3/b/c.tif"],
        ["/a/B04.tif", "/b/B04.tif"],
    ):
        stack = stacks.parse(stacks.spelled(files))
        assert stack is not None and list(stack.files) == files
    assert stacks.spelled(["/d/x_B02.tif", "/d/x_B03.tif"]) == "/d/x_{B02,B03}.tif"
    assert stacks.spelled(["/d/a,b.tif"]) == "/d/a,b.tif"


def test_numbers_of_the_item_where_the_file_has_none(write_scene: SceneWriter) -> None:
    pixels = np.arange(1, 9, dtype=np.uint8).reshape(2, 2, 2)
    path = write_scene("n.tif", pixels)
    facts = chosen(newest("n", "n.tif"), "nir", "red")[1]
    with open_scene(str(path), scaled=True, facts=facts) as found:
        assert found.names == ("nir", "red")
        values, valid = found.read(0, 2)
        assert (values[:, 0, 0] == [5 * 0.25, 1 * 0.5 + 1]).all()
        assert valid is not None and not valid[1, 0]  # nodata 7 of the second band
    write_scene("n.tif", pixels, nodata=1)
    with open_scene(str(path), facts=facts) as found:
        assert found.raster.declared == (1, 1)
    with pytest.raises(DataError, match="has 2 bands"), open_scene(str(path), bands=[3], facts=facts):
        pass


def test_a_mask_counts_for_bands_that_are_picked(write_scene: SceneWriter, tmp_path: Path) -> None:
    pixels = np.full((4, 2, 2), 9, np.uint8)
    pixels[3] = [[255, 0], [255, 255]]
    path = write_scene("m.tif", pixels, photometric="RGB", alpha="YES")
    with open_scene(str(path), facts=chosen(naip("m", "m.tif"), "blue", "red")[1]) as found:
        assert found.bands == (3, 1)
        valid = found.read(0, 2)[1]
    assert valid is not None and valid.tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize("base", ["https://h/c/d/i.json", "/x/y/i.json"])
@pytest.mark.parametrize(
    "href", ["a.tif", "./b/a.tif", "../a.tif", "./../../a.tif", "https://o/a.tif", "/a.tif"]
)
def test_links_lead_where_pystac_says(href: str, base: str) -> None:
    pystac = pytest.importorskip("pystac")
    found = pystac.Item.from_dict({**naip("m", href), "bbox": [0, 0, 1, 1]})
    found.set_self_href(base)
    assert located(href, base) == found.assets["image"].get_absolute_href()

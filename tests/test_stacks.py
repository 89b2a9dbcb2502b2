"""Names of files in stacks, and how stacks are spelled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tile2vec_cli.geo import stacks
from tile2vec_cli.geo.scene_names import scene_name

LANDSAT, HLS = "LC08_L2SP_029032_20210513_20210524_02_T1", "HLS.S30.T14TNL.2021133T170901.v2.0"


@pytest.mark.parametrize(
    ("folder", "files", "names", "expected", "name"),
    [
        # Sentinel-2: resolutions are part of a band's name, and the finest one counts
        ("/d/", ["T_B02_10m.jp2", "T_B11_20m.jp2", "T_B02_20m.jp2"], "B11,B02", [1, 0], "T"),
        ("/d/", ["T_B02_10m.jp2", "T_B11_20m.jp2"], "B02_10m,B11_20m", [0, 1], "T"),
        ("/d/x.SAFE/", ["R20m/T_B11_20m.jp2", "R10m/T_B02_10m.jp2"], "B02,B11", [1, 0], "T"),
        ("/d/", ["T_B08.tif", "T_B8A.tif", "T_B8.tif"], "B8A,B8", [1, 2], "T"),
        (
            "/d/",
            [f"{LANDSAT}_{band}.TIF" for band in ("SR_B4", "SR_B5", "QA")],
            "SR_B5,SR_B4",
            [1, 0],
            LANDSAT,
        ),
        ("/d/", [f"{LANDSAT}_B{band}.TIF" for band in (1, 10, 11)], "B11,B1", [2, 0], LANDSAT),
        ("/d/", [f"{HLS}.{band}.tif" for band in ("B04", "B8A", "Fmask")], "B04,B8A", [0, 1], HLS),
        ("https://host/d/", ["B04.tif?sig=a/b", "B03.tif?sig=c"], "B03,B04", [1, 0], "d"),
        ("/d/", ["red_2021.tif", "infrared_2021.tif", "nir_2021.tif"], "nir,red", [2, 0], "2021"),
        ("/d/{a,b}/", ["x,{1}_red.tif", "x,{1}_nir.tif"], "red,nir", [0, 1], "x,{1}"),
        ("/vsizip//d/a.zip/in/", ["T_B02.jp2", "T_B03.jp2"], "B02,B03", [0, 1], "T"),
    ],
)
def test_files_alike_but_for_these_names(
    folder: str, files: list[str], names: str, expected: list[int], name: str
) -> None:
    paths = [folder + file for file in files]
    found = stacks.group(paths, names.split(","))
    (scene,) = found.scenes
    stack = stacks.parse(scene)
    assert stack is not None
    assert stack.files == tuple(paths[number] for number in expected)
    assert sorted(found.aside) == sorted(set(paths) - set(stack.files))
    assert stack.bands == tuple(band.partition("_10m")[0].partition("_20m")[0] for band in names.split(","))
    assert scene_name(scene) == name


def test_scenes_stay_apart() -> None:
    paths = [f"/{folder}/{day}_{band}.tif" for folder in "ab" for day in "12" for band in ("red", "nir")]
    found = stacks.group([*paths, "/a/3_red.tif", "/a/1_qa.tif"], ["red", "nir"])
    assert found.scenes == [f"/{f}/{d}_{{red,nir}}.tif" for f in "ab" for d in "12"] + ["/a/3_{red,nir}.tif"]
    assert found.aside == ["/a/1_qa.tif"]
    assert stacks.files(found.scenes[-1])[1] == "/a/3_nir.tif"  # where it should lie
    assert stacks.group(paths[:2], ["red"]).scenes == paths[:1]


@given(st.lists(st.text("ab{},\\._/", max_size=6), min_size=3, max_size=3))
def test_any_name_is_spelled_so_that_it_is_read_back(texts: list[str]) -> None:
    folder, left, right = (text.replace("/", "") for text in texts)
    paths = [f"/{folder}/{left}_{band}_{right}.tif" for band in ("red", "nir")]
    (scene,) = stacks.group(paths, ["red", "nir"]).scenes
    assert stacks.files(scene) == tuple(paths)


@pytest.mark.parametrize(
    "path", ["/d/x.tif", "/d/{x}.tif", '{"a":1,"b":2}', "/d/{a,b}/{c,d,e}.tif", "/d/\\{a,b\\}"]
)
def test_other_paths_are_no_stacks(path: str) -> None:
    assert stacks.parse(path) is None and stacks.files(path) == (path,)


@pytest.mark.parametrize(
    ("names", "bands"),
    [
        (["T_B02_10m.jp2", "T_B11_20m.jp2", "T_B8A_20m.jp2", "T_SCL_20m.jp2"], ("B02", "B8A", "B11")),
        ([f"{LANDSAT}_SR_B{band}.TIF" for band in (2, 10, 4)], ("SR_B2", "SR_B4", "SR_B10")),
        ([f"{HLS}.B{band}.tif" for band in ("04", "8A", "03")], ("B03", "B04", "B8A")),
        (["red.tif", "nir.tif", "visual.tif"], ("nir", "red")),
        (["a_B02.tif", "b_B03.tif"], None),  # of two scenes
        (["chico_2018_0.tif", "chico_2018_12.tif"], None),
        (["B02.tif"], None),
    ],
)
def test_single_bands_are_known_by_their_names(names: list[str], bands: tuple[str, ...] | None) -> None:
    found = stacks.likely([f"/d/{name}" for name in names])
    assert [folder.bands for folder in found] == ([] if bands is None else [bands])

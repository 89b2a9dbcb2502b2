from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
from conftest import SceneWriter

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.places import from_lonlat, ground_m, to_lonlat
from tile2vec_cli.geo.rasters import describe


def test_there_and_back() -> None:
    xy = np.random.default_rng(0).uniform((2e5, 4e6), (8e5, 5e6), (3, 4, 2))
    lonlat = to_lonlat("EPSG:32614", xy, "a.tif")
    expected = pyproj.Transformer.from_crs("EPSG:32614", "OGC:CRS84", always_xy=True).transform(*xy[1, 2])
    np.testing.assert_allclose(lonlat[1, 2], expected)
    np.testing.assert_allclose(from_lonlat("EPSG:32614", lonlat, "a.tif"), xy, atol=1e-6)


def test_longitudes_are_brought_home_and_the_sky_is_infinite() -> None:
    found = to_lonlat("EPSG:4326", np.array([[190.0, 10], [-181, -10], [12.5, 91], [-180, 0]]), "a.tif")
    assert found.tolist() == [[-170, 10], [179, -10], [np.inf, np.inf], [-180, 0]]


@pytest.mark.parametrize(
    "crs",
    [
        None,
        "IAU_2015:30100",
        'ENGCRS["x",EDATUM["y"],CS[Cartesian,2],AXIS["e",east],AXIS["n",north],UNIT["m",1]]',
    ],
)
def test_what_has_no_way_to_the_earth(crs: str | None) -> None:
    with pytest.raises(DataError, match=r"a\.tif: .*`rio edit-info"):
        to_lonlat(crs, np.zeros((1, 2)), "a.tif")


@pytest.mark.parametrize("crs", ['LOCAL_CS["local grid",UNIT["metre",1]]', "IAU_2015:49900"])
def test_the_advice_for_a_crs_without_a_way_to_the_earth_helps(
    crs: str, write_scene: SceneWriter, noise: Callable[..., np.ndarray]
) -> None:
    path = write_scene("local.tif", noise(1, 9, 9), crs=crs)
    raster = describe(str(path))
    with pytest.raises(
        DataError, match=r"local\.tif: its CRS, .*, has no way to places on the Earth"
    ) as raised:
        raster.bounds_lonlat  # noqa: B018
    command = str(raised.value).split("`")[1]
    subprocess.run(
        [str(Path(sys.executable).with_name("rio")), *command.split()[1:], "EPSG:32614", path], check=True
    )
    mine = describe(str(write_scene("utm.tif", noise(1, 9, 9))))
    assert describe(str(path)).bounds_lonlat == mine.bounds_lonlat


def test_ground_distances() -> None:
    here, there = np.array([[10.0, 50]]), np.array([[10.001, 50.001]])
    expected = pyproj.Geod(ellps="WGS84").inv(10, 50, 10.001, 50.001)[2]
    assert ground_m(here, there)[0] == pytest.approx(expected, abs=1e-3)

from __future__ import annotations

import numpy as np
import pyproj
import pytest

from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.places import from_lonlat, ground_m, to_lonlat


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
    with pytest.raises(DataError, match=r"a\.tif"):
        to_lonlat(crs, np.zeros((1, 2)), "a.tif")


def test_ground_distances() -> None:
    here, there = np.array([[10.0, 50]]), np.array([[10.001, 50.001]])
    expected = pyproj.Geod(ellps="WGS84").inv(10, 50, 10.001, 50.001)[2]
    assert ground_m(here, there)[0] == pytest.approx(expected, abs=1e-3)

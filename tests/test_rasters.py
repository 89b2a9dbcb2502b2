from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
from conftest import SceneWriter, real
from rasterio.warp import transform_bounds

from tile2vec_cli.geo.raster_files import identity
from tile2vec_cli.geo.rasters import describe

Noise = Callable[..., np.ndarray]


def test_a_raster_describes_itself(write_scene: SceneWriter, noise: Noise) -> None:
    path = write_scene(
        "a.tif", noise(2, 30, 40, "uint16"), nodata=7, tiled=True, blockxsize=16, blockysize=16
    )
    found = describe(str(path))
    assert (found.height, found.width, found.count, found.dtype) == (30, 40, 2, "uint16")
    assert found.nodata == (7.0, 7.0)
    assert found.block == (16, 16)
    assert found.alpha is None and not found.has_mask and not found.colours
    with rasterio.open(path) as source:
        expected = transform_bounds(source.crs, "OGC:CRS84", *source.bounds)
        assert pyproj.CRS(found.crs) == pyproj.CRS(source.crs.to_wkt())
    np.testing.assert_allclose(found.bounds_lonlat, expected, atol=1e-9)
    assert found.resolution_m == pytest.approx(10, rel=1e-3)


def test_resolution_of_degrees_is_in_metres(write_scene: SceneWriter, noise: Noise) -> None:
    transform = rasterio.transform.from_origin(10, 60.005, 0.0001, 0.0001)
    path = write_scene("a.tif", noise(1, 100, 100), crs="EPSG:4326", transform=transform)
    geod = pyproj.Geod(ellps="WGS84")
    across = geod.inv(10, 60, 10.0001, 60)[2]
    down = geod.inv(10, 60, 10, 60.0001)[2]
    assert describe(str(path)).resolution_m == pytest.approx(np.sqrt(across * down), rel=1e-3)


def test_without_a_position_it_is_not_georeferenced(write_scene: SceneWriter, noise: Noise) -> None:
    path = write_scene("a.tif", noise(1, 9, 9), crs=None)
    assert not describe(str(path)).is_georeferenced


@pytest.mark.parametrize(
    ("name", "tags", "expected"),
    [
        ("m_4709963_se_14_1_20090818.tif", {}, datetime(2009, 8, 18, tzinfo=UTC)),
        (
            "birch_2021-05-18.tif",
            {"TIFFTAG_DATETIME": "2024:01:01 00:00:00"},
            datetime(2021, 5, 18, tzinfo=UTC),
        ),
        ("x.tif", {"TIFFTAG_DATETIME": "2021:08:27 17:30:00"}, datetime(2021, 8, 27, 17, 30, tzinfo=UTC)),
        ("chico_2018_0.tif", {}, None),
        ("tile_20209999.tif", {"TIFFTAG_DATETIME": "nonsense"}, None),
    ],
)
def test_the_date_of_a_scene(
    write_scene: SceneWriter, noise: Noise, name: str, tags: dict[str, str], expected: datetime | None
) -> None:
    path = write_scene(name, noise(1, 4, 4))
    with rasterio.open(path, "r+") as target:
        target.update_tags(**tags)
    assert describe(str(path)).datetime == expected


def test_colours_of_a_palette() -> None:
    assert describe(str(real("cdl_kansas", "2021_30m_cdls.tif"))).colours[1] == (255, 211, 0)


def test_identity_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    before = identity(str(path))
    assert identity(str(path)) == before
    path.write_text("other")
    assert identity(str(path)) != before

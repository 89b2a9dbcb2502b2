"""Shapes beyond ±180 degrees, against their area and against places told by hand."""

from __future__ import annotations

import geopandas
import numpy as np
import pyproj
import pytest
import shapely

from tile2vec_cli.geo.places import wrapped

FIJI = [(177, -19), (183, -19), (183, -16), (177, -16)]
CUT = shapely.MultiPolygon([shapely.box(177, -19, 180, -16), shapely.box(-180, -19, -177, -16)])


def one(shape: shapely.Geometry) -> shapely.Geometry:
    return wrapped(np.array([shape], dtype=object))[0]


def jumping(ring: list[tuple[float, float]]) -> shapely.Polygon:
    """With longitudes within ±180, as a transformation leaves them."""
    return shapely.Polygon([((x + 180) % 360 - 180, y) for x, y in ring])


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Polygon(FIJI),
        shapely.Polygon([(x - 360, y) for x, y in FIJI]),
        jumping(FIJI),
        shapely.Polygon(FIJI[::-1]),
        shapely.MultiPolygon([shapely.box(177, -19, 180, -16), shapely.box(180, -19, 183, -16)]),
        CUT,
    ],
    ids=["on", "from the west", "jumping", "clockwise", "two parts", "cut already"],
)
def test_a_polygon_across_the_antimeridian_is_cut_there(shape: shapely.Geometry) -> None:
    found = one(shape)
    assert found.equals(CUT)
    assert shapely.bounds(found).tolist() == [-180, -19, 180, -16]


@pytest.mark.parametrize("turn", [-360, 0, 360])
def test_longitudes_of_another_turn_come_home(turn: int) -> None:
    assert one(shapely.box(-100 + turn, 30, -90 + turn, 40)).equals(shapely.box(-100, 30, -90, 40))
    assert shapely.get_coordinates(one(shapely.Point(-99 + turn, 40))).tolist() == [[-99, 40]]
    several = one(shapely.MultiPoint([(-99 + turn, 40), (5, 5)]))
    assert several.equals(shapely.MultiPoint([(-99, 40), (5, 5)]))


def test_a_hole_is_cut_with_its_polygon() -> None:
    hole = [(179, -18), (181, -18), (181, -17), (179, -17)]
    jumps = shapely.Polygon(jumping(FIJI).exterior, [jumping(hole).exterior])
    for shell in (shapely.Polygon(FIJI, [hole]), jumps):
        found = one(shell)
        assert found.area == pytest.approx(18 - 2)
        inside = shapely.intersects_xy(found, [-179.5, 179.5, -178, 178], [-17.5] * 4)
        assert inside.tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    "shape",
    [
        shapely.box(-180, -90, 180, 90),
        shapely.box(-180, 50, -120, 80),
        shapely.box(-170, -60, 0, 60),
        shapely.MultiPolygon([shapely.box(-179, 0, -178, 1), shapely.box(178, 0, 179, 1)]),
        shapely.Point(180, 0),
        shapely.Point(500_000, 4_400_000),  # metres, of a file whose CRS is wrong
    ],
)
def test_what_lies_within_is_left_as_it_is(shape: shapely.Geometry) -> None:
    assert one(shape) is shape


@pytest.mark.parametrize(("crs", "lat"), [("EPSG:3995", 90), ("EPSG:3031", -90)])
def test_a_ring_around_a_pole_reaches_up_to_it(crs: str, lat: int) -> None:
    disc = geopandas.GeoSeries([shapely.Point(0, 0).buffer(1e6)], crs=crs).to_crs("OGC:CRS84").to_numpy()
    found = wrapped(disc)[0]
    assert found.is_valid
    lon = np.arange(-180, 181, 30.0)
    near, far = np.full_like(lon, lat * 0.95), np.full_like(lon, lat * 0.85)
    assert shapely.intersects_xy(found, lon, near).all()
    assert not shapely.intersects_xy(found, lon, far).any()


@pytest.mark.parametrize("crs", ["EPSG:32660", "EPSG:32760", "EPSG:3832", "EPSG:3460"])
def test_transformed_polygons_have_the_area_they_had(crs: str) -> None:
    there = pyproj.Transformer.from_crs("OGC:CRS84", crs, always_xy=True)
    x, y = there.transform(180, -17 if crs != "EPSG:32660" else 17)
    squares = [shapely.box(x + dx, y, x + dx + 10_000, y + 10_000) for dx in (-20_000, -5_000, 0, 20_000)]
    flat = geopandas.GeoSeries(squares, crs=crs)
    found = wrapped(flat.to_crs("OGC:CRS84").to_numpy())
    geod = pyproj.Geod(ellps="WGS84")
    for shape, square in zip(found, squares, strict=True):
        west, _, east, _ = shape.bounds
        assert west >= -180 and east <= 180
        area = sum(abs(geod.geometry_area_perimeter(part)[0]) for part in shapely.get_parts(shape))
        dense = square.segmentize(100)
        ring = geopandas.GeoSeries([dense], crs=crs).to_crs("OGC:CRS84")[0]
        assert area == pytest.approx(abs(geod.geometry_area_perimeter(ring)[0]), rel=1e-3)

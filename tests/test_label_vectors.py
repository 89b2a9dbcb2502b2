"""Label polygons and points, against asking each polygon about each tile."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.labelling import label_kinds
from tile2vec_cli.labelling.votes import UNLABELLED, Votes

UTM = "EPSG:32614"
LEFT, TOP = 500_000, 4_400_000


def tiles(count: int = 10, side_m: float = 100) -> geopandas.GeoSeries:
    boxes = [
        shapely.box(
            LEFT + col * side_m, TOP - (row + 1) * side_m, LEFT + (col + 1) * side_m, TOP - row * side_m
        )
        for row in range(count)
        for col in range(count)
    ]
    return geopandas.GeoSeries(boxes, crs=UTM)


def lonlat(series: geopandas.GeoSeries) -> np.ndarray:
    return np.asarray(series.to_crs("OGC:CRS84").to_numpy())


def votes_of(
    path: Path, geometry: np.ndarray, field: str | None, layer: str | None = None
) -> tuple[Votes, str, tuple[float, ...] | None]:
    source = LabelSource((str(path),), (str(path),), layer=layer)
    return label_kinds.votes(source, geometry, None, field)


def named(votes: Votes, count: int) -> list[str | None]:
    codes = votes.majority(count)
    return [None if code == UNLABELLED else votes.classes[code] for code in codes]


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Thirty discs with a crop, in another CRS."""
    random = np.random.default_rng(1)
    places = shapely.points(LEFT + random.uniform(0, 1000, 30), TOP - random.uniform(0, 1000, 30))
    discs = shapely.buffer(places, random.uniform(20, 200, 30))
    frame = geopandas.GeoDataFrame(
        {"crop": [f"crop {k % 3}" for k in range(30)], "n": range(30)}, geometry=discs, crs=UTM
    )
    path = tmp_path / "fields.gpkg"
    frame.to_crs("EPSG:5070").to_file(path, layer="fields")
    return path


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp", "fgb", "parquet"])
def test_the_smallest_polygon_that_holds_the_centre(fields: Path, suffix: str) -> None:
    frame = geopandas.read_file(fields)
    path = fields.with_name(f"labels.{suffix}")
    frame.to_parquet(path) if suffix == "parquet" else frame.to_file(path)
    votes, kind, _ = votes_of(path, lonlat(tiles()), "crop")
    expected: list[str | None] = []
    discs = frame.to_crs(UTM)
    for tile in tiles():
        holders = discs[discs.geometry.contains(tile.centroid)]
        smallest = holders.geometry.area.argmin() if len(holders) else None
        expected.append(None if smallest is None else holders.crop.iloc[smallest])
    assert kind == "polygons"
    assert named(votes, 100) == expected
    assert None in expected
    assert len(set(expected)) == 4


def test_points_decide_by_majority(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    x, y = LEFT + random.uniform(-50, 1050, 400), TOP - random.uniform(-50, 1050, 400)
    names = random.choice(["wheat", "maize"], 400)
    frame = geopandas.GeoDataFrame({"crop": names}, geometry=shapely.points(x, y), crs=UTM)
    frame.to_crs("EPSG:3857").to_file(tmp_path / "points.gpkg")
    votes, kind, _ = votes_of(tmp_path / "points.gpkg", lonlat(tiles()), "crop")
    expected = []
    for tile in tiles():
        counts = frame[frame.geometry.within(tile)].crop.value_counts()
        tied = len(counts) == 0 or (len(counts) > 1 and counts.iloc[0] == counts.iloc[1])
        expected.append(None if tied else counts.index[0])
    assert kind == "points"
    assert named(votes, 100) == expected


def test_several_points_in_one_feature(tmp_path: Path) -> None:
    points = shapely.MultiPoint([(LEFT + 10, TOP - 10), (LEFT + 20, TOP - 10), (LEFT + 110, TOP - 10)])
    frame = geopandas.GeoDataFrame({"crop": ["rye"]}, geometry=[points], crs=UTM)
    frame.to_file(tmp_path / "points.gpkg")
    votes, _, _ = votes_of(tmp_path / "points.gpkg", lonlat(tiles(2)), None)
    assert votes.total(4).tolist() == [2, 1, 0, 0]


def test_the_layer_that_has_the_field(fields: Path) -> None:
    other = geopandas.GeoDataFrame(
        {"use": ["x"]}, geometry=[shapely.box(LEFT, TOP - 1000, LEFT + 1000, TOP)], crs=UTM
    )
    other.to_file(fields, layer="use", mode="a")
    assert votes_of(fields, lonlat(tiles()), "use")[0].classes == ("x",)
    assert votes_of(fields, lonlat(tiles()), "crop")[0].classes == (
        "crop 0",
        "crop 1",
        "crop 2",
    )


def test_the_field_must_be_named_where_there_are_several(fields: Path) -> None:
    with pytest.raises(UsageError, match="--field is needed; it has crop, n"):
        votes_of(fields, lonlat(tiles()), None)
    with pytest.raises(DataError, match="has no field 'corp'; it has crop, n"):
        votes_of(fields, lonlat(tiles()), "corp")


def test_each_kind_of_shape_is_used_as_what_it_is(tmp_path: Path) -> None:
    west = shapely.box(LEFT, TOP - 200, LEFT + 100, TOP)  # the two tiles of the west
    point, line = shapely.Point(LEFT + 150, TOP - 50), shapely.LineString([(LEFT, TOP), (LEFT + 9, TOP)])
    far, empty = shapely.Point(LEFT + 950, TOP), shapely.Point(LEFT + 150, TOP - 150)
    both = shapely.GeometryCollection([shapely.Point(LEFT + 10, TOP - 10), line])
    sliver = shapely.box(LEFT, TOP - 10, LEFT + 10, TOP)
    frame = geopandas.GeoDataFrame(
        {"crop": ["rye", "oats", "rye", "oats", None, "rye", " ", "oats"]},
        geometry=[west, point, line, far, empty, both, west, sliver],
        crs=UTM,
    )
    frame.to_file(tmp_path / "mixed.geojson")
    votes, kind, _ = votes_of(tmp_path / "mixed.geojson", lonlat(tiles(2)), "crop")
    assert kind == "polygons and points"
    assert named(votes, 4) == ["rye", "oats", "rye", None]
    assert votes.total(4).tolist() == [2, 1, 1, 0]
    assert votes.left_out == {
        "features without a class": 2,
        "polygons that label no tile": 1,
        "points in no tile": 1,
        "features that are lines": 1,
    }


def test_a_field_without_any_class(tmp_path: Path) -> None:
    frame = geopandas.GeoDataFrame({"a": ["", None]}, geometry=list(lonlat(tiles(2))[:2]), crs="OGC:CRS84")
    frame.to_file(tmp_path / "a.gpkg")
    with pytest.raises(DataError, match="field 'a': is empty everywhere; classes are needed"):
        votes_of(tmp_path / "a.gpkg", lonlat(tiles(2)), "a")


def test_layers_that_have_the_field_are_told_apart_by_name(fields: Path) -> None:
    whole = shapely.box(LEFT, TOP - 1000, LEFT + 1000, TOP)
    for name, shape in (("again", whole), ("ways", shapely.LineString(whole.exterior.coords))):
        other = geopandas.GeoDataFrame({"crop": [name]}, geometry=[shape], crs=UTM)
        other.to_file(fields, layer=name, mode="a")
    with pytest.raises(DataError, match="holds the layers fields, again; one is needed"):
        votes_of(fields, lonlat(tiles()), "crop")
    assert votes_of(fields, lonlat(tiles()), "crop", "again")[0].classes == ("again",)
    with pytest.raises(DataError, match="has no field 'use'; it has crop, n"):
        votes_of(fields, lonlat(tiles()), "use")


def test_lines_and_points_for_points_are_refused(tmp_path: Path) -> None:
    line = geopandas.GeoDataFrame(
        {"a": ["x"]}, geometry=[shapely.LineString([(0, 0), (1, 1)])], crs="OGC:CRS84"
    )
    line.to_file(tmp_path / "lines.geojson")
    with pytest.raises(DataError, match="holds lines; polygons or points are needed"):
        votes_of(tmp_path / "lines.geojson", lonlat(tiles()), "a")
    point = geopandas.GeoDataFrame({"a": ["x"]}, geometry=[shapely.Point(0, 0)], crs="OGC:CRS84")
    point.to_file(tmp_path / "points.geojson")
    with pytest.raises(DataError, match="holds points, and so do the embeddings"):
        votes_of(tmp_path / "points.geojson", shapely.points([[0.0, 0.0]]), "a")

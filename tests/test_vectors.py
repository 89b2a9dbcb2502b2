"""Vector files: the layer that is meant, what of it can be used, and the area of a file."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import vectors

UTM = "EPSG:32614"
NORTH, SOUTH = (shapely.box(500_000, 4_399_000 + k, 500_500, 4_399_500 + k) for k in (500, 0))


def layer(path: Path, name: str, shapes: list[shapely.Geometry | None]) -> Path:
    frame = geopandas.GeoDataFrame({"label": [f"{name} {k}" for k in range(len(shapes))]}, geometry=shapes)
    frame.set_crs(UTM).to_file(path, layer=name, mode="a" if path.exists() else "w")
    return path


def style(path: Path, name: str = "layer_styles") -> None:
    """A table without geometries, as QGIS keeps its styles."""
    pyogrio.write_dataframe(pd.DataFrame({"styleName": ["x"]}), path, layer=name, append=True)


def test_several_layers_are_named_and_one_is_chosen(tmp_path: Path) -> None:
    path = layer(layer(tmp_path / "farms.gpkg", "north", [NORTH]), "south", [SOUTH])
    for read in (vectors.read, vectors.area):
        with pytest.raises(DataError, match=r"holds the layers north, south; one is needed.*--layer"):
            read(path)
        with pytest.raises(DataError, match="has no layer 'west'; it has north, south"):
            read(path, "west")
    for name, shape in (("north", NORTH), ("south", SOUTH)):
        assert vectors.read(path, name).frame.label.tolist() == [f"{name} 0"]
        expected = geopandas.GeoSeries([shape], crs=UTM).to_crs("OGC:CRS84").iloc[0]
        assert vectors.area(path, name)[0].equals_exact(expected, 1e-12)


def test_tables_styles_and_empty_layers_do_not_count(tmp_path: Path) -> None:
    path = layer(tmp_path / "a.gpkg", "fields", [NORTH])
    style(path)
    style(path, "owners")
    layer(path, "drafts", [])
    assert vectors.read(path).frame.label.tolist() == ["fields 0"]
    with pytest.raises(DataError, match="has no layer 'owners'; it has fields"):
        vectors.read(path, "owners")


def test_layers_of_other_formats(tmp_path: Path) -> None:
    point = '<wpt lat="50" lon="9"><name>a</name></wpt>'
    (tmp_path / "a.gpx").write_text(
        f'<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1">{point}</gpx>'
    )
    assert vectors.read(tmp_path / "a.gpx").frame.name.tolist() == ["a"]  # of five layers one holds something
    mark = "<Folder><name>{0}</name><Placemark><name>{0}</name><Point><coordinates>9,50</coordinates></Point>"
    marks = "".join(f"{mark.format(name)}</Placemark></Folder>" for name in ("one", "two"))
    (tmp_path / "a.kml").write_text(
        f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{marks}</Document></kml>'
    )
    with pytest.raises(DataError, match="holds the layers one, two"):
        vectors.read(tmp_path / "a.kml")
    assert vectors.read(tmp_path / "a.kml", "two").frame.Name.tolist() == ["two"]


def test_an_area_is_looked_for_among_layers_of_polygons(tmp_path: Path) -> None:
    path = layer(tmp_path / "a.gpkg", "wells", [NORTH.centroid])
    with pytest.raises(DataError, match="have no area; polygons are needed"):
        vectors.area(path)
    layer(path, "fields", [NORTH, None])
    found, left_out = vectors.area(path)
    assert left_out == {"features without a usable geometry": 1}
    assert found.area > 0
    with pytest.raises(DataError, match="have no area; polygons are needed"):
        vectors.area(path, "wells")


def test_features_that_add_no_area_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    shapes = [shapely.box(0, 0, 1, 1), shapely.Point(5, 5), shapely.LineString([(0, 0), (3, 3)])]
    geopandas.GeoDataFrame(geometry=shapes, crs="OGC:CRS84").to_file(path)
    assert vectors.area(path)[1] == {"features without area": 2}


def test_features_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    shapes = [
        {"type": "Point", "coordinates": [1, 2]},
        None,
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},  # no ring
        {"type": "Point", "coordinates": []},
        {"type": "Point", "coordinates": [10, 95]},
    ]
    rows = [{"type": "Feature", "properties": {"n": n}, "geometry": own} for n, own in enumerate(shapes)]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
    found = vectors.read(path)
    assert found.frame.n.tolist() == [0]
    assert found.left_out == {"features without a usable geometry": 3, "features off the Earth": 1}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": rows[1:]}))
    with pytest.raises(DataError, match=r"nothing in it can be used .3 features without a usable geom"):
        vectors.read(path)


def test_a_crs_for_files_that_name_none(tmp_path: Path) -> None:
    path = tmp_path / "a.shp"
    geopandas.GeoDataFrame({"a": [1]}, geometry=[NORTH], crs=UTM).to_file(path)
    path.with_suffix(".prj").unlink()
    with pytest.raises(DataError, match="has no CRS"):
        vectors.read(path)
    expected = geopandas.GeoSeries([NORTH], crs=UTM).to_crs("OGC:CRS84")
    assert np.allclose(vectors.read(path, crs=UTM).frame.total_bounds, expected.total_bounds, atol=1e-12)
    layer(tmp_path / "b.gpkg", "b", [NORTH])
    with pytest.raises(DataError, match="has a CRS of its own"):
        vectors.read(tmp_path / "b.gpkg", crs=UTM)


@pytest.mark.parametrize("name", ["a.xlsx", "a.kmz", "a.ods", "a.csv", "A.DBF"])
def test_other_kinds_are_refused_by_naming_those_that_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"files are not read; a vector file is needed \(.gpkg, .geojson"):
        vectors.read(tmp_path / name)


def test_geoparquet_has_no_layers(tmp_path: Path) -> None:
    geopandas.GeoDataFrame({"a": [1]}, geometry=[NORTH], crs=UTM).to_parquet(tmp_path / "a.parquet")
    assert len(vectors.read(tmp_path / "a.parquet")) == 1
    with pytest.raises(DataError, match="has no layer 'x'; GeoParquet has none"):
        vectors.read(tmp_path / "a.parquet", "x")
    with pytest.raises(InputError, match="no such file"):
        vectors.read(tmp_path / "b.parquet")

"""Tables of places: dialects as they are met, against the points they were written from."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely

from tile2vec_cli.errors import DataError, InputError, UsageError
from tile2vec_cli.geo import tables
from tile2vec_cli.geo.tables import Places
from tile2vec_cli.geo.vectors import Features

LON = np.random.default_rng(0).uniform(9, 13, 12).round(6)
LAT = np.random.default_rng(1).uniform(48, 51, 12).round(6)
CLASS = ["a", "b", "c, d"] * 4


def written(path: Path, header: str, row: str, encoding: str = "utf-8") -> Path:
    """A line for each place; `n` in the row is its number, from 1."""
    lines = [
        row.format(x=x, y=y, l=label, n=n + 1)
        for n, (x, y, label) in enumerate(zip(LON, LAT, CLASS, strict=True))
    ]
    text = "\n".join([header, *lines, ""]).encode(encoding)
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path


def read(path: Path, field: str = "label", crs: str | None = None) -> Features:
    places = Places.among(path, tables.columns(path), crs)
    assert places is not None
    return tables.features(path, [field], places, crs)


def require_all(found: Features, digits: float = 1e-9) -> None:
    assert found.left_out == {}
    assert np.abs(found.frame.geometry.x - LON).max() < digits
    assert np.abs(found.frame.geometry.y - LAT).max() < digits
    assert found.frame["label"].tolist() == CLASS


POINT = '{{""type"":""Point"",""coordinates"":[{x},{y}]}}'


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("a.csv", "X,long,lat,label", '{n},{x},{y},"{l}"'),  # R's row numbers
        ("a.csv", "Long,Lat,label", '{x},{y},"{l}"'),
        ("a.csv", "lng,lat,label", '{x},{y},"{l}"'),
        ("a.csv", "Longitude,LATITUDE,label", '{x},{y},"{l}"'),
        ("a.csv", "POINT_X,POINT_Y,label", '{x},{y},"{l}"'),
        ("a.csv", "decimalLongitude,decimalLatitude,label", '{x},{y},"{l}"'),
        ("a.csv", "x,y,label", '{x},{y},"{l}"'),
        ("a.csv", "lon;lat;label", "{x};{y};{l}"),
        ("a.csv", "sep=;\nlon;lat;label", "{x};{y};{l}"),
        ("a.csv", "lon\tlat\tlabel", "{x}\t{y}\t{l}"),
        ("a.tsv", "lon\tlat\tlabel", "{x}\t{y}\t{l}"),
        ("a.txt", "lon|lat|label", "{x}|{y}|{l}"),
        ("a.csv", " lon, lat , label", '{x}, {y}, "{l}"'),
        ("a.csv", "\n\nlon,lat,label", '{x},{y},"{l}"'),
        ("a.csv", "lon,lat,label", '{x},{y},"{l}",'),  # a separator behind the last cell
        ("a.csv", "lon,lat,label", '"{n}",{x},{y},"{l}"'),  # R's write.table
        ("a.csv", '"","lon","lat","label"', '"{n}",{x},{y},"{l}"'),  # R's write.csv
        ("a.csv", 'lon,lat,"a\nnote",label', '{x},{y},"two\nlines","{l}"'),
        ("a.csv", "WKT,label", '"POINT ({x} {y})","{l}"'),
        ("a.csv", "system:index,label,.geo", '{n},"{l}","' + POINT + '"'),  # Earth Engine
        ("a.csv.gz", "lon,lat,label", '{x},{y},"{l}"'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_dialects(tmp_path: Path, name: str, header: str, row: str, encoding: str) -> None:
    require_all(read(written(tmp_path / name, header, row, encoding)))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark(tmp_path: Path, encoding: str) -> None:
    require_all(read(written(tmp_path / "a.csv", "lon,lat,label", '{x},{y},"{l}"', encoding)))


def test_decimal_commas(tmp_path: Path) -> None:
    table = pd.DataFrame({"lon": LON, "lat": LAT, "label": CLASS})
    table.to_csv(tmp_path / "a.csv", sep=";", decimal=",", index=False)
    require_all(read(tmp_path / "a.csv"))
    text = table.astype(str).replace({"lon": {r"\.": ","}, "lat": {r"\.": ","}}, regex=True)
    text.to_csv(tmp_path / "b.csv", index=False)  # in quotes, between commas
    require_all(read(tmp_path / "b.csv"))
    text.loc[3, "lon"] = "n/a"
    text.to_csv(tmp_path / "c.csv", sep=";", index=False)
    assert read(tmp_path / "c.csv").left_out == {"rows whose coordinates cannot be read": 1}
    assert len(read(tmp_path / "c.csv")) == 11


def test_thousands_are_no_decimals(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('easting,northing,label\n"500,000","400,000",a\n"600,000","500,000",b\n')
    with pytest.raises(DataError, match="2 rows whose coordinates cannot be read"):
        read(tmp_path / "a.csv", crs="EPSG:32614")


def test_map_coordinates_need_their_crs(tmp_path: Path) -> None:
    to_map = pyproj.Transformer.from_crs("OGC:CRS84", "EPSG:25832", always_xy=True)
    east, north = to_map.transform(LON, LAT)
    table = pd.DataFrame({"Easting": east, "Northing": north, "lon": 0.0, "lat": 0.0, "label": CLASS})
    table.to_csv(tmp_path / "a.csv", index=False)
    require_all(read(tmp_path / "a.csv", crs="EPSG:25832"), 1e-7)
    table[["Easting", "Northing", "label"]].to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(UsageError, match=r"Easting and Northing are map coordinates.*--crs EPSG:32614"):
        read(tmp_path / "b.csv")
    with pytest.raises(UsageError, match="--crs nonsense: is not a CRS"):
        read(tmp_path / "b.csv", crs="nonsense")
    table.rename(columns={"Easting": "X", "Northing": "Y"})[["X", "Y", "label"]].to_csv(tmp_path / "c.csv")
    with pytest.raises(DataError, match=r"X and Y hold no degrees.*--crs"):
        read(tmp_path / "c.csv")


def test_x_goes_with_its_own_y_only(tmp_path: Path) -> None:
    assert Places.among(tmp_path, ["X", "lat", "label"]) is None
    assert Places.among(tmp_path, ["POINT_X", "y"]) is None
    found = Places.among(tmp_path, ["X", "Y", "lat", "Long"])
    assert found is not None and found.columns == ("Long", "lat")


def test_a_column_that_counts_the_rows_is_no_longitude(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "X,Y,label", '{n},{y},"{l}"')
    with pytest.raises(DataError, match="X counts the rows; longitudes are needed"):
        read(path)


def test_rows_without_a_place_are_counted_by_reason(tmp_path: Path) -> None:
    rows = ["9,50,a", "n/a,50,a", ",50,a", "9,,a", "9,91,a", "x,y,a", "361,5,a", "180,5,b"]
    (tmp_path / "a.csv").write_text("\n".join(["lon,lat,label", *rows]))
    found = read(tmp_path / "a.csv")
    assert found.left_out == {
        "rows whose coordinates cannot be read": 2,
        "rows whose coordinates are not degrees": 2,
        "rows without a usable geometry": 2,
    }
    assert found.frame["label"].tolist() == ["a", "b"]


def test_shapes_of_earth_engine(tmp_path: Path) -> None:
    shapes = [shapely.box(9, 48, 10, 49), shapely.Point(11, 50), shapely.MultiPoint(), None]
    text = [shapely.to_geojson(shape) if shape is not None else "" for shape in shapes]
    frame = pd.DataFrame({"system:index": range(5), "label": list("abcde"), ".geo": [*text, "{broken"]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = read(tmp_path / "a.csv")
    assert found.frame.geometry.geom_equals(geopandas.GeoSeries(shapes[:2], crs="OGC:CRS84")).all()
    assert found.left_out == {
        "rows whose coordinates cannot be read": 1,
        "rows without a usable geometry": 2,
    }


def test_parquet_without_the_footer_of_geoparquet(tmp_path: Path) -> None:
    pd.DataFrame({"lon": LON, "lat": LAT, "label": CLASS}).to_parquet(tmp_path / "a.parquet")
    require_all(read(tmp_path / "a.parquet"))


def test_cells_that_are_classes_stay_what_they_are(tmp_path: Path) -> None:
    text = "lon;lat;label;share;code;more\n9,5;50;None;0,25;007;1\n9,6;51;NA;0,5;008;\n"
    (tmp_path / "a.csv").write_text(text)
    table = tables.read(tmp_path / "a.csv")
    assert table["label"].tolist() == ["None", "NA"]
    assert table["share"].tolist() == [0.25, 0.5]
    assert table["code"].tolist() == [7, 8]
    assert json.loads(table["more"].to_json()) == {"0": 1.0, "1": None}


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"", DataError, "it is empty"),
        ("lon,lat,label\n9,50,grün\n".encode("latin-1"), DataError, "neither UTF-8 nor UTF-16"),
        (b"lon,lat,label\n9,50,a\n9,50,a,b,c,d\n", DataError, "cannot be read as a table"),
        (None, InputError, "a table is needed"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes | None, kind: type[Exception], words: str) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind, match=words) as caught:
        tables.columns(path)
        tables.read(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "content", [b"\x1f\x8b and no more", b"lon,lat\n1,2\n", gzip.compress(b"a,b", mtime=0)[:-9]]
)
def test_damaged_gzip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as a table"):
        tables.columns(tmp_path / "a.csv.gz")

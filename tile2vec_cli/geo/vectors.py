"""Vector files as geometries in longitude and latitude."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import antimeridian


def read(path: Path, layer: str | None = None) -> Any:
    """A GeoDataFrame of any vector file that GDAL or GeoParquet reads, in OGC:CRS84, within ±180 degrees.

    layer: of a file that holds several; None: the first.
    Raises InputError when it does not exist, DataError when it is no vector file, is damaged,
    is empty or has no CRS.
    """
    import geopandas

    if not path.exists():
        raise InputError(f"{path}: no such file; a vector file is needed. Check the path.")
    try:
        if path.suffix.lower() in {".parquet", ".geoparquet"}:
            frame = geopandas.read_parquet(path)
        else:
            frame = geopandas.read_file(path, layer=layer or _first_layer(path))
    except Exception as error:  # pyogrio, pyarrow and geopandas each raise kinds of their own
        raise _unreadable(path, error) from error
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise DataError(f"{path}: has no geometries; a vector file with geometries is needed.")
    frame = frame[~(frame.geometry.isna() | frame.geometry.is_empty)]
    if frame.empty:
        raise DataError(f"{path}: holds no features; at least one is needed.")
    if frame.crs is None:
        raise DataError(f"{path}: has no CRS; one is needed. Assign it with `ogr2ogr -a_srs`.")
    try:
        frame = frame.to_crs("OGC:CRS84")
    except Exception as error:  # of pyproj, which only `places.py` touches
        reason = " ".join(str(error).split()).rstrip(".")[:200]
        raise DataError(
            f"{path}: its CRS, {frame.crs.name}, has no way to places on the Earth ({reason}); one that has "
            "is needed. Assign the CRS that its coordinates are really in with `ogr2ogr -a_srs`."
        ) from error
    frame[frame.geometry.name] = geopandas.GeoSeries(
        antimeridian.wrapped(frame.geometry.to_numpy()), frame.index, crs=frame.crs
    )
    return frame


def fields(path: Path) -> dict[str | None, list[str]]:
    """The names of the fields of each layer that has geometries, without reading features.

    A GeoParquet file's one layer is None. Errors as for `read`.
    """
    import pyarrow.parquet as pq
    import pyogrio

    if not path.exists():
        raise InputError(f"{path}: no such file; a vector file is needed. Check the path.")
    try:
        if path.suffix.lower() in {".parquet", ".geoparquet"}:
            return {None: pq.read_schema(path).names}
        names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        return {name: list(map(str, pyogrio.read_info(path, layer=name)["fields"])) for name in names}
    except Exception as error:
        raise _unreadable(path, error) from error


def _first_layer(path: Path) -> str | None:
    """Of several layers; else geopandas would choose one with a warning."""
    import pyogrio

    layers = pyogrio.list_layers(path)
    return str(layers[0][0]) if len(layers) else None


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()).rstrip(".")[:200]
    return DataError(f"{path}: cannot be read as a vector file ({reason}). Check the file.")


def area(path: Path) -> Any:
    """The union of a vector file's polygons as one shapely geometry, prepared for many questions."""
    import shapely

    frame = read(path)
    shapes = shapely.make_valid(frame.geometry.to_numpy())
    union = shapely.union_all(shapes)
    if shapely.area(union) == 0:
        raise DataError(f"{path}: its features have no area; polygons are needed.")
    shapely.prepare(union)
    return union

"""Vector files as geometries in longitude and latitude."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tile2vec_cli.errors import DataError, InputError, UsageError
from tile2vec_cli.geo import places

SUFFIXES = {
    *(".gpkg", ".geojson", ".json", ".geojsonl", ".geojsons", ".topojson", ".shp", ".fgb", ".kml", ".gml"),
    *(".gpx", ".tab", ".mif", ".zip", ".gdb", ".sqlite"),
}
PARQUETS = (".parquet", ".geoparquet")
_SHOWN = ".gpkg, .geojson, .shp, .fgb, .kml, .parquet"
# GDAL opens some of these, here or there, as tables without geometries.
OTHERS = {".xlsx", ".xls", ".xlsm", ".ods", ".kmz", ".dbf", ".dxf", ".csv", ".tsv", ".txt", ".gz", ".pdf"}
_STYLES = {"layer_styles", "qgis_projects"}  # tables that QGIS keeps beside its layers

Counts = dict[str, int]


@dataclass(frozen=True)
class Features:
    """The features of a vector file, or rows of a table, that have a place on the Earth."""

    frame: Any  # GeoDataFrame in OGC:CRS84
    left_out: Counts = field(default_factory=dict)  # the others, by reason
    unit: str = "features"

    @classmethod
    def of(cls, frame: Any, source: Path, left_out: Counts, unit: str = "features") -> Features:
        """Those of a GeoDataFrame in any CRS.

        Raises DataError where none has a place on the Earth, naming `source`.
        """
        import numpy as np

        if frame.empty and not any(left_out.values()):
            raise DataError(f"{source}: holds no {unit}; at least one is needed.")
        there = ~(frame.geometry.isna() | frame.geometry.is_empty).to_numpy()
        left_out = {**left_out, f"{unit} without a usable geometry": int((~there).sum())}
        frame = _in_degrees(frame[there], source)
        bounds = frame.geometry.bounds.to_numpy()
        there = np.isfinite(bounds).all(axis=1) & (bounds[:, 1] <= 90) & (bounds[:, 3] >= -90)
        left_out |= {f"{unit} off the Earth": int((~there).sum())}
        left_out = {reason: count for reason, count in left_out.items() if count}
        if not there.any():
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
            raise DataError(f"{source}: nothing in it can be used ({reasons}). Check its geometries and CRS.")
        return cls(frame[there], left_out, unit)

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Layer:
    """A layer with geometries."""

    name: str | None  # None: the one of a GeoParquet file
    fields: tuple[str, ...]
    dimension: int | None = None  # of its shapes: 0 points, 1 lines, 2 areas; None: of any


def is_vector(path: str | Path) -> bool:
    """Whether a path's suffix is that of a vector file; GeoParquet counts as a table."""
    return Path(path).suffix.lower() in SUFFIXES


def read(path: Path, layer: str | None = None, crs: str | None = None) -> Features:
    """The features of any vector file that GDAL or GeoParquet reads.

    layer: of a file that holds several usable ones; crs: of a file that names none.
    Raises InputError when it does not exist, DataError when it is no vector file, is damaged,
    is empty, has no CRS, or holds several layers of which none is chosen.
    """
    return of_layer(path, choose(path, layers(path), layer), crs)


def of_layer(path: Path, layer: Layer, crs: str | None = None) -> Features:
    """As `read`, of a layer out of `layers`."""
    import geopandas

    with _reading(path):
        if layer.name is None:
            frame = geopandas.read_parquet(path)
        else:
            frame = geopandas.read_file(path, layer=layer.name, on_invalid="ignore")
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise DataError(f"{path}: has no geometries; a vector file with geometries is needed.")
    return Features.of(with_crs(frame, crs, path), path, {})


def with_crs(frame: Any, crs: str | None, path: Path) -> Any:
    """The GeoDataFrame with its CRS, or with this one where it has none."""
    from pyproj.exceptions import CRSError

    if frame.crs is not None and crs is None:
        return frame
    if crs is None:
        raise DataError(f"{path}: has no CRS; one is needed. Assign it with `ogr2ogr -a_srs`.")
    if frame.crs is not None:
        raise DataError(f"{path}: has a CRS of its own; --crs is for files without. Leave it out.")
    try:
        return frame.set_crs(crs)
    except CRSError as error:
        raise UsageError(f"--crs {crs}: is not a CRS; needs one such as EPSG:32614.") from error


def _in_degrees(frame: Any, source: Path) -> Any:
    """The GeoDataFrame in OGC:CRS84, within ±180 degrees."""
    try:
        frame = frame.to_crs("OGC:CRS84")
    except Exception as error:  # of pyproj, which only `places.py` touches
        reason = " ".join(str(error).split()).rstrip(".")[:200]
        raise DataError(
            f"{source}: its CRS, {frame.crs.name}, has no way to places on the Earth ({reason}); one that "
            "has is needed. Assign the CRS that its coordinates are really in with `ogr2ogr -a_srs`."
        ) from error
    return frame.set_geometry(places.wrapped(frame.geometry.to_numpy()), crs=frame.crs)


def layers(path: Path) -> list[Layer]:
    """The layers that have geometries and features, without reading these; errors as for `read`.

    Where all are empty: those that have geometries.
    """
    import pyarrow.parquet as pq
    import pyogrio

    require_known(path)
    with _reading(path):
        if path.suffix.lower() in PARQUETS:
            return [Layer(None, tuple(pq.read_schema(path).names))]
        kinds = [(str(name), kind) for name, kind in pyogrio.list_layers(path) if kind is not None]
        found, counts = [], []
        for name, kind in kinds:
            if name not in _STYLES:
                info = pyogrio.read_info(path, layer=name, force_feature_count=True)
                found.append(Layer(name, tuple(map(str, info["fields"])), _dimension(str(kind))))
                counts.append(int(info["features"]))
    return [layer for layer, count in zip(found, counts, strict=True) if count] or found


def require_known(path: Path) -> None:
    """Raise InputError where there is no such file, DataError where its suffix is of another kind."""
    if not path.exists():
        raise InputError(f"{path}: no such file; a vector file is needed. Check the path.")
    if path.suffix.lower() in OTHERS:
        raise DataError(
            f"{path}: {path.suffix} files are not read; a vector file is needed ({_SHOWN}, …). "
            "Save it as one."
        )


def choose(
    path: Path, found: list[Layer], name: str | None, fits: Callable[[Layer], bool] = lambda layer: True
) -> Layer:
    """The layer of this name; where none is asked for the only one that fits.

    Raises DataError, which names the layers.
    """
    if not found:
        raise DataError(f"{path}: holds no layer with geometries; polygons or points are needed.")
    if name is not None:
        for layer in found:
            if layer.name == name:
                return layer
        have = f"it has {_names(found)}" if found[0].name else "GeoParquet has none"
        raise DataError(f"{path}: has no layer {name!r}; {have}. Choose --layer among them, or leave it out.")
    fitting = [layer for layer in found if fits(layer)] or found
    if len(fitting) > 1:
        raise DataError(f"{path}: holds the layers {_names(fitting)}; one is needed. Choose it with --layer.")
    return fitting[0]


def _names(found: list[Layer]) -> str:
    return ", ".join(str(layer.name) for layer in found[:20]) + (", …" if len(found) > 20 else "")


def _dimension(kind: str) -> int | None:
    """Of shapes of one of OGR's geometry types, such as "MultiPolygon Z"."""
    for dimension, words in ((2, ("Polygon", "Surface", "TIN", "Triangle")), (0, ("Point",))):
        if any(word in kind for word in words):
            return dimension
    return 1 if "Curve" in kind or "String" in kind else None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Errors in one line; what GDAL only warns of is seen in what is left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # pyogrio, pyarrow and geopandas each raise kinds of their own
        reason = " ".join(str(error).split()).partition("; It might help")[0].rstrip(".")[:200]
        raise DataError(f"{path}: cannot be read as a vector file ({reason}). Check the file.") from error


def area(path: Path, layer: str | None = None) -> tuple[Any, Counts]:
    """The union of a vector file's polygons as one shapely geometry, prepared for many questions.

    And the features that are no part of it, by reason. Errors as for `read`; DataError without any area.
    """
    import shapely

    features = of_layer(path, choose(path, layers(path), layer, lambda own: own.dimension in (2, None)))
    shapes = shapely.make_valid(features.frame.geometry.to_numpy())
    union = shapely.union_all(shapes)
    if shapely.area(union) == 0:
        raise DataError(f"{path}: its features have no area; polygons are needed.")
    shapely.prepare(union)
    flat = int((shapely.area(shapes) == 0).sum())
    return union, {**features.left_out, **({"features without area": flat} if flat else {})}

"""Label tables: CSV or Parquet, matched by `tile_id` or by coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import antimeridian
from tile2vec_cli.labelling import label_vectors
from tile2vec_cli.labelling.label_vectors import Bounds, Geometry, chosen_field
from tile2vec_cli.labelling.votes import Votes

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": ","}
_PARQUETS = (".parquet", ".geoparquet")
SUFFIXES = (*_SEPARATORS, *_PARQUETS)

_PLACES = {"tile_id", "geometry", "bbox"}  # columns that hold no classes
_LONGITUDE, _LATITUDE = ("longitude", "lon", "lng", "x"), ("latitude", "lat", "y")

TileIds = NDArray[np.object_]


def votes(
    path: Path, geometry: Geometry, tile_id: TileIds | None, field: str | None
) -> tuple[Votes, str, Bounds | None]:
    """The votes, what the file holds ("table", "points", "polygons"), and its bounds where it has any.

    Each row votes for the tile of its `tile_id`. A file without that column is read as GeoParquet, or
    as points where it has a longitude and a latitude (in degrees).
    """
    names = _columns(path)
    if "tile_id" in names and (tile_id is not None or not _is_parquet(path)):
        field = chosen_field(str(path), [name for name in names if name not in _PLACES], field)
        return _by_id(path, _frame(path, ["tile_id", field]), tile_id, field), "table", None
    frame, field = frame_with(path, field)
    return label_vectors.of_frame(frame, geometry, field, str(path))


def frame_with(path: Path, field: str | None) -> tuple[Any, str]:
    """A GeoDataFrame in lon/lat of a GeoParquet file, or of a table of points, and the classes' field."""
    if _is_parquet(path):
        return label_vectors.frame_with(path, field)
    names = _columns(path)
    lowered = {name.casefold(): name for name in names}
    lon = next((lowered[name] for name in _LONGITUDE if name in lowered), None)
    lat = next((lowered[name] for name in _LATITUDE if name in lowered), None)
    if lon is None or lat is None:
        raise DataError(
            f"{path}: has the columns {', '.join(names[:20])}; tile_id, or longitude and latitude, "
            "are needed. Rename its columns."
        )
    field = chosen_field(str(path), [name for name in names if name not in {lon, lat}], field)
    return _points(path, lon, lat, field), field


def has_tile_ids(path: Path) -> bool:
    return "tile_id" in _columns(path)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in _PARQUETS


def _by_id(path: Path, table: Any, tile_id: TileIds | None, field: str) -> Votes:
    import pandas as pd

    if tile_id is None:
        raise DataError(
            f"{path}: names tiles by tile_id, which the embeddings lack; labels with places are needed."
        )
    tiles = pd.DataFrame({"tile_id": tile_id.astype(str), "tile": np.arange(len(tile_id))})
    table = table.assign(tile_id=table["tile_id"].astype(str))
    joined = tiles.merge(table, on="tile_id")
    if joined.empty:
        first = f" (such as {table['tile_id'].iloc[0]})" if len(table) else ""
        raise DataError(
            f"{path}: none of its {len(table):,} tile_ids{first} is one of the tiles judged here (such as "
            f"{tile_id[0]}); labels of these tiles are needed. Check that both come from one tile set."
        )
    return Votes.of(joined["tile"].to_numpy(np.int64), joined[field], f"{path}: column {field!r}")


def _points(path: Path, lon: str, lat: str, field: str) -> Any:
    import geopandas
    import pandas as pd

    table = _frame(path, [lon, lat, field])
    places = [pd.to_numeric(table[name], errors="coerce") for name in (lon, lat)]
    inside = places[0].between(-180, 360) & (places[1].abs() <= 90)
    if not inside.any():
        raise DataError(f"{path}: {lon} and {lat} hold no degrees; longitudes and latitudes are needed.")
    points = antimeridian.wrapped(shapely.points(places[0][inside], places[1][inside]))
    return geopandas.GeoDataFrame(table[inside], geometry=points, crs="OGC:CRS84")


def _columns(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    with _reading(path):
        if path.suffix.lower() in _PARQUETS:
            return list(pq.read_schema(path).names)
        return [str(name) for name in _csv(path, nrows=0).columns]


def _frame(path: Path, columns: Sequence[str]) -> Any:
    import pandas as pd

    with _reading(path):
        if path.suffix.lower() in _PARQUETS:
            return pd.read_parquet(path, columns=list(columns))
        return _csv(path, usecols=list(columns))


def _csv(path: Path, **options: Any) -> Any:
    """A class may well be called NA or None: only empty cells are missing."""
    import pandas as pd

    separator = _SEPARATORS[path.suffix.lower()]
    types = {"tile_id": str}
    return pd.read_csv(
        path,
        sep=separator,
        dtype=types,
        keep_default_na=False,
        na_values=[""],
        encoding="utf-8-sig",
        **options,
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; a table is needed.") from error
    except (ValueError, MemoryError) as error:  # pandas, pyarrow and Unicode errors are ValueErrors
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as a table ({reason}). Check the file.") from error

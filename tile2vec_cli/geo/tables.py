"""Tables as spreadsheets, R, ArcGIS and Earth Engine write them: text of many dialects, or Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TextIO

from tile2vec_cli.errors import DataError, InputError, UsageError
from tile2vec_cli.geo.vectors import PARQUETS, Features, with_crs

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": ","}  # where the header tells of none
SUFFIXES = (*_SEPARATORS, *(f"{suffix}.gz" for suffix in _SEPARATORS), *PARQUETS)

_SHAPES = (".geo", "wkt", "wkt_geom", "geometry", "geom", "the_geom")
# x only ever goes with its own y: a column X may well count the rows.
_LONGITUDES = ("longitude", "lon", "long", "lng", "decimallongitude")
_DEGREES = tuple(product(_LONGITUDES, ("latitude", "lat", "decimallatitude")))
_EITHER = (("x", "y"), ("point_x", "point_y"))
_METRES = (("easting", "northing"),)

_UNNAMED = "\0"
_NUMBER = re.compile(r"[+-]?\d*[.,]?\d+")
_COMMA = re.compile(r"[+-]?\d*,\d+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3},\d{3}")


def is_table(path: str | Path) -> bool:
    """Whether a path's suffix is that of a table."""
    return str(path).lower().endswith(SUFFIXES)


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() in PARQUETS


@dataclass(frozen=True)
class _Dialect:
    """How a text is to be read."""

    names: tuple[str, ...]  # of the columns; those without begin with _UNNAMED
    separator: str
    encoding: str
    lines: int  # up to the first row


@dataclass(frozen=True)
class Places:
    """The columns that hold places: one of shapes as text, or an x and a y."""

    columns: tuple[str, ...]
    in_degrees: bool  # as their names say

    @classmethod
    def among(cls, path: Path, names: Sequence[str], crs: str | None = None) -> Places | None:
        """Those of a table with these columns; None where it has none.

        crs: of the coordinates; None: degrees on WGS 84. Raises UsageError where they need one.
        """
        lowered = {name.casefold(): name for name in reversed(names)}
        for name in _SHAPES:
            if name in lowered:
                return cls((lowered[name],), False)
        # With a CRS of its own, the coordinates on the map are those that are meant.
        pairs = (*_METRES, *_EITHER, *_DEGREES) if crs else (*_DEGREES, *_EITHER, *_METRES)
        for x, y in pairs:
            if x in lowered and y in lowered:
                found = (lowered[x], lowered[y])
                if crs is None and (x, y) in _METRES:
                    raise UsageError(
                        f"{path}: {found[0]} and {found[1]} are map coordinates; their CRS is needed. "
                        "Give it with --crs, such as --crs EPSG:32614."
                    )
                return cls(found, (x, y) in _DEGREES)
        return None


def columns(path: Path) -> list[str]:
    """Names of the columns, without blanks around them. Raises InputError and DataError."""
    import pyarrow.parquet as pq

    with _reading(path):
        if is_parquet(path):
            return list(pq.read_schema(path).names)
        return [name for name in _dialect(path).names if not name.startswith(_UNNAMED)]


def read(path: Path, wanted: Sequence[str] | None = None) -> Any:
    """A DataFrame of these columns (default: all); errors as for `columns`.

    A class may well be called NA or None: only empty cells are missing. Numbers may have decimal commas.
    """
    import pandas as pd

    names = None if wanted is None else list(dict.fromkeys(wanted))
    with _reading(path):
        if is_parquet(path):
            return pd.read_parquet(path, columns=names)
        dialect = _dialect(path)
        with _opened(path, dialect.encoding) as text:
            for _ in range(dialect.lines):
                text.readline()
            frame = pd.read_csv(
                text,
                sep=dialect.separator,
                header=None,
                names=list(dialect.names),
                usecols=names,
                index_col=False,
                dtype={"tile_id": str},
                keep_default_na=False,
                na_values=[""],
                skipinitialspace=True,
                low_memory=False,  # else a column's type changes from chunk to chunk, with a warning
            )
    for name in frame.columns.difference(["tile_id"]):
        if frame[name].dtype.kind not in "biuf":
            frame[name] = _without_commas(frame[name], dialect.separator)
    return frame


def features(path: Path, names: Sequence[str], places: Places, crs: str | None = None) -> Features:
    """The rows with these columns as features in longitude and latitude.

    crs: of the coordinates; None: degrees on WGS 84. Raises DataError where no row has a place.
    """
    import geopandas

    table = read(path, [*names, *places.columns])
    found, unreadable = (_shapes if len(places.columns) == 1 else _points)(table, places)
    left_out = {"rows whose coordinates cannot be read": int(unreadable.sum())}
    frame = geopandas.GeoDataFrame(table, geometry=found)[~unreadable]
    if crs is not None:
        return Features.of(with_crs(frame, crs, path), path, left_out, "rows")
    bounds = frame.geometry.bounds
    degrees = bounds.minx.ge(-180) & bounds.maxx.le(360) & bounds.miny.ge(-90) & bounds.maxy.le(90)
    known = ~(frame.geometry.isna() | frame.geometry.is_empty)
    of = " and ".join(places.columns)
    if known.any() and not degrees.any():
        raise DataError(
            f"{path}: {of} hold no degrees; longitudes and latitudes are needed. "
            "Of other coordinates, name the CRS with --crs."
        )
    if not places.in_degrees and len(places.columns) == 2 and _is_count(table[places.columns[0]]):
        raise DataError(
            f"{path}: {places.columns[0]} counts the rows; longitudes are needed. "
            "Rename the column that has them."
        )
    left_out["rows whose coordinates are not degrees"] = int((known & ~degrees).sum())
    frame = frame[degrees | ~known].set_crs("OGC:CRS84")
    return Features.of(frame, path, left_out, "rows")


def _points(table: Any, places: Places) -> tuple[Any, Any]:
    """Points of the table's rows, None where there is none, and which rows say something else."""
    import geopandas
    import pandas as pd

    cells = [table[name] for name in places.columns]
    numbers = [pd.to_numeric(column, errors="coerce") for column in cells]
    empty = cells[0].isna() | cells[1].isna()
    there = numbers[0].notna() & numbers[1].notna()
    points = geopandas.GeoSeries(geopandas.points_from_xy(*numbers), index=table.index)
    return points.where(there, None), ~there & ~empty


def _shapes(table: Any, places: Places) -> tuple[Any, Any]:
    """The same of a column of WKT, of WKB, or of GeoJSON (Earth Engine's `.geo`)."""
    import geopandas
    import shapely

    cells = table[places.columns[0]].astype(object)
    cells = cells.where(cells.notna(), None)
    first = next(iter(cells.dropna()), "")
    parse = shapely.from_geojson if str(first).lstrip().startswith("{") else shapely.from_wkt
    if isinstance(first, bytes):
        parse = shapely.from_wkb
    shapes = geopandas.GeoSeries(parse(cells.to_numpy(), on_invalid="ignore"), index=table.index)
    return shapes, shapes.isna() & cells.notna()


def _is_count(column: Any) -> bool:
    """Whether it holds 1, 2, 3, … or 0, 1, 2, …"""
    import numpy as np

    values = column.to_numpy()
    if len(values) < 3 or values.dtype.kind not in "iuf" or values[0] not in (0, 1):
        return False
    return bool(np.array_equal(values, np.arange(len(values)) + values[0]))


def _without_commas(column: Any, separator: str) -> Any:
    """A column of text as numbers, where it holds numbers with decimal commas.

    Between separators that are commas, 500,000 is as likely half a million: that stays as it is.
    """
    import pandas as pd

    text = column.dropna().astype(str).str.strip()
    numbers = text[text.str.fullmatch(_NUMBER)]
    commas = numbers[numbers.str.fullmatch(_COMMA)]
    if commas.empty or numbers.str.contains(".", regex=False).any() or len(numbers) < len(text) / 2:
        return column
    if separator == "," and commas.str.fullmatch(_THOUSANDS).all():
        return column
    with_points = column.str.strip().str.replace(",", ".", regex=False)
    return pd.to_numeric(with_points) if len(numbers) == len(text) else with_points


# --- dialects ----------------------------------------------------------------------------------


def _dialect(path: Path) -> _Dialect:
    encoding = _encoding(path)
    with _opened(path, encoding) as text:
        first = text.readline()
        lines = 1
        while first and not first.strip():
            first = text.readline()
            lines += 1
        hint = re.fullmatch(r'"?sep=(.)"?', first.strip())  # of Excel's
        if hint:
            first = text.readline()
            lines += 1
        separator = hint[1] if hint else _separator(first, path)
        rows = csv.reader(_lines(first, text), delimiter=separator, skipinitialspace=True)
        header = next(rows, [])
        lines += rows.line_num - 1
        row = next((row for row in rows if row), header)
    names = [name.strip() for name in header]
    if not any(names):
        raise DataError(f"{path}: cannot be read as a table (it is empty). Check the file.")
    if len(row) == len(header) + 1:  # names of rows, as R writes them, or a separator behind the last cell
        names = [*names, ""] if not row[-1].strip() else ["", *names]
    names = [name or f"{_UNNAMED}{number}" for number, name in enumerate(names)]
    repeats = [names[:number].count(name) for number, name in enumerate(names)]
    names = [f"{name}.{again}" if again else name for name, again in zip(names, repeats, strict=True)]
    return _Dialect(tuple(names), separator, encoding, lines)


def _lines(first: str, text: TextIO) -> Iterator[str]:
    yield first
    yield from text


def _separator(header: str, path: Path) -> str:
    """The one that the header's names stand between."""
    bare = re.sub(r'"[^"]*"', "", header)
    usual = next(own for suffix, own in _SEPARATORS.items() if suffix in path.name.lower()[-7:])
    return max((usual, ",", ";", "\t", "|"), key=bare.count)


def _encoding(path: Path) -> str:
    """By the byte order mark; UTF-16 also by the zeros of its first letter."""
    with _bytes(path) as file:
        head = file.read(4)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if 0 in head[:2]:
        return "utf-16-be" if head[0] == 0 else "utf-16-le"
    return "utf-8-sig"


def _bytes(path: Path) -> Any:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


@contextmanager
def _opened(path: Path, encoding: str) -> Iterator[TextIO]:
    with _bytes(path) as file, io.TextIOWrapper(file, encoding, newline="") as text:
        yield text


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UnicodeError as error:
        raise DataError(
            f"{path}: cannot be read as a table (it is neither UTF-8 nor UTF-16). Save it as UTF-8."
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError, MemoryError, csv.Error) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read as a table ({reason}). Check the file.") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; a table is needed. Check the path.") from error

"""What a catalog says of a scene: when it was taken, and what its numbers mean."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tile2vec_cli.errors import Tile2VecError
from tile2vec_cli.geo import fills, stacks
from tile2vec_cli.geo.locations import is_remote

if TYPE_CHECKING:
    from tile2vec_cli.geo.raster_headers import Raster

_YEAR, _MONTH, _DAY = r"(?P<year>19[7-9]\d|20\d\d)", r"(?P<month>0[1-9]|1[0-2])", r"(?P<day>[0-3]\d)"
_OF_YEAR = r"(?P<of_year>[0-3]\d\d)"
_TIME = r"(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d\d{0,3})?"  # as it follows a date without a sign
_SHORT = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
# Tags that say when pixels were taken, in this order: GDAL's own, of HLS and MODIS, Sentinel-2, Landsat.
_TAKEN: tuple[str, ...] = ("ACQUISITIONDATETIME", "SENSING_TIME", "RANGEBEGINNINGDATE", "PRODUCT_START_TIME")
_TAKEN += ("DATE_ACQUIRED", "ACQUISITION_DATE", "ACQUISITIONDATE")
_WRITTEN = "TIFFTAG_DATETIME"  # last of all: many programs write the time of processing there
_TAG = re.compile(r"(\d{4})[-:/.](\d\d)[-:/.](\d\d)(?:[T ](\d\d):(\d\d):(\d\d))?(?=\D|$)")
_NAMED = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:^|_)AST_\w+_00\d{_MONTH}{_DAY}{_YEAR}\d{{6}}(?!\d)",  # ASTER
        # Landsat before its collections: sensor, path, row, year, day of the year, station, version
        rf"(?<![A-Z0-9])L[A-Z]\d{{7}}{_YEAR}{_OF_YEAR}[A-Z]{{3}}\d\d",
        # HLS, MODIS and VIIRS, and what AppEEARS cuts from them
        rf"(?<!\d){_YEAR}{_OF_YEAR}T\d{{4,6}}(?!\d)",
        rf"(?<!\d){_YEAR}{_OF_YEAR}T(?![A-Z0-9])",
        rf"(?:(?<![A-Z0-9])A|doy){_YEAR}{_OF_YEAR}(?!\d)",
        rf"HLS\.[LS]30\.T\w{{5}}\.{_YEAR}{_OF_YEAR}(?!\d)",
        rf"(?<!\d)(?P<short_year>\d\d)(?P<short_month>{'|'.join(_SHORT)}){_DAY}\d{{6}}(?!\d)",  # Maxar
        rf"(?<!\d){_YEAR}(?P<sign>[-_.]?){_MONTH}(?P=sign){_DAY}(?:{_TIME})?(?!\d)",
        rf"(?<!\d)(?P<one>\d\d)(?P<sign>[-_.])(?P<two>\d\d)(?P=sign){_YEAR}(?!\d)",
        rf"(?<!\d){_YEAR}-{_MONTH}(?![-_.]?\d)",
        rf"monthly_{_YEAR}_{_MONTH}(?!\d)",  # Planet's basemaps
    )
]
_FOLDERS = re.compile(r"/(?P<year>19[7-9]\d|20\d\d)/(?P<month>0?[1-9]|1[0-2])/(?P<day>[0-3]?\d)(?=/)")

Names = tuple[str | None, ...]

AS_STORED = (1.0, 0.0)  # scale and offset where a file declares none


def taken(path: str, tags: Mapping[str, str]) -> datetime | None:
    """When a scene was taken: as a tag of its acquisition says, its name, its folder's, or TIFF's own tag."""
    said = (_tagged(tags.get(name, "")) for name in _TAKEN)
    return next((time for time in said if time), None) or named(path) or _tagged(tags.get(_WRITTEN, ""))


def named(path: str) -> datetime | None:
    """The date in the name of a file, or else of its folder; midnight UTC, of a month its first day."""
    stack = stacks.parse(path)
    if stack is not None:
        path = stack.name
    elif is_remote(path):
        path = re.split(r"[?#]", path)[0]
    folder, _, own = path.rpartition("/")
    found = _dated(own) or _dated(folder.rpartition("/")[2])
    nested = None if found else _FOLDERS.search(f"{folder}/")
    if nested:
        found = _day(nested)
    return None if found is None else datetime(found.year, found.month, found.day, tzinfo=UTC)


def _dated(name: str) -> date | None:
    """The first date in a name. None where there is none, or where it may be another as well."""
    matches = [match for pattern in _NAMED for match in pattern.finditer(name)]
    days = (_day(match) for match in sorted(matches, key=lambda match: match.start()))
    return next((day for day in days if day), None)


def _day(match: re.Match[str]) -> date | None:
    said = match.groupdict()
    if "of_year" in said:
        return _date(int(said["year"]), of_year=int(said["of_year"]))
    if "short_year" in said:
        month = _SHORT.index(said["short_month"].upper()) + 1
        return _date(2000 + int(said["short_year"]), month, int(said["day"]))
    year = int(said["year"])
    if "one" in said:
        one, two = int(said["one"]), int(said["two"])
        either = {_date(year, one, two), _date(year, two, one)} - {None}
        return either.pop() if len(either) == 1 else None
    return _date(year, int(said["month"]), int(said.get("day") or 1))


def _date(year: int, month: int = 1, day: int = 1, of_year: int | None = None) -> date | None:
    """None where there is no such day."""
    try:
        found = date(year, month, day)
        if of_year is not None:
            found = date.fromordinal(found.toordinal() + of_year - 1)
    except ValueError:
        return None
    return found if found.year == year else None


def _tagged(text: str) -> datetime | None:
    found = _TAG.match(text.strip())
    if found is None:
        return None
    try:
        year, month, day, hour, minute, second = (int(number or 0) for number in found.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def bands_agree(found: Names, wanted: Names) -> bool:
    """Whether no band is called otherwise than the one in its place, as far as both have names."""
    if bands_known(found) and bands_known(wanted):
        return _plain(found) == _plain(wanted)
    both = zip(_plain(found), _plain(wanted), strict=False)
    return all(one == other for one, other in both if one and other)


def bands_known(names: Names) -> bool:
    """Whether every band has a name."""
    return bool(names) and all(_plain(names))


def band_numbers(names: Names, wanted: Names) -> list[int] | None:
    """Where in `names`, from 1, the wanted ones stand; None where one is missing or there twice."""
    plain = _plain(names)
    if not bands_known(wanted) or any(plain.count(name) != 1 for name in _plain(wanted)):
        return None
    return [plain.index(name) + 1 for name in _plain(wanted)]


def band_list(names: Sequence[object]) -> str:
    return ", ".join("?" if name is None else str(name) for name in names)


def _plain(names: Names) -> list[str]:
    return [(name or "").strip().casefold() for name in names]


@dataclass(frozen=True)
class BandFacts:
    """What is said of a band; None where nothing is."""

    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None


@dataclass(frozen=True)
class Facts:
    """What is said of a scene that is one file or a stack of files."""

    id: str
    collection: str | None = None
    datetime: datetime | None = None
    names: tuple[str, ...] = ()  # of what was chosen; empty: the only file, by no name
    picks: tuple[tuple[int, int | None], ...] = ((0, None),)  # for each name the file and its band; None: all
    bands: tuple[tuple[BandFacts, ...], ...] = ()  # of each file's bands; one stands for all of the file's
    error: Tile2VecError | None = None  # why the scene cannot be used

    @classmethod
    def of_json(cls, found: Mapping[str, Any] | None) -> Facts | None:
        """What `as_json` has written; None of none."""
        if found is None:
            return None
        taken = found.get("datetime")
        return cls(
            id=found["id"],
            collection=found.get("collection"),
            datetime=None if taken is None else datetime.fromisoformat(taken),
            names=tuple(found["names"]),
            picks=tuple((file, band) for file, band in found["picks"]),
            bands=tuple(tuple(BandFacts(**_numbers(band)) for band in file) for file in found["bands"]),
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "collection": self.collection,
            "datetime": None if self.datetime is None else self.datetime.isoformat(),
            "names": list(self.names),
            "picks": [list(pick) for pick in self.picks],
            "bands": [[_texts(asdict(band)) for band in file] for file in self.bands],
        }

    def require(self) -> None:
        """Raise what keeps the scene from being used."""
        if self.error is not None:
            raise self.error

    def is_of(self, other: Mapping[str, Any] | None) -> bool:
        """Whether another, as JSON, is of the same item."""
        return other is not None and (other["id"], other.get("collection")) == (self.id, self.collection)

    def chosen(self, bands: Sequence[int] | None) -> Sequence[int] | None:
        """Numbers in the scene's file of these of the bands chosen (None: all of them).

        In a stack they are the stack's own numbers: it holds only what was chosen.
        """
        own = [band for file, band in self.picks if file == 0 and band is not None]
        if len(own) < len(self.picks) or self.is_stack:
            return bands
        # A number that there is not is said as one that the file has not.
        return own if bands is None else [own[b - 1] if b <= len(own) else (1 << 30) + b for b in bands]

    @property
    def is_stack(self) -> bool:
        return len({file for file, _ in self.picks}) > 1

    def of_raster(self, raster: Raster, origins: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """The raster's fields that are other with what is said; `origins` are each band's file and number.

        Where both say something of the numbers in it, the raster does.
        """
        own = [self._of_band(*origin) for origin in origins]
        pairs = list(zip(raster.declared, own, strict=True))
        scaling = zip(raster.scaling, own, strict=True)
        found: dict[str, Any] = {
            "declared": tuple(said.nodata if value is None else value for value, said in pairs),
            "nodata": tuple(
                _held(said.nodata, raster.dtype) if declared is None else value
                for value, (declared, said) in zip(raster.nodata, pairs, strict=True)
            ),
            "scaling": tuple(
                (_or(said.scale, 1.0), _or(said.offset, 0.0)) if pair == AS_STORED else pair
                for pair, said in scaling
            ),
        }
        if self.datetime is not None:
            found["datetime"] = self.datetime
        if not self.is_stack:
            called = dict(zip((band or 1 for _, band in self.picks), self.names, strict=False))
            if all(band is None for _, band in self.picks) and raster.count > 1:
                called = {}
            found["descriptions"] = tuple(
                called.get(band, name) for band, name in enumerate(raster.descriptions, 1)
            )
        return found

    def _of_band(self, file: int, band: int) -> BandFacts:
        bands = self.bands[file] if file < len(self.bands) else ()
        if len(bands) == 1:
            return bands[0]
        return bands[band - 1] if band <= len(bands) else BandFacts()


def broken(name: str, error: Tile2VecError) -> Facts:
    """Of a scene that cannot be used."""
    return replace(Facts(name), error=error)


def _held(value: float | None, dtype: str) -> float | None:
    return None if fills.first_foreign([value], np.dtype(dtype)) is not None else value


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _texts(band: Mapping[str, float | None]) -> dict[str, float | str]:
    """What is said of a band, as JSON, which has no NaN."""
    said = {name: value for name, value in band.items() if value is not None}
    return {name: value if math.isfinite(value) else str(value) for name, value in said.items()}


def _numbers(band: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) if isinstance(value, str) else value for name, value in band.items()}

"""When a scene was taken: from its tags, its name and its folder's name.

Names of products hold a date in many ways; one that can be read in two ways is not read. Where a name
holds several, the first counts: the day of processing comes after the day of acquisition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime

from tile2vec_cli.geo import stacks
from tile2vec_cli.geo.remote import is_remote

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

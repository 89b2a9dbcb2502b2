"""What settings may be, and how they are spelled on a command line. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tile2vec_cli.errors import UsageError

# A shell's variable that is not set is an empty text, and that, taken as a path, the current folder.
NO_PATH = "is empty; a path is needed."
LOCATIONS = ("scenes", "labels", "evaluate", "init")  # parameters that take paths as texts, addresses too


def one_of(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UsageError(f"{option} {value}: unknown; needs one of {', '.join(choices)}.")


def at_least(option: str, value: float | None, least: float) -> None:
    if value is not None and not (math.isfinite(value) and value >= least):
        raise UsageError(f"{option} {value:g}: needs a number of at least {least:g}.")


def at_most(option: str, value: float, most: float) -> None:
    if value > most:
        raise UsageError(f"{option} {value}: needs a number of at most {most}.")


def above(option: str, value: float | None, bound: float) -> None:
    if value is not None and not (math.isfinite(value) and value > bound):
        raise UsageError(f"{option} {value:g}: needs a number above {bound:g}.")


def share(option: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise UsageError(f"{option} {value:g}: needs a share from 0 to 1.")


def share_below_one(option: str, value: float) -> None:
    if not 0.0 <= value < 1.0:
        raise UsageError(f"{option} {value:g}: needs a share from 0 to below 1.")


def chosen_bands(option: str, bands: Sequence[int]) -> None:
    if not bands or min(bands) < 1:
        raise UsageError(f"{option} {','.join(map(str, bands))}: bands count from 1.")
    if len(set(bands)) < len(bands):
        raise UsageError(f"{option} {','.join(map(str, bands))}: names a band twice.")


def shown_bands(option: str, rgb: Sequence[int]) -> None:
    if len(rgb) not in (1, 3) or min(rgb) < 1:
        raise UsageError(
            f"{option} {','.join(map(str, rgb))}: needs one band, or three for red, green and blue."
        )


def parse_ints(option: str, text: str) -> tuple[int, ...]:
    """Parse "1,2,10" (the form of --bands and --n-labels)."""
    try:
        return tuple(int(item) for item in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text}: needs whole numbers with commas, such as 1,2,3.") from error


def parse_counts(option: str, text: str) -> tuple[int, ...]:
    """Parse "1000,100": each once, from the least."""
    return tuple(sorted(set(parse_ints(option, text))))


def parse_numbers(option: str, texts: Sequence[str]) -> tuple[float, ...]:
    """Parse "0,-9999" and "7" (the form of --label-nodata)."""
    try:
        return tuple(float(item) for text in texts for item in text.split(","))
    except ValueError as error:
        text = ",".join(texts)
        raise UsageError(f"{option} {text}: needs numbers with commas, such as 0,-9999.") from error


def parse_place(text: str) -> str | tuple[float, float]:
    """A place (longitude, latitude) where the text is two numbers with a comma, else the text."""
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError:
        return text
    return x, y


def each_once(_option: str, texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def parse_names(option: str, text: str, choices: Sequence[str]) -> tuple[str, ...]:
    """Parse "stats,pca" into names out of `choices`."""
    names = tuple(item.strip() for item in text.split(",") if item.strip())
    for name in names:
        one_of(option, name, choices)
    return names


def parse_stack(option: str, text: str) -> tuple[str, ...]:
    """Parse "B02,B03" of --stack: each name once, as it stands in names of files."""
    names = _each_once(text)
    if not names or any("/" in name for name in names):
        raise UsageError(f"{option} {text}: needs names of bands, each once, such as B02,B03,B04,B08.")
    return names


def parse_assets(option: str, text: str) -> tuple[str, ...]:
    """Parse "red,green" of --assets: each name once, as items have it."""
    names = _each_once(text)
    if not names:
        raise UsageError(
            f"{option} {text}: needs names of assets or bands, each once, such as red,green,blue."
        )
    return names


def _each_once(text: str) -> tuple[str, ...]:
    """The names between commas; none where one is empty or comes twice."""
    names = tuple(item.strip() for item in text.split(","))
    return names if all(names) and len(set(names)) == len(names) else ()


def parse_classes(text: str) -> tuple[tuple[range, ...], frozenset[str]]:
    """Parse "1-60,66-77" of --positive, or "crop,orchard": ranges of codes, and names in small letters."""
    codes: list[range] = []
    names: set[str] = set()
    for item in filter(None, (item.strip() for item in text.split(","))):
        low, dash, high = item.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            names.add(item.casefold())
        elif dash and int(high) < int(low):
            raise UsageError(f"--positive {text}: the range {item} runs backwards; needs LOW-HIGH.")
        else:
            codes.append(range(int(low), int(high or low) + 1))
    if not codes and not names:
        raise UsageError(f"--positive {text!r}: names no class; needs codes such as 1-60,66-77.")
    return tuple(codes), frozenset(names)


def on_earth(places: Sequence[str | tuple[float, float]]) -> None:
    for lon, lat in (place for place in places if not isinstance(place, str)):
        if not (abs(lon) <= 180 and abs(lat) <= 90):
            raise UsageError(f"{lon:g},{lat:g}: no place on the Earth; needs LONGITUDE,LATITUDE.")

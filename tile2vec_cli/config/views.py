"""Settings of the commands that look at vectors; see `pipeline.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tile2vec_cli.config import fields
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.rules import above, at_least, on_earth, one_of, parse_place, share
from tile2vec_cli.config.training import PARTS
from tile2vec_cli.errors import DataError, InputError, UsageError

Place = str | tuple[float, float]
_EXAMPLE = "TILE_ID|X,Y|@ids.txt"


def _shown_bands(rgb: tuple[int, ...] | None) -> None:
    if rgb is not None and (len(rgb) not in (1, 3) or min(rgb) < 1):
        raise UsageError(
            f"--rgb {','.join(map(str, rgb))}: needs one band, or three for red, green and blue."
        )


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    """Settings that decide the result; `part` counts where one is asked for."""
    aside = {*names, *(["part"] if settings["part"] is None else [])}
    return {name: value for name, value in settings.items() if name not in aside}


def _part(name: str | None) -> None:
    if name is not None:
        one_of("--part", name, PARTS)


def _part_option() -> Any:
    return option(
        None,
        metavar="|".join(PARTS),
        help="Compare one part of the vectors alone: texture, what a tile shows, or place, what it shares "
        "with its surroundings (default: whole vectors).",
    )


def _examples(flag: str, texts: Sequence[str]) -> tuple[Place, ...]:
    """tile_ids and places, those of @files among them, each once."""
    found: list[Place] = []
    for text in texts:
        if text.startswith("@"):
            lines = [line.strip() for line in _read(text[1:]).splitlines() if line.strip()]
            if not lines:
                raise DataError(f"{text[1:]}: is empty; {flag} needs one tile_id or X,Y a line.")
            found += map(parse_place, lines)
        elif text.strip():
            found.append(parse_place(text.strip()))
        else:
            raise UsageError(f"{flag}: names nothing; needs a tile_id, X,Y or @ids.txt.")
    return tuple(dict.fromkeys(found))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; a list of tile_ids is needed. Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text; a list of tile_ids, one per line, is needed.") from error


def _terms(_flag: str, texts: Sequence[str]) -> tuple[Place, ...]:
    for text in texts:
        if text.startswith("-") and isinstance(parse_place(text), str):
            raise UsageError(f"{text}: no such option. See `tile2vec analogy --help`.")
    return tuple(parse_place(text.strip()) for text in texts)


@dataclass(frozen=True)
class SimilarConfig:
    """Which tiles to look for. Examples are tile_ids, or (longitude, latitude) of points in a tile."""

    to: tuple[Place, ...] = option(
        metavar=_EXAMPLE,
        repeatable=True,
        parse=_examples,
        help="Example: a tile, the tile at longitude,latitude, or a file with one per line. Repeatable.",
    )
    without: tuple[Place, ...] = option(
        (),
        flag="--not",
        metavar=_EXAMPLE,
        repeatable=True,
        parse=_examples,
        help="Counter-example: tiles nearer to it than to the examples are left out. Repeatable.",
    )
    part: str | None = _part_option()
    top: int = option(20, help="How many tiles to find.")
    rgb: tuple[int, ...] | None = fields.rgb()

    def __post_init__(self) -> None:
        _part(self.part)
        at_least("--top", self.top, 1)
        on_earth((*self.to, *self.without))
        _shown_bands(self.rgb)

    def settings(self) -> dict[str, Any]:
        """What decides the rows, as JSON."""
        both = {"to": self.to, "not": self.without}
        named = {key: [[*x] if isinstance(x, tuple) else x for x in places] for key, places in both.items()}
        return {**named, **({"part": self.part} if self.part else {}), "top": self.top}


@dataclass(frozen=True)
class PreviewConfig:
    """How embeddings become a picture."""

    clusters: int = option(10, help="Rows of the sheet.")
    rgb: tuple[int, ...] | None = fields.rgb()
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        at_least("--clusters", self.clusters, 1)
        _shown_bands(self.rgb)
        at_least("--seed", self.seed, 0)


@dataclass(frozen=True)
class AnalogyConfig:
    """A - B + C: what to look for. Terms are tile_ids, places in tiles, or names of classes."""

    terms: tuple[Place, ...] = option(
        (),
        flag="A B C",
        repeatable=True,
        parse=_terms,
        help="Each a tile_id, longitude,latitude in a tile, or a class of --labels.",
    )
    part: str | None = _part_option()
    field: str | None = fields.class_field()
    min_purity: float = fields.min_purity()
    top: int = option(20, help="How many tiles to find.")
    rgb: tuple[int, ...] | None = fields.rgb()
    score: bool = option(False, help="Without A B C: how often class arithmetic finds the right class.")
    draws: int = option(2000, help="Analogies drawn for --score.")
    block_m: float | None = option(
        None, metavar="METRES", help="Side of a spatial block of --score (default: as in `probe`)."
    )
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        if len(self.terms) != (0 if self.score else 3):
            raise UsageError(
                f"{len(self.terms)} terms{' and --score' * self.score}: needs three, A B C, or --score alone."
            )
        if not self.score and self.terms[0] == self.terms[1]:
            raise UsageError("A and B are the same: A - B + C is C. Name two things that differ.")
        _part(self.part)
        share("--min-purity", self.min_purity)
        at_least("--top", self.top, 1)
        on_earth(self.terms)
        _shown_bands(self.rgb)
        at_least("--draws", self.draws, 1)
        above("--block", self.block_m, 0)
        at_least("--seed", self.seed, 0)

    def settings(self) -> dict[str, Any]:
        """What decides the rows and the score, as JSON."""
        return _without(asdict(self), "rgb")


@dataclass(frozen=True)
class ChangeConfig:
    """Which tiles are compared, and how."""

    before_scenes: tuple[str, ...] = option(
        (), metavar="GLOB", repeatable=True, help="Scenes of BEFORE to compare, such as '*2014*'. Repeatable."
    )
    after_scenes: tuple[str, ...] = option(
        (), metavar="GLOB", repeatable=True, help="Scenes of AFTER to compare. Repeatable."
    )
    part: str | None = _part_option()
    within_m: float | None = option(
        None,
        metavar="METRES",
        help="How far apart the centres of a pair may lie (default: half a tile's side).",
    )
    centre: bool = option(True, help="Subtract what differs everywhere between the dates, such as light.")
    top: int = option(20, help="How many of the most changed to name and to show.")
    rgb: tuple[int, ...] | None = fields.rgb()

    def __post_init__(self) -> None:
        _part(self.part)
        above("--within", self.within_m, 0)
        at_least("--top", self.top, 1)
        _shown_bands(self.rgb)

    def settings(self) -> dict[str, Any]:
        """What decides the pairs, their distances and which are named, as JSON."""
        return _without(asdict(self), "rgb")


@dataclass(frozen=True)
class InspectConfig:
    """How embeddings are looked into."""

    field: str | None = fields.class_field()
    min_purity: float = fields.min_purity()
    red: int | None = option(None, metavar="BAND", help="Red among the tiles' bands, for NDVI (of four: 1).")
    nir: int | None = option(None, metavar="BAND", help="Near-infrared among them (of four: 4).")
    components: int = option(4, help="Principal components whose extreme tiles are shown.")
    sample: int = option(10_000, help="Most tiles to evaluate factors and labels on.")
    block_m: float | None = option(
        None, metavar="METRES", help="Side of a block that is left out (default: 20 × the tile's side)."
    )
    rgb: tuple[int, ...] | None = fields.rgb()
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        share("--min-purity", self.min_purity)
        for flag, band in (("--red", self.red), ("--nir", self.nir)):
            at_least(flag, band, 1)
        if (self.red is None) != (self.nir is None):
            raise UsageError("--red and --nir: each needs the other. Give both or neither.")
        if self.red is not None and self.red == self.nir:
            raise UsageError(f"--red {self.red}: is also --nir; needs two different bands.")
        at_least("--components", self.components, 1)
        at_least("--sample", self.sample, 50)
        above("--block", self.block_m, 0)
        _shown_bands(self.rgb)
        at_least("--seed", self.seed, 0)

    def settings(self) -> dict[str, Any]:
        return asdict(self)

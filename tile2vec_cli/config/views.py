"""Settings of the commands that look at vectors; see `pipeline.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tile2vec_cli.config import fields
from tile2vec_cli.config.fields import check, option
from tile2vec_cli.config.pipeline import CLASSIFIER_NAMES
from tile2vec_cli.config.rules import on_earth, parse_place
from tile2vec_cli.config.training import PARTS
from tile2vec_cli.errors import UsageError

Place = str | tuple[float, float]
_EXAMPLE = "TILE_ID|X,Y|@ids.txt"


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    """Settings that decide the result; `part` counts where one is asked for."""
    aside = {*names, *(["part"] if settings["part"] is None else [])}
    return {name: value for name, value in settings.items() if name not in aside}


def _part() -> Any:
    return option(
        None,
        choices=PARTS,
        help="Compare one part of the vectors alone: texture, what a tile shows, or place, what it shares "
        "with its surroundings (default: whole vectors).",
    )


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
        help="Example: a tile, the tile at longitude,latitude, or a file with one per line. Repeatable.",
    )
    without: tuple[Place, ...] = option(
        (),
        flag="--not",
        metavar=_EXAMPLE,
        repeatable=True,
        help="Counter-example: tiles nearer to it than to the examples are left out. Repeatable.",
    )
    part: str | None = _part()
    top: int = option(20, least=1, help="How many tiles to find.")
    rgb: tuple[int, ...] | None = fields.rgb()

    def __post_init__(self) -> None:
        check(self)
        on_earth((*self.to, *self.without))

    def settings(self) -> dict[str, Any]:
        """What decides the rows, as JSON."""
        both = {"to": self.to, "not": self.without}
        named = {key: [[*x] if isinstance(x, tuple) else x for x in places] for key, places in both.items()}
        return {**named, **({"part": self.part} if self.part else {}), "top": self.top}


@dataclass(frozen=True)
class PreviewConfig:
    """How embeddings become a picture."""

    clusters: int = option(10, least=1, help="Rows of the sheet.")
    rgb: tuple[int, ...] | None = fields.rgb()
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        check(self)


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
    part: str | None = _part()
    field: str | None = fields.class_field()
    min_purity: float = fields.min_purity()
    top: int = option(20, least=1, help="How many tiles to find.")
    rgb: tuple[int, ...] | None = fields.rgb()
    score: bool = option(False, help="Without A B C: how often class arithmetic finds the right class.")
    draws: int = option(2000, least=1, help="Analogies drawn for --score.")
    block_m: float | None = option(
        None, metavar="METRES", above=0, help="Side of a spatial block of --score (default: as in `probe`)."
    )
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        check(self)
        if len(self.terms) != (0 if self.score else 3):
            raise UsageError(
                f"{len(self.terms)} terms{' and --score' * self.score}: needs three, A B C, or --score alone."
            )
        if not self.score and self.terms[0] == self.terms[1]:
            raise UsageError("A and B are the same: A - B + C is C. Name two things that differ.")
        on_earth(self.terms)

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
    part: str | None = _part()
    within_m: float | None = option(
        None,
        metavar="METRES",
        above=0,
        help="How far apart the centres of a pair may lie (default: half a tile's side).",
    )
    centre: bool = option(True, help="Subtract what differs everywhere between the dates, such as light.")
    top: int = option(20, least=1, help="How many of the most changed to name and to show.")
    rgb: tuple[int, ...] | None = fields.rgb()

    def __post_init__(self) -> None:
        check(self)

    def settings(self) -> dict[str, Any]:
        """What decides the pairs, their distances and which are named, as JSON."""
        return _without(asdict(self), "rgb")


@dataclass(frozen=True)
class InspectConfig:
    """How embeddings are looked into."""

    field: str | None = fields.class_field()
    min_purity: float = fields.min_purity()
    red: int | None = option(
        None, metavar="BAND", least=1, help="Red among the tiles' bands, for NDVI (of four: 1)."
    )
    nir: int | None = option(None, metavar="BAND", least=1, help="Near-infrared among them (of four: 4).")
    components: int = option(4, least=1, help="Principal components whose extreme tiles are shown.")
    sample: int = option(10_000, least=50, help="Tiles that factors and labels are judged on, at most.")
    block_m: float | None = option(
        None,
        metavar="METRES",
        above=0,
        help="Side of a block that is left out (default: 20 × the tile's side).",
    )
    rgb: tuple[int, ...] | None = fields.rgb()
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        check(self)
        if (self.red is None) != (self.nir is None):
            raise UsageError("--red and --nir: each needs the other. Give both or neither.")
        if self.red is not None and self.red == self.nir:
            raise UsageError(f"--red {self.red}: is also --nir; needs two different bands.")

    def settings(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class SuggestConfig:
    """Which tiles to label next."""

    count: int = option(50, least=1, help="How many tiles to suggest.")
    field: str | None = fields.class_field()  # of the labels
    min_purity: float = fields.min_purity()
    classifier: str = option("logistic", choices=CLASSIFIER_NAMES, help="Whose doubts count.")
    part: str | None = _part()
    rgb: tuple[int, ...] | None = fields.rgb()
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        check(self)

    def settings(self) -> dict[str, Any]:
        """What decides the tiles, as JSON."""
        return _without(asdict(self), "rgb")


@dataclass(frozen=True)
class ClassifyConfig:
    """How labels become a class of every tile."""

    positive: tuple[Place, ...] = option(
        (),
        metavar=_EXAMPLE,
        repeatable=True,
        help="Instead of --labels, example of what is looked for: a tile, the tile at longitude,latitude, or "
        "a file with one on each line. Repeatable.",
    )
    negative: tuple[Place, ...] = option(
        (),
        metavar=_EXAMPLE,
        repeatable=True,
        help="Example of what is something else. Repeatable.",
    )
    field: str | None = fields.class_field()  # of the labels
    min_purity: float = fields.min_purity()
    classifier: str = option("logistic", choices=CLASSIFIER_NAMES, help="What learns from the labels.")
    part: str | None = _part()
    block_m: float | None = fields.block("20 × the tile's side; 1000 where embeddings are points")
    probability: str | None = option(
        None, metavar="CLASS", help="Maps: the probability of this class, in place of the classes."
    )
    dissolve: bool = option(False, help="Tables: neighbouring tiles of one class as one polygon.")
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        check(self)
        if bool(self.positive) != bool(self.negative):
            raise UsageError("--positive and --negative: each needs the other. Give examples of both.")
        for place in self.positive:
            if place in self.negative:
                raise UsageError(f"{place}: given with --positive and --negative; a tile is one of them.")
        on_earth((*self.positive, *self.negative))

    def settings(self) -> dict[str, Any]:
        """What decides the classes, as JSON."""
        return _without(asdict(self), "probability", "dissolve")

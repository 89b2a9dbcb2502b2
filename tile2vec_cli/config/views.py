"""Settings of the commands that look at vectors; see `pipeline.py`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tile2vec_cli.config.pipeline import CLASSIFIER_NAMES
from tile2vec_cli.config.rules import above, at_least, on_earth, one_of, share
from tile2vec_cli.config.training import PARTS
from tile2vec_cli.errors import UsageError


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


@dataclass(frozen=True)
class SimilarConfig:
    """Which tiles to look for. Examples are tile_ids, or (longitude, latitude) of points in a tile."""

    to: tuple[str | tuple[float, float], ...] = ()
    without: tuple[str | tuple[float, float], ...] = ()  # the examples of --not
    part: str | None = None  # of the vectors; None: whole ones
    top: int = 20
    rgb: tuple[int, ...] | None = None  # bands of the picture; None: the first three, or the first

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

    clusters: int = 10  # rows of the sheet
    rgb: tuple[int, ...] | None = None  # bands of the sheet; None: the first three, or the first
    seed: int = 0  # of the clusters

    def __post_init__(self) -> None:
        at_least("--clusters", self.clusters, 1)
        _shown_bands(self.rgb)
        at_least("--seed", self.seed, 0)


@dataclass(frozen=True)
class AnalogyConfig:
    """A - B + C: what to look for. Terms are tile_ids, places in tiles, or names of classes."""

    terms: tuple[str | tuple[float, float], ...] = ()  # three; none for the score
    part: str | None = None  # of the vectors; None: whole ones
    field: str | None = None  # of the labels
    min_purity: float = 0.8
    top: int = 20
    rgb: tuple[int, ...] | None = None
    score: bool = False
    draws: int = 2000
    block_m: float | None = None  # None: 20 times the tile's side
    seed: int = 0

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

    before_scenes: tuple[str, ...] = ()  # globs of names; none: all scenes
    after_scenes: tuple[str, ...] = ()
    part: str | None = None  # of the vectors; None: whole ones
    within_m: float | None = None  # between the centres of a pair at most; None: half the tile's side
    centre: bool = True  # leave out what the two dates differ in everywhere
    top: int = 20
    rgb: tuple[int, ...] | None = None

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

    field: str | None = None  # of the labels
    min_purity: float = 0.8
    red: int | None = None  # bands of the tile set, from 1; None: 1 and 4 where it has four
    nir: int | None = None
    components: int = 4  # principal components of which the extreme tiles are shown
    sample: int = 10_000  # tiles that factors are learned from and the probe is run on
    block_m: float | None = None  # None: 20 times the tile's side
    rgb: tuple[int, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        share("--min-purity", self.min_purity)
        for option, band in (("--red", self.red), ("--nir", self.nir)):
            at_least(option, band, 1)
        if (self.red is None) != (self.nir is None):
            raise UsageError("--red and --nir: the one needs the other. Give both or neither.")
        if self.red is not None and self.red == self.nir:
            raise UsageError(f"--red {self.red}: is --nir, too; needs two bands.")
        at_least("--components", self.components, 1)
        at_least("--sample", self.sample, 50)
        above("--block", self.block_m, 0)
        _shown_bands(self.rgb)
        at_least("--seed", self.seed, 0)

    def settings(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ClassifyConfig:
    """How labels become a class of every tile."""

    positive: tuple[str | tuple[float, float], ...] = ()  # examples, where there are no labels
    negative: tuple[str | tuple[float, float], ...] = ()
    field: str | None = None  # of the labels
    min_purity: float = 0.8
    classifier: str = "logistic"
    part: str | None = None  # of the vectors; None: whole ones
    block_m: float | None = None  # None: 20 times the tile's side
    probability: str | None = None  # maps: of this class; None: the classes
    dissolve: bool = False  # neighbouring tiles of one class are one polygon
    seed: int = 0

    def __post_init__(self) -> None:
        if bool(self.positive) != bool(self.negative):
            raise UsageError("--positive and --negative: the one needs the other. Give examples of both.")
        for place in self.positive:
            if place in self.negative:
                raise UsageError(f"{place}: given with --positive and --negative; a tile is one of them.")
        on_earth((*self.positive, *self.negative))
        share("--min-purity", self.min_purity)
        one_of("--classifier", self.classifier, CLASSIFIER_NAMES)
        _part(self.part)
        above("--block", self.block_m, 0)
        at_least("--seed", self.seed, 0)

    def settings(self) -> dict[str, Any]:
        """What decides the classes, as JSON."""
        return _without(asdict(self), "probability", "dissolve")

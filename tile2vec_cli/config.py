"""One frozen dataclass per stage. Each checks itself at birth; nobody checks again later.

Standard library only: `--help` reads the defaults from here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tile2vec_cli.errors import UsageError

ENCODER_NAMES = ("auto", "resnet18", "small")
CLASSIFIER_NAMES = ("logistic", "forest", "mlp", "knn")
BASELINE_NAMES = ("stats", "pca", "random")


def _one_of(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UsageError(f"{option} {value}: unknown; needs one of {', '.join(choices)}.")


def _at_least(option: str, value: float | None, least: float) -> None:
    if value is not None and not (math.isfinite(value) and value >= least):
        raise UsageError(f"{option} {value:g}: needs a number of at least {least:g}.")


def _above(option: str, value: float | None, bound: float) -> None:
    if value is not None and not (math.isfinite(value) and value > bound):
        raise UsageError(f"{option} {value:g}: needs a number above {bound:g}.")


def _share(option: str, value: float, *, below_one: bool = False) -> None:
    if not (0.0 <= value < 1.0 or (value == 1.0 and not below_one)):
        raise UsageError(f"{option} {value:g}: needs a share from 0 to {'below 1' if below_one else '1'}.")


def parse_ints(option: str, text: str) -> tuple[int, ...]:
    """Parse "1,2,10" (the form of --bands and --n-labels)."""
    try:
        return tuple(int(item) for item in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text}: needs whole numbers with commas, such as 1,2,3.") from error


def parse_place(text: str) -> str | tuple[float, float]:
    """A place (longitude, latitude) where the text is two numbers with a comma, else the text."""
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError:
        return text
    return x, y


def parse_names(option: str, text: str, choices: Sequence[str]) -> tuple[str, ...]:
    """Parse "stats,pca" into names out of `choices`."""
    names = tuple(item.strip() for item in text.split(",") if item.strip())
    for name in names:
        _one_of(option, name, choices)
    return names


@dataclass(frozen=True)
class TileConfig:
    """How scenes are cut into tiles."""

    size: int = 50  # side of a tile in pixels; 50 in both papers
    stride: int | None = None  # step from window to window in pixels; None: the size
    bands: tuple[int, ...] | None = None  # 1-based, in this order; None: all
    alpha: str = "auto"  # what a band tagged alpha is
    min_valid: float = 1.0  # share of pixels of a tile that must be valid in every band
    nodata: float | None = None  # fill value where the scene declares none
    snap: bool = False  # windows start at multiples of the tile's side in map coordinates
    virtual: bool = False  # an index only: the pixels stay in the scenes

    def __post_init__(self) -> None:
        _at_least("--size", self.size, 2)
        _at_least("--stride", self.stride, 1)
        if self.bands is not None and (not self.bands or min(self.bands) < 1):
            raise UsageError(f"--bands {','.join(map(str, self.bands))}: bands count from 1.")
        if self.bands is not None and len(set(self.bands)) < len(self.bands):
            raise UsageError(f"--bands {','.join(map(str, self.bands))}: names a band twice.")
        _one_of("--alpha", self.alpha, ("auto", "mask", "data"))
        _share("--min-valid", self.min_valid)

    @property
    def step(self) -> int:
        return self.size if self.stride is None else self.stride

    def settings(self) -> dict[str, Any]:
        """What decides the output, as JSON."""
        found = asdict(self)
        found["stride"] = self.step
        found["bands"] = None if self.bands is None else list(self.bands)
        if self.nodata is not None and math.isnan(self.nodata):
            found["nodata"] = "nan"
        return found


@dataclass(frozen=True)
class TripletConfig:
    """How triplets are drawn. Distances in metres between tile centres."""

    count: int = 100_000
    neighborhood_m: float | None = None  # None: twice the tile's side
    distant_min_m: float | None = None  # None: the neighborhood
    distant_max_m: float | None = None  # None: no limit
    neighbors: str = "any"  # which scenes a neighbor may come from
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least("--count", self.count, 1)
        _above("--neighborhood", self.neighborhood_m, 0)
        _at_least("--distant-min", self.distant_min_m, 0)
        _above("--distant-max", self.distant_max_m, 0)
        _one_of("--neighbors", self.neighbors, ("any", "same-scene", "other-scene"))
        _at_least("--seed", self.seed, 0)
        least = self.distant_min_m if self.distant_min_m is not None else self.neighborhood_m
        if self.distant_max_m is not None and least is not None and self.distant_max_m <= least:
            raise UsageError(
                f"--distant-max {self.distant_max_m:g}: needs to exceed --distant-min ({least:g} m)."
            )

    def settings(self) -> dict[str, Any]:
        return asdict(self)


OBJECTIVE_NAMES = (
    *("triplet", "autoencoder", "rotation", "context", "jigsaw", "colorization", "inpainting"),
    *("order", "contrastive", "infonce", "supervised"),
)
LABELLED = ("contrastive", "supervised")
# What only some objectives use, and which.
_USERS = {
    "margin": ("triplet", "contrastive"),
    "l2": ("triplet",),
    "distants": ("triplet",),
    "temperature": ("infonce",),
    "labels": LABELLED,
    "field": LABELLED,
    "min_purity": LABELLED,
    "augment": tuple(name for name in OBJECTIVE_NAMES if name != "rotation"),
}


@dataclass(frozen=True)
class TrainConfig:
    """How an encoder is trained on triplets. Defaults are the paper's unless said otherwise."""

    objective: str = "triplet"  # see objectives.py
    encoder: str = "auto"  # auto: resnet18 (the paper's TileNet) on a GPU, small on a CPU
    dim: int | None = None  # length of the vectors; None: 512, for small 128
    init: str | None = None  # a model to start from
    margin: float = 10.0
    l2: float = 0.01
    distants: str = "in-batch"  # the paper: saved; see benchmarks/RESULTS.md
    temperature: float = 0.1  # of infonce
    labels: str | None = None  # file of the classes that a labelled objective learns
    field: str | None = None
    min_purity: float = 0.8
    epochs: int | None = None  # None: 50, or no limit where steps or minutes set one
    steps: int | None = None  # stop after so many steps
    minutes: float | None = None  # stop after so many minutes; the rate falls to 0 by then
    batch_size: int | None = None  # None: the encoder's own, see encoders.py
    lr: float | None = None  # Adam's first rate; None: 0.001 as in the paper, for small 0.002
    augment: bool = True
    jitter: float = 0.8  # how much the light changes for the second column of `small`, in deviations
    val_fraction: float = 0.05
    patience: int | None = None  # epochs without a better validation loss
    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("--objective", self.objective, OBJECTIVE_NAMES)
        for name in self._unused:
            if getattr(self, name) != getattr(TrainConfig, name):
                option = "--no-augment" if name == "augment" else f"--{name.replace('_', '-')}"
                raise UsageError(f"{option}: --objective {self.objective} does not use it. Leave it out.")
        if self.objective in LABELLED and self.labels is None:
            raise UsageError(f"--objective {self.objective}: needs classes. Give them with --labels.")
        _above("--temperature", self.temperature, 0)
        _share("--min-purity", self.min_purity)
        _one_of("--encoder", self.encoder, ENCODER_NAMES)
        _at_least("--dim", self.dim, 2)
        _above("--margin", self.margin, 0)
        _at_least("--l2", self.l2, 0)
        _one_of("--distants", self.distants, ("in-batch", "saved"))
        _at_least("--epochs", self.epochs, 1)
        _at_least("--steps", self.steps, 1)
        _above("--minutes", self.minutes, 0)
        _at_least("--batch-size", self.batch_size, 2)
        _above("--lr", self.lr, 0)
        _at_least("--jitter", self.jitter, 0)
        _share("--val-fraction", self.val_fraction, below_one=True)
        _at_least("--patience", self.patience, 1)
        if self.patience is not None and self.val_fraction == 0:
            raise UsageError("--patience: needs a validation loss. Give a --val-fraction above 0.")
        _one_of("--device", self.device, ("auto", "cpu", "cuda"))
        _one_of("--precision", self.precision, ("auto", "bf16", "fp32"))
        _at_least("--seed", self.seed, 0)

    @property
    def most_epochs(self) -> int | None:
        """Epochs after which training ends; None: steps or minutes decide."""
        if self.epochs is None and self.steps is None and self.minutes is None:
            return 50
        return self.epochs

    def settings(self) -> dict[str, Any]:
        """What decides the output, as JSON: not where or how it is computed.

        What the objective does not use is left out, and so is the default objective. Files count by
        what they hold: whoever reads them adds that.
        """
        found = {**asdict(self), "epochs": self.most_epochs}
        aside = {"device", "compile", "labels", "init", *self._unused}
        if self.objective == TrainConfig.objective:
            aside.add("objective")
        return {name: value for name, value in found.items() if name not in aside}

    @property
    def _unused(self) -> list[str]:
        return [name for name, users in _USERS.items() if self.objective not in users]


@dataclass(frozen=True)
class EmbedConfig:
    """How tiles become vectors."""

    dtype: str = "float32"  # how the vectors are stored
    batch_size: int | None = None  # None: the encoder's own
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        _one_of("--dtype", self.dtype, ("float32", "float16", "int8"))
        _at_least("--batch-size", self.batch_size, 1)
        _one_of("--device", self.device, ("auto", "cpu", "cuda"))
        _one_of("--precision", self.precision, ("auto", "bf16", "fp32"))

    def settings(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "precision": self.precision}


@dataclass(frozen=True)
class ProbeConfig:
    """How embeddings are judged."""

    field: str | None = None
    min_purity: float = 0.8
    classifiers: tuple[str, ...] = ("logistic", "forest")
    n_labels: tuple[int, ...] = (100, 1000, 10000)
    repeats: int = 10
    test_fraction: float = 0.3
    split: str = "blocks"
    block_m: float | None = None  # None: 20 times the tile's side
    baselines: tuple[str, ...] = ()
    end_to_end: float | None = None  # minutes for each network that learns from the pixels themselves
    end_to_end_repeats: int = 3  # draws for these; the first ones
    seed: int = 0

    def __post_init__(self) -> None:
        _share("--min-purity", self.min_purity)
        for name in self.classifiers:
            _one_of("--classifier", name, CLASSIFIER_NAMES)
        for name in self.baselines:
            _one_of("--baselines", name, BASELINE_NAMES)
        for count in self.n_labels:
            _at_least("--n-labels", count, 2)
        _at_least("--repeats", self.repeats, 1)
        _share("--test-fraction", self.test_fraction, below_one=True)
        _above("--test-fraction", self.test_fraction, 0)
        _one_of("--split", self.split, ("blocks", "random"))
        _above("--block", self.block_m, 0)
        _above("--end-to-end", self.end_to_end, 0)
        _at_least("--end-to-end-repeats", self.end_to_end_repeats, 1)
        _at_least("--seed", self.seed, 0)

    def settings(self) -> dict[str, Any]:
        found = asdict(self)
        if self.end_to_end is None:
            found["end_to_end_repeats"] = None
        return found


def parse_classes(option: str, text: str) -> tuple[tuple[range, ...], frozenset[str]]:
    """Parse "1-60,66-77" or "crop,orchard": ranges of codes, and names in small letters."""
    codes: list[range] = []
    names: set[str] = set()
    for item in filter(None, (item.strip() for item in text.split(","))):
        low, dash, high = item.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            names.add(item.casefold())
        elif dash and int(high) < int(low):
            raise UsageError(f"{option} {text}: the range {item} runs backwards; needs LOW-HIGH.")
        else:
            codes.append(range(int(low), int(high or low) + 1))
    if not codes and not names:
        raise UsageError(f"{option} {text!r}: names no class; needs codes such as 1-60,66-77.")
    return tuple(codes), frozenset(names)


SUPERVISIONS = ("pixel", "image", "full")
CROPLAND = "1-60,66-77,196-255"  # of the USDA Cropland Data Layer, as in Wang et al. 2020; 0 is no data


@dataclass(frozen=True)
class WeakConfig:
    """How a U-Net learns to segment one class from weak labels. None: the recipe's own."""

    supervision: tuple[str, ...] = ("pixel",)  # of several, the first one's model is kept
    field: str | None = None
    positive: str | None = None  # codes such as 1-60,66-77, or class names; None: CROPLAND
    n_labels: tuple[int | None, ...] = (None,)  # training tiles used; None: all
    recipe: str = "assisted"
    compare: bool = False
    repeats: int = 1
    test_fraction: float = 0.3
    block_m: float | None = None  # None: three times the tile's side
    label_noise: float = 0.0  # share of the training labels that are flipped
    threshold: float | None = None  # of the probability; None: from the training labels
    evaluate: str | None = None  # raster of clean labels to score against
    init: str | None = None  # a segmenter to start from
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.supervision:
            _one_of("--supervision", name, SUPERVISIONS)
        _one_of("--recipe", self.recipe, ("assisted", "paper"))
        parse_classes("--positive", self.positive if self.positive is not None else CROPLAND)
        for count in self.n_labels:
            _at_least("--n-labels", count, 2)
        _at_least("--repeats", self.repeats, 1)
        _share("--test-fraction", self.test_fraction, below_one=True)
        _above("--test-fraction", self.test_fraction, 0)
        _above("--block", self.block_m, 0)
        _share("--label-noise", self.label_noise, below_one=True)
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise UsageError(f"--threshold {self.threshold:g}: needs auto, or a number between 0 and 1.")
        _at_least("--epochs", self.epochs, 1)
        _at_least("--batch-size", self.batch_size, 2)
        _above("--lr", self.lr, 0)
        _one_of("--device", self.device, ("auto", "cpu", "cuda"))
        _one_of("--precision", self.precision, ("auto", "bf16", "fp32"))
        _at_least("--seed", self.seed, 0)

    @property
    def class_name(self) -> str:
        return "cropland" if self.positive is None else self.positive

    def settings(self) -> dict[str, Any]:
        """What decides the output, as JSON: not where it is computed."""
        found = {**asdict(self), "n_labels": list(self.n_labels)}
        found["positive"] = self.positive or CROPLAND
        del found["device"]
        if self.init is None:
            del found["init"]
        return found


@dataclass(frozen=True)
class MapConfig:
    """How a segmentation model is applied to scenes."""

    probability: bool = False  # also a file of probabilities a scene
    any_resolution: bool = False  # map scenes whose pixels are of another size than the model's
    window: int = 768  # side in pixels of what the network sees at a time, its surroundings included
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        _at_least("--window", self.window, 64)
        _one_of("--device", self.device, ("auto", "cpu", "cuda"))
        _one_of("--precision", self.precision, ("auto", "bf16", "fp32"))


def _on_earth(places: Sequence[str | tuple[float, float]]) -> None:
    for lon, lat in (place for place in places if not isinstance(place, str)):
        if not (abs(lon) <= 180 and abs(lat) <= 90):
            raise UsageError(f"{lon:g},{lat:g}: no place on the Earth; needs LONGITUDE,LATITUDE.")


def _shown_bands(rgb: tuple[int, ...] | None) -> None:
    if rgb is not None and (len(rgb) not in (1, 3) or min(rgb) < 1):
        raise UsageError(
            f"--rgb {','.join(map(str, rgb))}: needs one band, or three for red, green and blue."
        )


@dataclass(frozen=True)
class SimilarConfig:
    """Which tiles to look for. Examples are tile_ids, or (longitude, latitude) of points in a tile."""

    to: tuple[str | tuple[float, float], ...] = ()
    without: tuple[str | tuple[float, float], ...] = ()  # the examples of --not
    top: int = 20
    rgb: tuple[int, ...] | None = None  # bands of the picture; None: the first three, or the first

    def __post_init__(self) -> None:
        _at_least("--top", self.top, 1)
        _on_earth((*self.to, *self.without))
        _shown_bands(self.rgb)

    def settings(self) -> dict[str, Any]:
        """What decides the rows, as JSON."""
        both = {"to": self.to, "not": self.without}
        named = {key: [[*x] if isinstance(x, tuple) else x for x in places] for key, places in both.items()}
        return {**named, "top": self.top}


@dataclass(frozen=True)
class PreviewConfig:
    """How embeddings become a picture."""

    clusters: int = 10  # rows of the sheet
    rgb: tuple[int, ...] | None = None  # bands of the sheet; None: the first three, or the first
    seed: int = 0  # of the clusters

    def __post_init__(self) -> None:
        _at_least("--clusters", self.clusters, 1)
        _shown_bands(self.rgb)
        _at_least("--seed", self.seed, 0)


@dataclass(frozen=True)
class AnalogyConfig:
    """A - B + C: what to look for. Terms are tile_ids, places in tiles, or names of classes."""

    terms: tuple[str | tuple[float, float], ...] = ()  # three; none for the score
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
        _share("--min-purity", self.min_purity)
        _at_least("--top", self.top, 1)
        _on_earth(self.terms)
        _shown_bands(self.rgb)
        _at_least("--draws", self.draws, 1)
        _above("--block", self.block_m, 0)
        _at_least("--seed", self.seed, 0)

    def settings(self) -> dict[str, Any]:
        """What decides the rows and the score, as JSON."""
        found = asdict(self)
        del found["rgb"]
        return found


@dataclass(frozen=True)
class ChangeConfig:
    """Which tiles are compared, and how."""

    before_scenes: tuple[str, ...] = ()  # globs of names; none: all scenes
    after_scenes: tuple[str, ...] = ()
    within_m: float | None = None  # between the centres of a pair at most; None: half the tile's side
    centre: bool = True  # leave out what the two dates differ in everywhere
    top: int = 20
    rgb: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _above("--within", self.within_m, 0)
        _at_least("--top", self.top, 1)
        _shown_bands(self.rgb)

    def settings(self) -> dict[str, Any]:
        """What decides the pairs, their distances and which are named, as JSON."""
        found = asdict(self)
        del found["rgb"]
        return found


@dataclass(frozen=True)
class InspectConfig:
    """How embeddings are looked into."""

    field: str | None = None
    min_purity: float = 0.8
    red: int | None = None  # bands of the tile set, from 1; None: 1 and 4 where it has four
    nir: int | None = None
    components: int = 4  # principal components of which the extreme tiles are shown
    sample: int = 10_000  # tiles that factors are learned from and the probe is run on
    block_m: float | None = None  # None: 20 times the tile's side
    rgb: tuple[int, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _share("--min-purity", self.min_purity)
        for option, band in (("--red", self.red), ("--nir", self.nir)):
            _at_least(option, band, 1)
        if (self.red is None) != (self.nir is None):
            raise UsageError("--red and --nir: the one needs the other. Give both or neither.")
        if self.red is not None and self.red == self.nir:
            raise UsageError(f"--red {self.red}: is --nir, too; needs two bands.")
        _at_least("--components", self.components, 1)
        _at_least("--sample", self.sample, 50)
        _above("--block", self.block_m, 0)
        _shown_bands(self.rgb)
        _at_least("--seed", self.seed, 0)

    def settings(self) -> dict[str, Any]:
        return asdict(self)

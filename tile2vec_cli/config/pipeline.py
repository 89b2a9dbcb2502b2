"""One frozen dataclass per stage. Each checks itself at birth, as far as it can without the data.

Standard library only: `--help` reads the defaults from here.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from tile2vec_cli.config.rules import above, at_least, chosen_bands, one_of, share
from tile2vec_cli.config.training import ENCODER_NAMES, LABELLED, MAF, OBJECTIVE_NAMES, TrainConfig, uses
from tile2vec_cli.errors import UsageError

CLASSIFIER_NAMES = ("logistic", "forest", "mlp", "knn")
BASELINE_NAMES = ("stats", "pca", "random", "rcf")


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
    scaled: bool = False  # pixels are float32, with the scenes' scale and offset applied
    any_names: bool = False  # whatever the scenes call their bands
    stack: tuple[str, ...] | None = None  # names of the files' bands where a scene is a file a band
    assets: tuple[str, ...] | None = None  # of STAC items, whose files are a scene's bands

    def __post_init__(self) -> None:
        at_least("--size", self.size, 2)
        at_least("--stride", self.stride, 1)
        chosen_bands(self.bands)
        one_of("--alpha", self.alpha, ("auto", "mask", "data"))
        share("--min-valid", self.min_valid)
        if self.nodata is not None and math.isinf(self.nodata):
            raise UsageError(
                f"--nodata {self.nodata}: infinite pixels never count as valid; needs a number or nan."
            )

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
        del found["any_names"]
        if not self.scaled:  # a setting that tile sets had not from the beginning
            del found["scaled"]
        for name in ("stack", "assets"):
            if found[name] is None:
                del found[name]
            else:
                found[name] = list(found[name])
        return found

    def reading(self) -> dict[str, Any]:
        """How a scene is opened: the arguments of `open_scene`."""
        return {name: getattr(self, name) for name in ("bands", "alpha", "nodata", "scaled")}


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
        at_least("--count", self.count, 1)
        above("--neighborhood", self.neighborhood_m, 0)
        at_least("--distant-min", self.distant_min_m, 0)
        above("--distant-max", self.distant_max_m, 0)
        one_of("--neighbors", self.neighbors, ("any", "same-scene", "other-scene"))
        at_least("--seed", self.seed, 0)
        least = self.distant_min_m if self.distant_min_m is not None else self.neighborhood_m
        if self.distant_max_m is not None and least is not None and self.distant_max_m <= least:
            raise UsageError(
                f"--distant-max {self.distant_max_m:g}: needs to exceed --distant-min ({least:g} m)."
            )

    def settings(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class EmbedConfig:
    """How tiles become vectors."""

    dtype: str = "float32"  # how the vectors are stored
    batch_size: int | None = None  # None: the encoder's own
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        one_of("--dtype", self.dtype, ("float32", "float16", "int8"))
        at_least("--batch-size", self.batch_size, 1)
        one_of("--device", self.device, ("auto", "cpu", "cuda"))
        one_of("--precision", self.precision, ("auto", "bf16", "fp32"))

    def settings(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "precision": self.precision}


@dataclass(frozen=True)
class ProbeConfig:
    """How embeddings are judged."""

    field: str | None = None  # of the labels
    min_purity: float = 0.8
    classifiers: tuple[str, ...] = ("logistic", "forest")
    n_labels: tuple[int, ...] = (100, 1000, 10000)
    repeats: int = 10
    test_fraction: float = 0.3
    split: str = "blocks"
    block_m: float | None = None  # None: 20 times the tile's side
    region_field: str | None = None  # for --split region: where the labels' file holds the regions
    parts: bool = False  # whether each part of the vectors is judged by itself, too
    baselines: tuple[str, ...] = ()
    end_to_end: float | None = None  # minutes for each network that learns from the pixels themselves
    end_to_end_repeats: int = 3  # draws for these; the first ones
    seed: int = 0

    def __post_init__(self) -> None:
        share("--min-purity", self.min_purity)
        for name in self.classifiers:
            one_of("--classifier", name, CLASSIFIER_NAMES)
        for name in self.baselines:
            one_of("--baselines", name, BASELINE_NAMES)
        for count in self.n_labels:
            at_least("--n-labels", count, 2)
        at_least("--repeats", self.repeats, 1)
        share("--test-fraction", self.test_fraction, below_one=True)
        above("--test-fraction", self.test_fraction, 0)
        one_of("--split", self.split, ("blocks", "random", "region"))
        if (self.split == "region") != (self.region_field is not None):
            raise UsageError("--split region and --region-field: the one needs the other. Give both or none.")
        above("--block", self.block_m, 0)
        above("--end-to-end", self.end_to_end, 0)
        at_least("--end-to-end-repeats", self.end_to_end_repeats, 1)
        at_least("--seed", self.seed, 0)

    def settings(self) -> dict[str, Any]:
        found = asdict(self)
        if self.end_to_end is None:
            found["end_to_end_repeats"] = None
        if self.region_field is None:
            del found["region_field"]
        if not self.parts:
            del found["parts"]
        return found


ASSISTED = "assisted"  # what `train` does where nothing is said: a trained part and one in closed form
COMPARED = (ASSISTED, *(name for name in OBJECTIVE_NAMES if name not in LABELLED))


@dataclass(frozen=True)
class CompareConfig:
    """How ways to learn without labels are compared: one encoder, so many minutes, the same probe for all."""

    minutes: float
    objectives: tuple[str, ...] | None = None  # None: all that the tiles allow
    encoder: str | None = None  # None: the recipe's
    margin: float = TrainConfig.margin
    probe: ProbeConfig = ProbeConfig(classifiers=("logistic",))

    def __post_init__(self) -> None:
        above("--minutes", self.minutes, 0)
        for name in self.objectives or ():
            if name in LABELLED:
                raise UsageError(
                    f"--objectives {name}: learns from labels, and would be judged by what it was told. "
                    f"Needs some of {', '.join(COMPARED)}."
                )
            one_of("--objectives", name, COMPARED)
        if self.objectives is not None and not self.objectives:
            raise UsageError(f"--objectives: names none; needs some of {', '.join(COMPARED)}.")
        if self.encoder is not None:
            one_of("--encoder", self.encoder, ENCODER_NAMES)
        above("--margin", self.margin, 0)

    def training(self, objective: str) -> TrainConfig:
        """How one of COMPARED is trained: all but `assisted` make one part of its vectors alone."""
        own: dict[str, Any] = {} if objective == ASSISTED else {"objective": objective}
        if objective not in (ASSISTED, MAF):
            own["place"] = False
        for name in ("encoder", "margin", "minutes"):
            if uses(own.get("objective", TrainConfig.objective), name):
                own[name] = getattr(self, name)
        return TrainConfig(**own, seed=self.probe.seed)

    @property
    def rivals(self) -> ProbeConfig:
        """How all that learns otherwise is judged: statistics, and the labels alone in the same time."""
        return replace(self.probe, baselines=BASELINE_NAMES, end_to_end=self.minutes)

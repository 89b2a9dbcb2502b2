"""One frozen dataclass per stage. Each checks itself at birth, as far as it can without the data.

Standard library only: `--help` reads the defaults from here.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from tile2vec_cli.config.rules import above, at_least, one_of, said, share
from tile2vec_cli.errors import UsageError

ENCODER_NAMES = ("auto", "resnet18", "small")
CLASSIFIER_NAMES = ("logistic", "forest", "mlp", "knn")
BASELINE_NAMES = ("stats", "pca", "random")


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
        at_least("--size", self.size, 2)
        at_least("--stride", self.stride, 1)
        if self.bands is not None and (not self.bands or min(self.bands) < 1):
            raise UsageError(f"--bands {','.join(map(str, self.bands))}: bands count from 1.")
        if self.bands is not None and len(set(self.bands)) < len(self.bands):
            raise UsageError(f"--bands {','.join(map(str, self.bands))}: names a band twice.")
        one_of("--alpha", self.alpha, ("auto", "mask", "data"))
        share("--min-valid", self.min_valid)

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
    "layer": LABELLED,
    "crs": LABELLED,
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
    layer: str | None = None  # of their file, where it holds several
    crs: str | None = None  # of their places, where their file names none
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
        one_of("--objective", self.objective, OBJECTIVE_NAMES)
        for name in self._unused:
            if getattr(self, name) != getattr(TrainConfig, name):
                option = "--no-augment" if name == "augment" else f"--{name.replace('_', '-')}"
                raise UsageError(f"{option}: --objective {self.objective} does not use it. Leave it out.")
        if self.objective in LABELLED and self.labels is None:
            raise UsageError(f"--objective {self.objective}: needs classes. Give them with --labels.")
        above("--temperature", self.temperature, 0)
        share("--min-purity", self.min_purity)
        one_of("--encoder", self.encoder, ENCODER_NAMES)
        at_least("--dim", self.dim, 2)
        above("--margin", self.margin, 0)
        at_least("--l2", self.l2, 0)
        one_of("--distants", self.distants, ("in-batch", "saved"))
        at_least("--epochs", self.epochs, 1)
        at_least("--steps", self.steps, 1)
        above("--minutes", self.minutes, 0)
        at_least("--batch-size", self.batch_size, 2)
        above("--lr", self.lr, 0)
        at_least("--jitter", self.jitter, 0)
        share("--val-fraction", self.val_fraction, below_one=True)
        at_least("--patience", self.patience, 1)
        if self.patience is not None and self.val_fraction == 0:
            raise UsageError("--patience: needs a validation loss. Give a --val-fraction above 0.")
        one_of("--device", self.device, ("auto", "cpu", "cuda"))
        one_of("--precision", self.precision, ("auto", "bf16", "fp32"))
        at_least("--seed", self.seed, 0)

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
        return said({name: value for name, value in found.items() if name not in aside})

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
    layer: str | None = None  # of their file, where it holds several
    crs: str | None = None  # of their places, where their file names none
    min_purity: float = 0.8
    classifiers: tuple[str, ...] = ("logistic", "forest")
    n_labels: tuple[int, ...] = (100, 1000, 10000)
    repeats: int = 10
    test_fraction: float = 0.3
    split: str = "blocks"
    block_m: float | None = None  # None: 20 times the tile's side
    region_field: str | None = None  # for --split region: where the labels' file holds the regions
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
        return said(found)


SELF_SUPERVISED = tuple(name for name in OBJECTIVE_NAMES if name not in LABELLED)


@dataclass(frozen=True)
class CompareConfig:
    """How ways to learn without labels are compared: one encoder, so many minutes, the same probe for all."""

    minutes: float
    objectives: tuple[str, ...] | None = None  # None: all that the tiles allow
    encoder: str = "auto"
    margin: float = TrainConfig.margin
    probe: ProbeConfig = ProbeConfig(classifiers=("logistic",))

    def __post_init__(self) -> None:
        above("--minutes", self.minutes, 0)
        for name in self.objectives or ():
            if name in LABELLED:
                raise UsageError(
                    f"--objectives {name}: learns from labels, and would be judged by what it was told. "
                    f"Needs some of {', '.join(SELF_SUPERVISED)}."
                )
            one_of("--objectives", name, SELF_SUPERVISED)
        if self.objectives is not None and not self.objectives:
            raise UsageError(f"--objectives: names none; needs some of {', '.join(SELF_SUPERVISED)}.")
        one_of("--encoder", self.encoder, ENCODER_NAMES)
        above("--margin", self.margin, 0)

    def training(self, objective: str) -> TrainConfig:
        """How an objective is trained."""
        return TrainConfig(
            objective=objective,
            encoder=self.encoder,
            margin=self.margin,
            minutes=self.minutes,
            seed=self.probe.seed,
        )

    @property
    def rivals(self) -> ProbeConfig:
        """How all that learns otherwise is judged: statistics, and the labels alone in the same time."""
        return replace(self.probe, baselines=BASELINE_NAMES, end_to_end=self.minutes)

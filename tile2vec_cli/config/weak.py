"""Settings of `weak-segment` and `map`; see `pipeline.py`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.rules import above, at_least, chosen_bands, one_of, parse_classes, share
from tile2vec_cli.errors import UsageError

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
    evaluate: str | LabelSource | None = None  # rasters of clean labels to score against
    init: str | None = None  # a segmenter to start from
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in self.supervision:
            one_of("--supervision", name, SUPERVISIONS)
        one_of("--recipe", self.recipe, ("assisted", "paper"))
        parse_classes("--positive", self.positive if self.positive is not None else CROPLAND)
        for count in self.n_labels:
            at_least("--n-labels", count, 2)
        at_least("--repeats", self.repeats, 1)
        share("--test-fraction", self.test_fraction, below_one=True)
        above("--test-fraction", self.test_fraction, 0)
        above("--block", self.block_m, 0)
        share("--label-noise", self.label_noise, below_one=True)
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise UsageError(f"--threshold {self.threshold:g}: needs auto, or a number between 0 and 1.")
        at_least("--epochs", self.epochs, 1)
        at_least("--batch-size", self.batch_size, 2)
        above("--lr", self.lr, 0)
        one_of("--device", self.device, ("auto", "cpu", "cuda"))
        one_of("--precision", self.precision, ("auto", "bf16", "fp32"))
        at_least("--seed", self.seed, 0)

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
    bands: tuple[int, ...] | None = None  # of the scenes, in the model's order; None: those of its training
    any_names: bool = False  # whatever the scenes call their bands
    window: int = 768  # side in pixels of what the network sees at a time, its surroundings included
    stack: tuple[str, ...] | None = None  # names of the files' bands where a scene is a file a band
    assets: tuple[str, ...] | None = None  # of STAC items, whose files are a scene's bands
    device: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        at_least("--window", self.window, 64)
        chosen_bands(self.bands)
        one_of("--device", self.device, ("auto", "cpu", "cuda"))
        one_of("--precision", self.precision, ("auto", "bf16", "fp32"))

    def settings(self) -> dict[str, Any]:
        """What decides a map, as JSON: not which files there are, or where it is computed."""
        found: dict[str, Any] = {"window": self.window, "precision": self.precision}
        chosen = {"bands": self.bands, "stack": self.stack, "assets": self.assets}
        return found | {name: list(value) for name, value in chosen.items() if value is not None}

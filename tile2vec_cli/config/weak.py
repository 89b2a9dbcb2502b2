"""Settings of `weak-segment` and `map`; see `pipeline.py`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tile2vec_cli.config import fields
from tile2vec_cli.config.fields import check, option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.rules import parse_classes, share_below_one
from tile2vec_cli.errors import UsageError

SUPERVISIONS = ("pixel", "image", "full")
CROPLAND = "1-60,66-77,196-255"  # of the USDA Cropland Data Layer, as in Wang et al. 2020; 0 is no data


def _counts(flag: str, text: str) -> tuple[int | None, ...]:
    """Parse "20,50,all"; None stands for all."""
    items = dict.fromkeys(item.strip() for item in text.split(","))
    if not all(item == "all" or item.isdecimal() for item in items):
        raise UsageError(f"{flag} {text}: needs whole numbers with commas, or all, such as 20,100,all.")
    return tuple(None if item == "all" else int(item) for item in items)


def _threshold(flag: str, text: str) -> float | None:
    try:
        return None if text == "auto" else float(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text}: needs auto, or a number between 0 and 1.") from error


@dataclass(frozen=True)
class WeakConfig:
    """How a U-Net learns to segment one class from weak labels. None: the recipe's own."""

    supervision: tuple[str, ...] = option(
        ("pixel",),
        choices=SUPERVISIONS,
        parse=lambda _, text: tuple(dict.fromkeys(item.strip() for item in text.split(","))),
        help="pixel: one known pixel per tile; image: each tile's majority; full: every pixel. Of several, "
        "with commas, the first one's model is kept.",
    )
    field: str | None = fields.class_field()
    positive: str | None = option(
        None,
        metavar="CODES",
        spelled=CROPLAND,
        parse=lambda _, text: None if text == CROPLAND else text,
        help="Classes that make up the one to be segmented: codes, ranges, names (default: cropland of "
        "the Cropland Data Layer, whose 0 is no data).",
    )
    n_labels: tuple[int | None, ...] = option(  # None: all
        (None,),
        metavar="N|N,…,all",
        spelled="all",
        parse=_counts,
        least=2,
        help="Labelled tiles used; several make a curve.",
    )
    recipe: str = option(
        "assisted",
        choices=("assisted", "paper"),
        help="paper: the published network and loss, nothing else; assisted: what does best.",
    )
    compare: bool = option(False, help="Also score pixel classifiers that learn from the very same labels.")
    repeats: int = option(1, least=1, help="Draws of split and labels; the first's model is kept.")
    test_fraction: float = option(
        0.3, rule=share_below_one, above=0, help="Share of the tiles to test on, in whole spatial blocks."
    )
    block_m: float | None = fields.block("3 × the tile's side")
    label_noise: float = option(
        0.0,
        metavar="P",
        rule=share_below_one,
        help="Share of the training labels to flip, to see what it costs.",
    )
    threshold: float | None = option(  # None: from the training labels
        None,
        metavar="auto|VALUE",
        spelled="auto",
        parse=_threshold,
        help="Probability from which a pixel is of the class; auto: learned.",
    )
    evaluate: str | LabelSource | None = None  # rasters of clean labels to score against
    init: str | None = option(
        None,
        metavar="MODEL",
        help="Start from another weak-segment model of the same recipe and bands. A model of `train` "
        "is another network: it has nothing that a U-Net could start from.",
    )
    epochs: int | None = option(None, least=1, help="Passes over the tiles (default: the recipe's).")
    batch_size: int | None = option(None, least=2, help="Tiles a step (default: 32).")
    lr: float | None = option(None, above=0, help="Learning rate (default: the recipe's).")
    device: str = fields.device()
    precision: str = fields.precision()
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        check(self)
        parse_classes(self.positive if self.positive is not None else CROPLAND)
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise UsageError(f"--threshold {self.threshold:g}: needs auto, or a number between 0 and 1.")

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

    probability: bool = option(False, help="Also write PATH.probability.tif: float32, NaN no data.")
    any_resolution: bool = option(False, help="Also map scenes whose resolution differs from the model's.")
    bands: tuple[int, ...] | None = fields.bands(
        "The scenes' bands, in the model's order (default: as it was trained)."
    )
    any_names: bool = fields.any_names()
    window: int = option(
        768, least=64, help="Side in pixels of what the network sees at a time."
    )  # with surroundings
    stack: tuple[str, ...] | None = fields.stack()
    assets: tuple[str, ...] | None = fields.assets()
    device: str = fields.device()
    precision: str = fields.precision()

    def __post_init__(self) -> None:
        check(self)

    def settings(self) -> dict[str, Any]:
        """What decides a map, as JSON: not which files there are, or where it is computed."""
        found: dict[str, Any] = {"window": self.window, "precision": self.precision}
        chosen = {"bands": self.bands, "stack": self.stack, "assets": self.assets}
        return found | {name: list(value) for name, value in chosen.items() if value is not None}

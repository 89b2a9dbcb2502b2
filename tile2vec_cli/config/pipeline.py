"""One frozen dataclass per stage. Each checks itself at birth, as far as it can without the data.

Standard library only: `--help` reads the defaults from here.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tile2vec_cli.config import fields, objectives
from tile2vec_cli.config.encoders import ENCODER_NAMES
from tile2vec_cli.config.fields import check, nested, option
from tile2vec_cli.config.objectives import MAF, OBJECTIVES
from tile2vec_cli.config.rules import each_once, one_of, parse_counts, parse_names, share, share_below_one
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.errors import UsageError

CLASSIFIER_NAMES = ("logistic", "forest", "mlp", "knn")
BASELINE_NAMES = ("stats", "pca", "random", "rcf")


@dataclass(frozen=True)
class TileConfig:
    """How scenes are cut into tiles."""

    size: int = option(50, least=2, help="Side of a tile in pixels.")  # 50 in both papers
    stride: int | None = option(None, least=1, help="Pixels from window to window (default: the size).")
    bands: tuple[int, ...] | None = fields.bands("Bands to cut, in this order (default: all).")
    alpha: str = option(
        "auto",
        choices=("auto", "mask", "data"),
        help="What a band tagged alpha is; auto: a mask where it holds only 0 and 255.",
    )
    min_valid: float = option(
        1.0, rule=share, help="Share of a tile's pixels that must be valid in every band."
    )
    nodata: float | None = option(None, help="Value that means no data, in addition to what scenes declare.")
    snap: bool = option(False, help="Windows start at multiples of the tile's side on the map.")
    virtual: bool = option(
        False, help="Write only an index and read pixels from the scenes, which must stay."
    )
    scaled: bool = option(
        False, help="Apply the scenes' scale and offset: float32 pixels, NaN where invalid."
    )
    any_names: bool = fields.any_names()
    stack: tuple[str, ...] | None = fields.stack()
    assets: tuple[str, ...] | None = fields.assets()

    def __post_init__(self) -> None:
        check(self)
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

    count: int = option(100_000, least=1, help="Triplets to draw.")
    neighborhood_m: float | None = option(
        None, metavar="METRES", above=0, help="How far a neighbor may be (default: twice the tile's side)."
    )
    distant_min_m: float | None = option(
        None, metavar="METRES", least=0, help="A distant is farther than this (default: the neighborhood)."
    )
    distant_max_m: float | None = option(
        None, metavar="METRES", above=0, help="And no farther than this (default: no limit)."
    )
    neighbors: str = option(
        "any", choices=("any", "same-scene", "other-scene"), help="Whose tiles may be an anchor's neighbors."
    )
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        check(self)
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

    dtype: str = option("float32", choices=("float32", "float16", "int8"), help="How the vectors are stored.")
    batch_size: int | None = option(None, least=1, help="Tiles at a time (default: what suits the encoder).")
    device: str = fields.device()
    precision: str = fields.precision()

    def __post_init__(self) -> None:
        check(self)

    def settings(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "precision": self.precision}


@dataclass(frozen=True)
class ExportConfig:
    """How a model becomes a file for other programs."""

    window: int | None = option(
        None,
        least=1,
        help="Segmenter: sides of its windows, which QGIS Deepness has to know (default: any).",
    )

    def __post_init__(self) -> None:
        check(self)

    def settings(self) -> dict[str, Any]:
        return {"window": self.window}


@dataclass(frozen=True)
class ProbeConfig:
    """How embeddings are judged."""

    field: str | None = fields.class_field()
    min_purity: float = fields.min_purity()
    classifiers: tuple[str, ...] = option(
        ("logistic", "forest"),
        flag="--classifier",
        choices=CLASSIFIER_NAMES,
        repeatable=True,
        parse=each_once,
        help="Repeatable.",
    )
    n_labels: tuple[int, ...] = option(
        (100, 1000, 10000),
        metavar="100,1000",
        parse=parse_counts,
        least=2,
        help="Numbers of labelled tiles to train on.",
    )
    repeats: int = option(10, least=1, help="Draws of split and labels.")
    test_fraction: float = option(0.3, rule=share_below_one, above=0, help="Share of the tiles to test on.")
    split: str = option(
        "blocks",
        metavar="blocks|region|random",
        choices=("blocks", "random", "region"),
        help="blocks, region: no place, or region, is on both sides; random: too optimistic.",
    )
    block_m: float | None = fields.block("20 × the tile's side; 1000 where embeddings are points")
    region_field: str | None = option(
        None,
        metavar="NAME",
        help="Field of --labels that holds the regions of --split region, such as city or state.",
    )
    parts: bool = option(False, help="Also score each part of the vectors alone, such as texture and place.")
    baselines: tuple[str, ...] = ()
    end_to_end: float | None = option(
        None,
        metavar="MINUTES",
        above=0,
        help="Also train the embeddings' encoder (small, where their file names none) from scratch on "
        "the very same labels, for so many minutes each. Needs --tiles.",
    )
    end_to_end_repeats: int = option(3, least=1, help="Draws on which networks are trained: the first ones.")
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        check(self)
        for name in self.baselines:
            one_of("--baselines", name, BASELINE_NAMES)
        if (self.split == "region") != (self.region_field is not None):
            raise UsageError("--split region and --region-field: each needs the other. Give both or neither.")

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


COMPARED = (ASSISTED, *(name for name, row in OBJECTIVES.items() if not row.labelled))


@dataclass(frozen=True)
class CompareConfig:
    """How ways to learn without labels are compared: one encoder, so many minutes, the same probe for all."""

    minutes: float = option(above=0, help="How long each objective, and each end-to-end fit, trains.")
    objectives: tuple[str, ...] | None = option(
        None,
        metavar="assisted,triplet,…",
        parse=lambda flag, text: tuple(dict.fromkeys(parse_names(flag, text, COMPARED))),
        help=f"Some of {', '.join(COMPARED)} (default: all that the tiles allow).",
    )
    encoder: str | None = option(None, choices=ENCODER_NAMES, help="The network that all of them train.")
    margin: float = option(TrainConfig.margin, above=0, help="Margin of the triplet loss.")
    probe: ProbeConfig = field(
        default=ProbeConfig(classifiers=("logistic",)),
        metadata=nested(
            *("field", "min_purity", "classifiers", "n_labels", "repeats", "block_m", "end_to_end_repeats"),
            "seed",
        ),
    )

    def __post_init__(self) -> None:
        check(self)
        for name in self.objectives or ():
            if name in OBJECTIVES and OBJECTIVES[name].labelled:
                raise UsageError(
                    f"--objectives {name}: learns from labels, and would be tested on its own answers. "
                    f"Needs some of {', '.join(COMPARED)}."
                )
            one_of("--objectives", name, COMPARED)
        if self.objectives is not None and not self.objectives:
            raise UsageError(f"--objectives: names none; needs some of {', '.join(COMPARED)}.")

    def training(self, objective: str) -> TrainConfig:
        """How one of COMPARED is trained: all but `assisted` make one part of its vectors alone."""
        own: dict[str, Any] = {} if objective == ASSISTED else {"objective": objective}
        if objective not in (ASSISTED, MAF):
            own["place"] = False
        unused = objectives.unused(own.get("objective", TrainConfig.objective))
        for name in ("encoder", "margin", "minutes"):
            if name not in unused:
                own[name] = getattr(self, name)
        return TrainConfig(**own, seed=self.probe.seed)

    @property
    def rivals(self) -> ProbeConfig:
        """How all that learns otherwise is judged: statistics, and the labels alone in the same time."""
        return replace(self.probe, baselines=BASELINE_NAMES, end_to_end=self.minutes)


@dataclass(frozen=True)
class StacConfig:
    """What a catalog says of itself and its collections."""

    id: str = option("tile2vec", help="The catalog's id; those of its collections begin with it.")
    title: str | None = option(None, help="The catalog's title (default: its id).")
    description: str = option("Embeddings, maps and models made with tile2vec.", help="What the catalog is.")
    license: str = option("other", metavar="SPDX", help="License of what it holds, such as CC-BY-4.0.")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.id):
            raise UsageError(f"--id {self.id!r}: letters, digits, '.', '-' and '_' are needed.")
        if not re.fullmatch(r"[A-Za-z0-9.+-]+", self.license):
            raise UsageError(f"--license {self.license!r}: an SPDX identifier, such as CC-BY-4.0, is needed.")
        if not self.description.strip():
            raise UsageError("--description: is empty; STAC needs one.")

"""How an encoder is trained: what for, by which recipe, for how long. Checks itself at birth.

Standard library only: `--help` reads the defaults from here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tile2vec_cli.config import encoders, fields, objectives
from tile2vec_cli.config.encoders import ENCODER_NAMES, ENCODERS
from tile2vec_cli.config.fields import check, option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.objectives import MAF, OBJECTIVES
from tile2vec_cli.config.rules import share, share_below_one
from tile2vec_cli.errors import UsageError

NONE = "none"  # the encoder of what is not trained in steps
PARTS = (*ENCODERS, "place")  # that vectors may be made of
# What a recipe says where the user says nothing. Measured in benchmarks/RESULTS.md.
RECIPES: dict[str, dict[str, Any]] = {
    "assisted": {
        "encoder": "texture",
        "place": True,
        "distants": "in-batch",
        "local_share": 0.5,
        "jitter": 0.8,
    },
    # Jean et al. 2019, and nothing else.
    "paper": {"encoder": "auto", "place": False, "distants": "saved", "local_share": 0.0, "jitter": 0.0},
}
STEPS = 450  # of the assisted recipe: later ones tell places apart, and forget what stands in a tile
EPOCHS = 50  # of the paper's


@dataclass(frozen=True)
class TrainConfig:
    """How an encoder is trained on triplets. None: as the recipe says, or else its row in ENCODERS."""

    objective: str = option(
        "triplet", choices=tuple(OBJECTIVES), help=f"What the encoder is trained for ({objectives.ABOUT})."
    )
    recipe: str = option(
        "assisted",
        choices=tuple(RECIPES),
        help="assisted: texture by triplets and place in closed form; paper: only what was published.",
    )
    encoder: str | None = option(
        None,
        choices=ENCODER_NAMES,
        help=f"What is trained in steps (default: texture; paper: auto). {encoders.ABOUT}; "
        "auto: resnet18 on a GPU, else small.",
    )
    dim: int | None = option(
        None,
        least=2,
        most=8192,  # of longer ones the weights alone would take gigabytes
        help=f"Length of what is trained in steps (default: {encoders.defaults('dim')}).",
    )
    place: bool | None = option(
        None, help="A place column of 16 numbers, in closed form (default: assisted)."
    )
    init: str | None = option(
        None, metavar="MODEL", help="Start from this model's weights (same bands, encoder and dim)."
    )
    margin: float = option(10.0, above=0, help="Margin of the triplet loss, and ε of contrastive.")
    l2: float = option(0.01, least=0, help="Weight of the embeddings' mean norm in the loss.")
    distants: str | None = option(
        None,
        choices=("in-batch", "saved"),
        help="in-batch: all tiles of a batch that are far enough (default); saved: each triplet's own "
        "(default: paper).",
    )
    local_share: float | None = option(
        None,
        rule=share,
        help="Share of the batches whose tiles come from a few spots, so that distants are hard "
        "(default: 0.5; paper: 0).",
    )
    temperature: float = option(0.1, above=0, help="infonce: what the cosines are divided by.")
    labels: str | LabelSource | None = None  # the classes that a labelled objective learns
    field: str | None = fields.class_field()
    min_purity: float = fields.min_purity()
    epochs: int | None = option(
        None,
        least=1,
        help=f"Passes over the triplets (default: {STEPS} steps, or what --steps allows; "
        f"paper: {EPOCHS}, or what --steps or --minutes allow).",
    )
    steps: int | None = option(None, least=1, help="Stop after so many steps.")
    minutes: float | None = option(
        None, above=0, help="Stop after so many minutes of training, over all runs."
    )
    batch_size: int | None = option(
        None, least=2, help=f"Triplets (pairs, tiles) a step (default: {encoders.defaults('batch_size')})."
    )
    lr: float | None = option(
        None, above=0, help=f"Adam's first rate, which falls to 0 (default: {encoders.defaults('lr')})."
    )
    augment: bool = option(True, help="Flip and turn the tiles.")
    jitter: float | None = option(
        None,
        least=0,
        help="Strength of the random light in every other step, in standard deviations, for columns not to "
        "rely on colour alone (default: 0.8; paper: 0).",
    )
    val_fraction: float = option(
        0.05, rule=share_below_one, help="Share of the triplets to validate on, in whole spatial blocks."
    )
    patience: int | None = option(
        None, least=1, help="Stop after so many epochs without a better validation loss."
    )
    device: str = fields.device()
    precision: str = fields.precision()
    compile: bool = option(
        False, flag="--compile/--no-compile", help="Compile the network with torch.compile."
    )
    seed: int = fields.seed()

    def __post_init__(self) -> None:
        check(self)
        for name in objectives.unused(self.objective):
            if getattr(self, name) not in (getattr(TrainConfig, name), RECIPES[self.recipe].get(name)):
                option = "--no-augment" if name == "augment" else f"--{name.replace('_', '-')}"
                raise UsageError(f"{option}: --objective {self.objective} does not use it. Leave it out.")
        for name, value in self._advice.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        if OBJECTIVES[self.objective].labelled and self.labels is None:
            raise UsageError(f"--objective {self.objective}: needs classes. Give them with --labels.")
        if self.objective == MAF and not self.place:
            raise UsageError(f"--no-place: --objective {MAF} makes nothing else. Leave one of them out.")
        if self.patience is not None and self.val_fraction == 0:
            raise UsageError("--patience: needs a validation loss. Give a --val-fraction above 0.")

    @property
    def _advice(self) -> dict[str, Any]:
        """What the recipe says of the settings that the objective uses."""
        if self.objective == MAF:
            return {"place": True, "encoder": NONE}
        said = dict(RECIPES[self.recipe])
        if self.init is not None:
            said["encoder"] = "auto"  # the start's
        if self.epochs is None and self.steps is None:
            if self.recipe == "assisted" and (self.objective == "triplet" or self.minutes is None):
                said["steps"] = STEPS
            elif self.minutes is None:
                said["epochs"] = EPOCHS
        unused = objectives.unused(self.objective)
        return {name: value for name, value in said.items() if name not in unused}

    def settings(self) -> dict[str, Any]:
        """What decides the output, as JSON: not where or how it is computed.

        What the objective does not use is left out, and so is the default objective. Files count by
        what they hold: whoever reads them adds that.
        """
        found = asdict(self)
        aside = {"device", "compile", "labels", "init", "recipe", *objectives.unused(self.objective)}
        if self.objective == TrainConfig.objective:
            aside.add("objective")
        labels = {} if self.labels is None else LabelSource.of(self.labels).settings()
        return {name: value for name, value in found.items() if name not in aside} | labels

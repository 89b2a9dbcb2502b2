"""The OBJECTIVES table: what an encoder can be trained for, and what of the settings each uses.

Standard library only: `--help` reads it. The classes are in `learning/`.
"""

from __future__ import annotations

from dataclasses import dataclass

MAF = "maf"  # the objective that has no steps


@dataclass(frozen=True)
class Row:
    """One objective: `kind`, a class in `module` (see `learning.objective.Objective`); none without steps."""

    module: str
    kind: str
    help: str = ""
    uses: tuple[str, ...] = ("augment",)  # of the settings that only some use

    @property
    def labelled(self) -> bool:
        """Whether it needs labels."""
        return "labels" in self.uses


_OBJECTIVES, _PRETEXTS = "tile2vec_cli.learning.objectives", "tile2vec_cli.learning.pretexts"
_LABELLED = ("augment", "labels", "field", "min_purity")
OBJECTIVES = {
    "triplet": Row(_OBJECTIVES, "Triplet", uses=("augment", "margin", "l2", "distants")),
    "autoencoder": Row(_PRETEXTS, "Autoencoder", "the tile from its vector"),
    "rotation": Row(_PRETEXTS, "Rotation", "which of four turns", uses=()),
    "context": Row(_PRETEXTS, "Context", "where one patch lies from another"),
    "jigsaw": Row(_PRETEXTS, "Jigsaw", "the order of four patches"),
    "colorization": Row(_PRETEXTS, "Colorization", "bands from their mean"),
    "inpainting": Row(_PRETEXTS, "Inpainting", "what was in a hole"),
    "order": Row(_OBJECTIVES, "Order", "which of two dates of one place came first"),
    "contrastive": Row(
        _OBJECTIVES,
        "Contrastive",
        "‖x−y‖² for one class, max(0, ε−‖x−y‖)² for two",
        uses=(*_LABELLED, "margin"),
    ),
    "infonce": Row(_OBJECTIVES, "InfoNCE", "the neighbor among the batch", uses=("augment", "temperature")),
    "supervised": Row(_OBJECTIVES, "Supervised", "the class", uses=_LABELLED),
    MAF: Row("", "", "the place part alone, without any step", uses=()),
}
# What only steps use.
_STEPPED = (
    "encoder",
    "dim",
    "init",
    "local_share",
    "epochs",
    "steps",
    "minutes",
    "batch_size",
    "lr",
    "jitter",
    "patience",
)
ABOUT = "; ".join(f"{name}: {row.help}" for name, row in OBJECTIVES.items() if row.help)


def unused(objective: str) -> list[str]:
    """The settings that an objective has no use for."""
    uses = OBJECTIVES[objective].uses
    named = dict.fromkeys(setting for row in OBJECTIVES.values() for setting in row.uses)
    return [*(setting for setting in named if setting not in uses), *(_STEPPED if objective == MAF else ())]

"""The ENCODERS table: what can be trained in steps, and what suits each where the user says nothing.

Standard library only: `--help` reads it. The networks are made in `neural/`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One encoder. `module` has a function of its name that makes its columns (`neural.columns.Build`)."""

    module: str
    dim: int  # D
    batch_size: int  # triplets a training step
    lr: float
    embed_batch_size: int  # tiles a forward pass on a CPU
    help: str = ""


_COLUMNS = "tile2vec_cli.neural.columns"
ENCODERS = {
    "texture": Row(_COLUMNS, dim=128, batch_size=128, lr=0.002, embed_batch_size=128),
    "resnet18": Row(
        _COLUMNS, dim=512, batch_size=50, lr=0.001, embed_batch_size=64, help="the paper's TileNet"
    ),
    "small": Row(
        _COLUMNS, dim=128, batch_size=128, lr=0.002, embed_batch_size=128, help="a like network for CPUs"
    ),
}
ENCODER_NAMES = ("auto", *ENCODERS)
ABOUT = "; ".join(f"{name}: {row.help}" for name, row in ENCODERS.items() if row.help)


def defaults(field: str) -> str:
    """What the rows say, for help: "128, for resnet18 512"."""
    values = {name: getattr(row, field) for name, row in ENCODERS.items()}
    usual = values["texture"]
    return ", ".join(
        [str(usual), *(f"for {name} {value}" for name, value in values.items() if value != usual)]
    )

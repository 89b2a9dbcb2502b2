"""An encoder that has learned nothing, and what its model folder says of it."""

from __future__ import annotations

from tile2vec_cli.neural import encoders, models

MODEL = models.Description(
    kind="encoder",
    architecture={"encoder": "small", "bands": 3, "dim": 16},
    bands=(1, 2, 4),
    dtype="uint8",
    size=8,
    normalisation={"mean": [100.0, 110.0, 120.0], "std": [20.0, 21.0, 22.0]},
    settings={"margin": 10.0, "steps": None},
    provenance={"tiles": "abc"},
    scores={"val_loss": 1.25},
)


def network() -> encoders.Encoder:
    return encoders.untrained("small", 3, 16, *MODEL.normalisation.values(), seed=3)

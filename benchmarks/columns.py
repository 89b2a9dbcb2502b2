"""What each choice in the two columns of a vector is worth: one change at a time, for place and for texture.

    python benchmarks/columns.py IMAGES LABELS --out DIR [--fields city,density] [--rows "place,8 factors"]
        [--seeds 1]

Trains with each change, embeds, and probes each field with 100 and 1,000 labels on held-out blocks (logistic
regression, mean of ten draws), mean over the training seeds. The changes that no option makes are patched in
here. Models and vectors are kept in DIR: run it again and it goes on.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import quality

from tile2vec_cli.config.objectives import MAF
from tile2vec_cli.config.pipeline import EmbedConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.learning import closed_form, training
from tile2vec_cli.neural import descriptors
from tile2vec_cli.neural.columns import Texture


@dataclass(frozen=True)
class Change:
    options: dict[str, Any] = field(default_factory=dict)
    patches: tuple[tuple[Any, str, Any], ...] = ()


def _place(*patches: tuple[Any, str, Any]) -> Change:
    return Change({"objective": MAF}, patches)


def _texture(**options: Any) -> Change:
    return Change({"place": False, **options})


ROWS = {
    "place": _place(),
    "256 filters": _place((descriptors, "FILTERS", 256)),
    "1024 filters": _place((descriptors, "FILTERS", 1024)),
    "filters at every second position": _place((descriptors, "_STRIDE", 2)),
    "components at every fourth": _place((descriptors, "STEP", 4)),
    "one component": _place((descriptors, "_COMPONENTS", 1)),
    "8 factors": _place((closed_form, "FACTORS", 8)),
    "32 factors": _place((closed_form, "FACTORS", 32)),
    "shrinkage 0.1": _place((closed_form, "_SHRINKAGES", (0.1, 0.1))),
    "texture": _texture(),
    "without roots": Change({"place": False}, ((Texture, "finished", lambda self, vectors: vectors),)),
    "150 steps": _texture(steps=150),
    "1350 steps": _texture(steps=1350),
    "light 0": _texture(jitter=0.0),
    "no local batches": _texture(local_share=0.0),
    "256 numbers": _texture(dim=256),
    "both": Change(),
}


def vectors(change: Change, name: str, seed: int, tiles: Path, triplets: Path, out: Path) -> Path:
    """The embeddings of a training with the change."""
    path = out / f"{name.replace(' ', '-')}-{seed}"
    with ExitStack() as patched:
        for target, attribute, value in change.patches:
            patched.enter_context(mock.patch.object(target, attribute, value))
        training.train(triplets, tiles, path, TrainConfig(**change.options, seed=seed))
        inference.embed(tiles, path, path.with_suffix(".parquet"), EmbedConfig(), overwrite=True)
    return path.with_suffix(".parquet")


def main() -> None:
    arguments = quality.parser(__doc__)
    arguments.add_argument("--rows", default=",".join(ROWS))
    arguments.add_argument("--seeds", type=int, default=1)
    options = arguments.parse_args()
    tiles, triplets = quality.prepared(options.images, options.out)
    fields = options.fields.split(",")
    print(f"| change | {quality.columns(fields)} |\n|---|{'--:|' * 2 * len(fields)}", flush=True)
    for name in ROWS if options.rows == "all" else options.rows.split(","):
        found = [
            quality.accuracies(
                vectors(ROWS[name], name, seed, tiles, triplets, options.out), options.labels, fields
            )
            for seed in range(options.seeds)
        ]
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in np.mean(found, axis=0))} |", flush=True)


if __name__ == "__main__":
    main()

"""`tile2vec train`: an encoder from triplets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.console import Console, mute_errors
from tile2vec_cli.job import launch


def train(
    triplets: Path = option(flag="TRIPLETS.parquet", help="Triplets, made by `sample-triplets`."),
    tiles: Path = option(metavar="TILES", help="The tile set they were drawn from."),
    out: Path = option(metavar="MODEL", help="The model: a folder."),
    *,
    settings: partial[TrainConfig],
    labels: list[str] | None = option(
        None, metavar="PATH", help="contrastive, supervised: labels as for `probe`. Repeatable."
    ),
    reading: partial[LabelSource],
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Train an encoder on triplets, so that near tiles get near vectors.

    By default the vectors have two parts: texture (128 numbers, trained by triplets under changing
    light) and place (16, in closed form: what near tiles share and distant tiles don't). Ends by itself
    after 450 steps, about a minute on two cores.

    With --objective the same tiles teach something else, such as the order of four patches of a tile;
    contrastive and supervised learn from --labels: probe these two with labels of other tiles. `embed`
    and `probe` take the model of any objective.

    Ends after --epochs, --steps or --minutes, whichever is first; the learning rate has then
    fallen to 0. Stopped by a signal, the same command goes on where it was. Started by torchrun or
    as several tasks of srun, all processes share each batch.

    Example: tile2vec train triplets.parquet --tiles tiles --out model --minutes 10
    """
    process = launch.find()
    if process.rank:
        mute_errors()
        console.quiet = True
    config = settings(labels=options.optional_labels(labels, reading))
    done = call("Train", "triplets", config=config, labels=None)
    if process.rank:
        return
    console.left_out(config.labels, done.keys.get("left_out", {}))
    options.say_label_rasters(console, done.keys.get("label_rasters", {}))
    console.show(done)

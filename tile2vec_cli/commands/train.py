"""`tile2vec train`: an encoder from triplets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.training import ENCODER_NAMES, EPOCHS, OBJECTIVE_NAMES, RECIPES, STEPS, TrainConfig
from tile2vec_cli.console import Console, mute_errors
from tile2vec_cli.job import launch


def train(
    triplets: Annotated[
        Path, typer.Argument(metavar="TRIPLETS.parquet", help="Triplets, made by `sample-triplets`.")
    ],
    tiles: Annotated[
        Path, typer.Option("--tiles", metavar="TILES", help="The tile set they were drawn from.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="The model: a folder.")],
    objective: Annotated[
        str,
        typer.Option(
            metavar="|".join(OBJECTIVE_NAMES),
            help="What the encoder is trained for, see above.",
        ),
    ] = TrainConfig.objective,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            metavar="PATH",
            help="contrastive, supervised: labels as for `probe`. Repeatable.",
        ),
    ] = None,
    label_band: options.LabelBand = None,
    label_nodata: options.LabelNodata = None,
    field: options.Field = TrainConfig.field,
    layer: options.Layer = None,
    crs: options.LabelCrs = None,
    min_purity: options.MinPurity = TrainConfig.min_purity,
    init: Annotated[
        str | None,
        typer.Option(
            "--init", metavar="MODEL", help="Start from this model's weights (same bands, encoder and dim)."
        ),
    ] = TrainConfig.init,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="|".join(RECIPES),
            help="assisted: texture by triplets beside place in closed form; paper: the published way alone.",
        ),
    ] = TrainConfig.recipe,
    place: Annotated[
        bool | None,
        typer.Option(
            "--place/--no-place", help="A place column of 16 numbers, in closed form (default: assisted)."
        ),
    ] = TrainConfig.place,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(ENCODER_NAMES),
            help="What is trained in steps (default: texture; paper: auto). resnet18: the paper's TileNet; "
            "small: its like for CPUs; auto: one of these two, by whether there is a GPU.",
        ),
    ] = TrainConfig.encoder,
    dim: Annotated[
        int | None,
        typer.Option(help="Length of what is trained in steps (default: 128, for resnet18 512)."),
    ] = TrainConfig.dim,
    margin: Annotated[
        float, typer.Option(help="Margin of the triplet loss, and ε of contrastive.")
    ] = TrainConfig.margin,
    l2: Annotated[
        float, typer.Option(help="Weight of the embeddings' mean norm in the loss.")
    ] = TrainConfig.l2,
    distants: Annotated[
        str | None,
        typer.Option(
            metavar="in-batch|saved",
            help="in-batch: all tiles of a batch that are far enough (default); saved: each triplet's own "
            "(default: paper).",
        ),
    ] = TrainConfig.distants,
    local_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the batches whose tiles come from a few spots, so that distants are hard "
            "(default: 0.5; paper: 0)."
        ),
    ] = TrainConfig.local_share,
    temperature: Annotated[
        float, typer.Option(help="infonce: what the cosines are divided by.")
    ] = TrainConfig.temperature,
    epochs: Annotated[
        int | None,
        typer.Option(
            help=f"Passes over the triplets (default: {STEPS} steps, or what --steps allows; "
            f"paper: {EPOCHS}, or what --steps or --minutes allow)."
        ),
    ] = TrainConfig.epochs,
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = TrainConfig.steps,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after so many minutes of training, over all runs.")
    ] = TrainConfig.minutes,
    batch_size: Annotated[
        int | None, typer.Option(help="Triplets (pairs, tiles) a step (default: 128, for resnet18 50).")
    ] = TrainConfig.batch_size,
    lr: Annotated[
        float | None,
        typer.Option(help="Adam's first rate, which falls to 0 (default: 0.002, for resnet18 0.001)."),
    ] = TrainConfig.lr,
    augment: Annotated[bool, typer.Option(help="Flip and turn the tiles.")] = TrainConfig.augment,
    jitter: Annotated[
        float | None,
        typer.Option(
            help="How much the light changes, in deviations, for columns that must not rely on it "
            "(default: 0.8; paper: 0)."
        ),
    ] = TrainConfig.jitter,
    val_fraction: Annotated[
        float, typer.Option(help="Share of the triplets to validate on, in whole spatial blocks.")
    ] = TrainConfig.val_fraction,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better validation loss.")
    ] = TrainConfig.patience,
    device: options.Device = TrainConfig.device,
    precision: options.Precision = TrainConfig.precision,
    compile: Annotated[
        bool, typer.Option(help="Compile the network with torch.compile.")
    ] = TrainConfig.compile,
    seed: options.Seed = TrainConfig.seed,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train an encoder on triplets, so that near tiles get near vectors.

    By default the vectors have two parts: texture (128 numbers, trained by triplets under changing
    light) and place (16, in closed form: what near tiles share and distant tiles don't). Ends by itself
    after 450 steps, about a minute on two cores.

    Other objectives, on the same tiles: autoencoder (the tile from its vector), rotation (which of
    four turns), context (where one patch lies from another), jigsaw (the order of four patches),
    colorization (bands from their mean), inpainting (what was in a hole), order (which of two dates
    of one place came first), infonce (the neighbor among the batch), maf (the place part alone, without
    a step); with --labels, also weak ones:
    contrastive (‖x−y‖² for one class, max(0, ε−‖x−y‖)² for two) and supervised (the class); probe
    these two with labels of other tiles. Whatever the objective, `embed` and `probe` take the model.

    Ends after --epochs, --steps or --minutes, whichever is first; the learning rate has then
    fallen to 0. Stopped by a signal, the same command goes on where it was. Started by torchrun or
    as several tasks of srun, all processes share each batch.

    Example: tile2vec train triplets.parquet --tiles tiles --out model --minutes 10
    """
    process = launch.find()
    if process.rank:
        mute_errors()
    console = Console("train", quiet or process.rank > 0, json)
    config = TrainConfig(
        objective=objective,
        labels=options.optional_labels(labels, label_band, label_nodata, layer, crs),
        field=field,
        min_purity=min_purity,
        init=init,
        temperature=temperature,
        recipe=recipe,
        place=place,
        encoder=encoder,
        dim=dim,
        margin=margin,
        l2=l2,
        distants=distants,
        local_share=local_share,
        epochs=epochs,
        steps=steps,
        minutes=minutes,
        batch_size=batch_size,
        lr=lr,
        augment=augment,
        jitter=jitter,
        val_fraction=val_fraction,
        patience=patience,
        device=device,
        precision=precision,
        compile=compile,
        seed=seed,
    )

    from tile2vec_cli.api import learning

    with console.progress("Train", "triplets") as on_progress:
        done = learning.train(triplets, tiles, out, config, overwrite=overwrite, on_progress=on_progress)
    if process.rank:
        return
    console.left_out(config.labels, done.keys.get("left_out", {}))
    options.say_label_rasters(console, done.keys.get("label_rasters", {}))
    console.show(done)

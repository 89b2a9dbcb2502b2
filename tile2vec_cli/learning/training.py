"""Training an encoder: what is there already, what the loop needs, what comes of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Adam

from tile2vec_cli.config.pipeline import TrainConfig
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.job import interrupts
from tile2vec_cli.job.launch import ALONE, Launch
from tile2vec_cli.learning import batch_norms, checkpoints, heads, objectives, ranks
from tile2vec_cli.learning.checkpoints import State
from tile2vec_cli.learning.examples import Source
from tile2vec_cli.learning.heads import Sizes
from tile2vec_cli.learning.loop import Run
from tile2vec_cli.learning.objectives import OBJECTIVES, Task
from tile2vec_cli.learning.origins import Origin
from tile2vec_cli.learning.ranks import Ranks
from tile2vec_cli.neural import batches, encoders, models
from tile2vec_cli.neural.batches import Pixels
from tile2vec_cli.neural.device import choose
from tile2vec_cli.outputs import workspaces
from tile2vec_cli.outputs.parts import (
    Progress,
    fingerprint,
    new_folder,
    remove,
    silent,
)
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.tiling.triplets import Triplets
from tile2vec_cli.tiling.triplets import load as load_triplets

BETAS = (0.5, 0.999)  # Adam's, as in the paper's published code


@dataclass(frozen=True)
class TrainReport:
    """What came of a training run; losses are None where nothing trained or validated."""

    objective: str
    encoder: str
    steps: int
    triplets_seen: int
    triplets_per_second: float | None
    train_loss: float | None
    val_loss: float | None
    val_triplet_accuracy: float | None
    device: str
    precision: str
    left_out: dict[str, int]  # what of the labels plays no part, by reason
    up_to_date: bool = False


def train(
    triplets_path: Path,
    tiles_path: Path,
    out: Path,
    config: TrainConfig,
    *,
    overwrite: bool = False,
    launch: Launch = ALONE,
    on_progress: Progress = silent,
) -> TrainReport:
    """Train an encoder on the triplets' tiles and write its model folder to `out`.

    Does nothing when a model of the same triplets, labels and settings is there; trains anew where one
    of these files has changed since; goes on where a stopped run's checkpoint is. On a signal the step
    at hand is abandoned, the state before it is saved and Interrupted raised. The model is that of the
    last step, where the learning rate is near 0; with `patience` that of the epoch with the least
    validation loss. Progress is in triplets.

    Each process of a `launch` of several calls this with the same arguments; the first one writes.
    """
    out = out.absolute()
    with ranks.joined(launch, config.device) as team, ExitStack() as held:
        with team.agreed() as claimed:
            tiles = TileSet.open(tiles_path)
            triplets = load_triplets(triplets_path, tiles)
            origin = Origin.of(triplets_path, out, config)
            if team.first:
                claimed.append(_claim(out, origin, overwrite, held))
        if not claimed[0]:
            return _report(models.describe(out), models.metrics(out), up_to_date=True)
        with team.agreed():
            run = _prepare(tiles, triplets, config, origin, workspaces.place(out), team)
        runtime = run.runtime
        kind = 2 * (runtime.name == "cuda") + (runtime.precision == "bf16")
        team.require_alike("device or precision", kind)
        team.require_alike("the checkpoint's step", run.state.step)
        with interrupts.held():
            run.loop(on_progress)
            with team.agreed():
                if team.first:
                    _write(out, run)
    return _report(run.described(), run.state.metrics)


def _claim(out: Path, origin: Origin, overwrite: bool, held: ExitStack) -> bool:
    """Whether there is something to train; no other run then trains it until `held` is closed."""
    if _is_made(out, origin, overwrite):
        return False
    checkpoint = held.enter_context(workspaces.opened(out))
    if _is_made(out, origin, overwrite):  # by another run that has just ended
        return False
    if checkpoint.exists() and not _stands(checkpoint, models.describe(checkpoint), origin, overwrite):
        remove(checkpoint)
    return True


def _is_made(out: Path, origin: Origin, overwrite: bool) -> bool:
    """Whether the model is there; DataError where one of other settings is, and may not be replaced."""
    found = _existing(out)
    if found is None or not _stands(out, found, origin, overwrite):
        return False
    workspaces.discard(out)
    return True


def _stands(path: Path, found: models.Model, origin: Origin, overwrite: bool) -> bool:
    return found.settings == origin.settings if overwrite else origin.made(path, found)


def _write(out: Path, run: Run) -> None:
    with new_folder(out) as folder:
        models.write(folder, run.described(), run.best or run.encoder.state_dict(), run.state.metrics)
    remove(run.checkpoint)


def _existing(out: Path) -> models.Model | None:
    """What model.json of an older run says; None where a model may be written."""
    models.require_room(out)
    return models.describe(out) if (out / models.DESCRIPTION).exists() else None


def _prepare(
    tiles: TileSet,
    triplets: Triplets,
    config: TrainConfig,
    origin: Origin,
    checkpoint: Path,
    team: Ranks,
) -> Run:
    """All that the loop needs: from the checkpoint where there is one, else from the seed."""
    begun = models.describe(checkpoint) if checkpoint.exists() else None
    objectives.require_fit(config.objective, tiles)
    runtime = choose(config.device, config.precision, team.launch)
    source = Source.of(tiles, triplets, config)
    used, numbers, held_out = source.used, source.numbers, source.split
    found = OBJECTIVES[config.objective].examples(source, config)
    if config.patience and not len(found.val):
        raise DataError(
            "--patience: needs a validation loss, and no held-out example can be judged. "
            "Raise --val-fraction, or leave --patience out."
        )
    sharers = team.launch.local_count if runtime.name == "cpu" else 1
    pixels = Pixels.of(tiles, used, runtime.device, sharers)
    start, said = _start(config, tiles)
    name = config.encoder
    if name == "auto":  # a run begun on another device goes on with its encoder
        name = "resnet18" if runtime.name == "cuda" else "small"
        name = next((model.architecture["encoder"] for model in (begun, said) if model), name)
    row = encoders.ENCODERS[name]
    dim = config.dim or (said.architecture["dim"] if said else row.dim)
    if said:  # its weights are for pixels on its own scale
        mean, std = (said.normalisation[key] for key in ("mean", "std"))
    else:
        mean, std = batches.normalisation(tiles, used[np.unique(numbers[held_out.train])])
    model = models.Model(
        kind="encoder",
        architecture={"encoder": name, "bands": tiles.shape[1], "dim": dim},
        bands=tiles.bands,
        dtype=str(tiles.dtype),
        size=tiles.size,
        normalisation={"mean": mean, "std": std},
        settings=origin.settings,
        provenance={
            **{name: origin.settings[name] for name in origin.paths},
            "paths": origin.paths,
            "tiles": _fingerprint(tiles, used),
            **({"labels_left_out": dict(found.left_out)} if found.left_out else {}),
        },
    )
    encoder = encoders.untrained(name, tiles.shape[1], dim, mean, std, config.seed)
    if start:
        encoder.load_state_dict(start.state_dict())
    encoder.to(runtime.device)
    if team.several:
        batch_norms.span_processes(encoder)
    batch_size = min(config.batch_size or row.batch_size, len(found.train))
    if batch_size < team.launch.count:
        raise UsageError(
            f"{team.launch.count} processes: a batch has {batch_size} triplets; one or more for each are "
            "needed. Use fewer processes, or more triplets and a larger --batch-size."
        )
    sizes = Sizes(tiles.shape[1], tiles.size, found.classes)
    beside = heads.untrained(OBJECTIVES[config.objective].head, encoder.shares, sizes, config.seed)
    beside.to(runtime.device)
    lr = config.lr or row.lr
    optimizer = Adam([*encoder.parameters(), *beside.parameters()], lr, BETAS, fused=True)
    state, best = State(), None
    if begun:
        state, best = checkpoints.restore(checkpoint, encoder, optimizer, beside)
    return Run(
        config=config,
        runtime=runtime,
        checkpoint=checkpoint,
        model=model,
        pixels=pixels,
        task=Task(
            config=config,
            train=found.train,
            val=found.val,
            places=torch.from_numpy(tiles.ecef[used]).to(runtime.device),
            codes=torch.from_numpy(found.codes).to(runtime.device),
            distant_min_m=triplets.settings["distant_min_m"],
            standardise=encoder.standardise,
            heads=beside,
        ),
        val=numbers[held_out.val],
        batch_size=batch_size,
        encoder=encoder,
        optimizer=optimizer,
        lr=lr,
        state=state,
        best=best,
        ranks=team,
    )


def _start(config: TrainConfig, tiles: TileSet) -> tuple[encoders.Encoder, models.Model] | tuple[None, None]:
    """The encoder of --init and what its model says; DataError where this run would need another."""
    if config.init is None:
        return None, None
    encoder, model = models.load_encoder(Path(config.init), torch.device("cpu"))
    name, dim = (model.architecture[key] for key in ("encoder", "dim"))
    models.require_start(
        Path(config.init),
        model,
        tiles,
        ("encoder", name, name if config.encoder == "auto" else config.encoder),
        ("dim", dim, config.dim or dim),
    )
    return encoder, model


def _fingerprint(tiles: TileSet, used: Ints) -> str:
    """Of the parts that hold these tiles: the set may have grown since the triplets were drawn."""
    numbers = np.unique(np.searchsorted(tiles.offsets, used, side="right") - 1)
    return fingerprint(*(f"{tiles.parts[k].name}={tiles.parts[k].fingerprint}" for k in numbers))


def _report(model: models.Model, metrics: list[dict[str, Any]], *, up_to_date: bool = False) -> TrainReport:
    last = metrics[-1] if metrics else {}
    computed = {
        "objective": model.settings.get("objective", TrainConfig.objective),
        "encoder": model.architecture["encoder"],
        "triplets_per_second": last.get("triplets_per_second"),
        "left_out": model.provenance.get("labels_left_out", {}),
    }
    scores = {field.name: model.scores.get(field.name) for field in fields(TrainReport)}
    return TrainReport(**{**scores, **computed, "up_to_date": up_to_date})

"""Training an encoder: what is there already, its steps, its closed form, what comes of it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from tile2vec_cli.config.labels import UNSAID, LabelSource
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.geo import raster_files
from tile2vec_cli.job import interrupts
from tile2vec_cli.job.launch import ALONE, Launch
from tile2vec_cli.learning import closed_form, losses, ranks
from tile2vec_cli.learning.loop import Run, held_out_vectors
from tile2vec_cli.learning.starts import Start
from tile2vec_cli.neural import encoders, models
from tile2vec_cli.outputs import workspaces
from tile2vec_cli.outputs.parts import Progress, new_folder, remove, sha256_file, silent
from tile2vec_cli.outputs.provenance import content, place
from tile2vec_cli.outputs.stamps import Stamp
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.tiling.triplets import load as load_triplets

_READ = ("triplets", "labels", "init")
_ONCE = {**UNSAID, "objective": TrainConfig.objective, "place": False, "local_share": 0.0}
"""What models without these settings were made with."""


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
    label_rasters: dict[str, int] = field(default_factory=dict)  # see LabelRasters.found


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
            origin = _origin(triplets_path, out, config)
            if team.first:
                claimed.append(_claim(out, origin, overwrite, held))
        if not claimed[0]:
            return _report(models.describe(out), models.metrics(out), up_to_date=True)
        with team.agreed():
            start = Start.of(tiles, triplets, config, origin, workspaces.place(out), team)
            run = start.run() if start.steps else None
        runtime = start.runtime
        kind = 2 * (runtime.name == "cuda") + (runtime.precision == "bf16")
        team.require_alike("device or precision", kind)
        if run:
            team.require_alike("the checkpoint's step", run.state.step)
        with interrupts.borrowed(), interrupts.held():
            after, before = closed_form.work(start.source) if config.place else 0, 0
            if run:

                def on_triplets(done: int, total: int) -> None:
                    nonlocal before
                    before = total
                    on_progress(done, total + after)

                run.loop(on_triplets)
            with team.agreed():
                model, metrics = _result(start, run)
                if team.first:
                    if config.place:
                        model = _placed(
                            start, model, lambda done, total: on_progress(before + done, before + total)
                        )
                    _write(out, start, model, metrics)
    return _report(model, metrics)


# --- what is there already ----------------------------------------------------------------------


def _origin(triplets_path: Path, out: Path, config: TrainConfig) -> Stamp:
    """Of the model that is to be made."""
    read: dict[str, str | Path | LabelSource] = {"triplets": triplets_path}
    states = {"triplets": sha256_file(triplets_path)[:32]}
    if config.labels is not None:
        labels = LabelSource.of(config.labels)
        for file in labels.files:
            raster_files.exists(file)
        read["labels"] = labels
        states["labels"] = content(labels) or str(labels)
    if config.init is not None:
        read["init"] = config.init
        states["init"] = models.start_fingerprint(Path(config.init), out)
    paths = {name: place(source, out) for name, source in read.items()}
    return Stamp(config.settings(), paths, states, by_content=True)


def _stays(out: Path, found: models.Description, origin: Stamp, overwrite: bool, what: str = "") -> bool:
    """Whether a model, or a checkpoint, is of this origin; False where a file has changed in its place.

    Raises DataError for other settings, or files of other places, unless it is to be overwritten then.
    """
    now = {**_ONCE, **origin.settings}
    # Models of older versions may have settings that are none any more.
    before = {name: found.settings.get(name, _ONCE.get(name)) for name in now}
    states = {name: found.settings[name] for name in _READ if name in found.settings}
    was = Stamp(before, found.provenance.get("paths", {}), states)
    return replace(origin, settings=now).stays(out, was, overwrite, what)


def _claim(out: Path, origin: Stamp, overwrite: bool, held: ExitStack) -> bool:
    """Whether there is something to train; no other run then trains it until `held` is closed."""
    if _is_made(out, origin, overwrite):
        return False
    checkpoint = held.enter_context(workspaces.opened(out))
    if _is_made(out, origin, overwrite):  # by another run that has just ended
        return False
    if checkpoint.exists():
        begun = models.describe(checkpoint)
        if not _stays(out, begun, origin, overwrite, "an unfinished training"):
            remove(checkpoint)
    return True


def _is_made(out: Path, origin: Stamp, overwrite: bool) -> bool:
    """Whether the model is there; DataError where one of other settings is, and may not be replaced."""
    models.require_room(out)
    if not (out / models.DESCRIPTION).exists():
        return False
    if not _stays(out, models.describe(out), origin, overwrite):
        return False
    workspaces.discard(out)
    return True


# --- what comes of it ----------------------------------------------------------------------------


def _result(start: Start, run: Run | None) -> tuple[models.Description, list[dict[str, Any]]]:
    """What the steps have made, and their log; the encoder has the weights that are kept."""
    start.encoder.finished = True
    if run is None:
        untrained = {"steps": 0, "triplets_seen": 0, "train_loss": None, "val_loss": None}
        device = {"device": start.runtime.name, "precision": start.runtime.precision}
        return replace(start.model, scores={**untrained, "val_triplet_accuracy": None, **device}), []
    if start.config.place:
        run.save()  # what follows can be stopped, and then begins anew
    if run.best:
        run.encoder.load_state_dict(run.best)
    return run.described(), run.state.metrics


def _placed(start: Start, model: models.Description, on_progress: Progress) -> models.Description:
    """Fit the encoder's place column; the model that has it, judged by whole vectors."""
    encoder, pixels, runtime = start.encoder, start.pixels, start.runtime
    encoder.place = closed_form.fitted(encoder, start.source, pixels, runtime, start.config.seed, on_progress)
    place = {**encoder.place.descriptors.shape.to_json(), "factors": encoder.place.dim}
    scores = dict(model.scores)
    if len(start.val):
        size = encoders.tiles_a_pass(model.architecture["encoder"], runtime.name)
        vectors = held_out_vectors(encoder, start.val, pixels, runtime, size)
        scores["val_triplet_accuracy"] = losses.nearer(*vectors)
    return replace(model, architecture={**model.architecture, "place": place}, scores=scores)


def _write(out: Path, start: Start, model: models.Description, metrics: list[dict[str, Any]]) -> None:
    with new_folder(out, models.FILES) as folder:
        models.write(folder, model, start.encoder.state_dict(), metrics)
    if start.checkpoint.exists():
        remove(start.checkpoint)


def _report(
    model: models.Description, metrics: list[dict[str, Any]], *, up_to_date: bool = False
) -> TrainReport:
    last = metrics[-1] if metrics else {}
    computed = {
        "objective": model.settings.get("objective", TrainConfig.objective),
        "encoder": model.architecture["encoder"],
        "triplets_per_second": last.get("triplets_per_second"),
        "left_out": model.provenance.get("labels_left_out", {}),
        "label_rasters": model.provenance.get("label_rasters", {}),
    }
    scores = {field.name: model.scores.get(field.name) for field in fields(TrainReport)}
    return TrainReport(**{**scores, **computed, "up_to_date": up_to_date})

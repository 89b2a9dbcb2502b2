"""What a training run starts from: device, tiles, encoder, and where a stopped run had come to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.optim import Adam

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.config.objectives import MAF
from tile2vec_cli.config.training import NONE, TrainConfig
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.learning import checkpoints, heads, objectives
from tile2vec_cli.learning.checkpoints import State
from tile2vec_cli.learning.examples import Source
from tile2vec_cli.learning.heads import Sizes
from tile2vec_cli.learning.loop import Run
from tile2vec_cli.learning.objectives import Task
from tile2vec_cli.learning.ranks import Ranks
from tile2vec_cli.neural import batches, encoders, models
from tile2vec_cli.neural.batches import Pixels
from tile2vec_cli.neural.device import Runtime, choose
from tile2vec_cli.neural.encoders import Encoder
from tile2vec_cli.outputs.parts import fingerprint
from tile2vec_cli.outputs.stamps import Stamp
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.tiling.triplets import Triplets

BETAS = (0.5, 0.999)  # Adam's, as in the paper's published code


@dataclass(frozen=True)
class Start:
    """An encoder that is still to be trained, and what it is trained with."""

    config: TrainConfig
    team: Ranks
    runtime: Runtime
    source: Source
    pixels: Pixels
    model: models.Description  # what its description will say
    encoder: Encoder
    checkpoint: Path

    @classmethod
    def of(
        cls,
        tiles: TileSet,
        triplets: Triplets,
        config: TrainConfig,
        origin: Stamp,
        checkpoint: Path,
        team: Ranks,
    ) -> Start:
        """Raises DataError where tiles or triplets teach nothing, or --init does not fit."""
        begun = models.describe(checkpoint) if checkpoint.exists() else None
        objectives.require_fit(config.objective, tiles)
        runtime = choose(config.device, config.precision, team.launch)
        source = Source.of(tiles, triplets, config)
        sharers = team.launch.local_count if runtime.name == "cpu" else 1
        pixels = Pixels.of(tiles, source.used, runtime.device, sharers, often=config.objective != MAF)
        start, said = _init(config, tiles)
        name = str(config.encoder)
        if name == "auto":  # a run begun on another device goes on with its encoder
            name = "resnet18" if runtime.name == "cuda" else "small"
            name = next((model.architecture["encoder"] for model in (begun, said) if model), name)
        dim = 0 if name == NONE else ENCODERS[name].dim
        dim = config.dim or (said.architecture["dim"] if said else dim)
        if said:  # its weights are for pixels on its own scale
            mean, std = (said.normalisation[key] for key in ("mean", "std"))
        else:
            training = np.unique(source.numbers[source.split.train])
            mean, std = batches.normalisation(tiles, source.used[training])
        encoder = encoders.untrained(name, tiles.shape[1], dim, mean, std, config.seed)
        if start:
            encoder.load_state_dict(start.state_dict())
        encoder.to(runtime.device)
        model = models.Description(
            kind="encoder",
            architecture={"encoder": name, "bands": tiles.shape[1], "dim": dim},
            bands=tiles.bands,
            band_names=tiles.band_names,
            dtype=str(tiles.dtype),
            scaled=tiles.is_scaled,
            scaling=tiles.scaling,
            size=tiles.size,
            normalisation={"mean": mean, "std": std},
            settings={**origin.settings, **origin.contents},
            provenance={
                **origin.contents,
                "paths": origin.inputs,
                "tiles": _fingerprint(tiles, source.used),
            },
        )
        return cls(config, team, runtime, source, pixels, model, encoder, checkpoint)

    @property
    def steps(self) -> bool:
        """Whether anything is trained in steps."""
        return self.config.objective != MAF

    @property
    def val(self) -> Ints:
        """(V, 3) held-out triplets."""
        return self.source.numbers[self.source.split.val]

    def run(self) -> Run:
        """The loop of steps, from the checkpoint where there is one, else from the seed."""
        config, encoder, runtime, tiles = self.config, self.encoder, self.runtime, self.source.tiles
        objective = objectives.chosen(config)
        found = objective.examples(self.source)
        if config.patience and not len(found.val):
            raise DataError(
                "--patience: needs a validation loss, and no held-out example can be judged. "
                "Raise --val-fraction, or leave --patience out."
            )
        model = self.model
        read = {"label_rasters": found.label_rasters, "labels_left_out": dict(found.left_out)}
        read = {name: counts for name, counts in read.items() if counts}
        model = replace(model, provenance={**model.provenance, **read})
        row = ENCODERS[self.model.architecture["encoder"]]
        batch_size = min(config.batch_size or row.batch_size, len(found.train))
        if batch_size < self.team.launch.count:
            raise UsageError(
                f"{self.team.launch.count} processes: a batch has {batch_size} triplets; one or more "
                "for each are needed. Use fewer processes, or more triplets and a larger --batch-size."
            )
        sizes = Sizes(tiles.shape[1], tiles.size, found.classes)
        beside = heads.untrained(objective.head, encoder.shares, sizes, config.seed)
        beside.to(runtime.device)
        lr = config.lr or row.lr
        optimizer = Adam([*encoder.parameters(), *beside.parameters()], lr, BETAS, fused=True)
        state, best = State(), None
        if self.checkpoint.exists():
            state, best = checkpoints.restore(self.checkpoint, encoder, optimizer, beside)
        return Run(
            config=config,
            runtime=runtime,
            checkpoint=self.checkpoint,
            model=model,
            pixels=self.pixels,
            task=Task(
                objective=objective,
                examples=found,
                places=torch.from_numpy(found.places).to(runtime.device),
                codes=torch.from_numpy(found.codes).to(runtime.device),
                distant_min_m=self.source.triplets.settings["distant_min_m"],
                standardise=encoder.standardise,
                heads=beside,
            ),
            val=self.val,
            batch_size=batch_size,
            encoder=encoder,
            optimizer=optimizer,
            lr=lr,
            state=state,
            best=best,
            ranks=self.team,
        )


def _init(config: TrainConfig, tiles: TileSet) -> tuple[Encoder, models.Description] | tuple[None, None]:
    """What of the model of --init was trained, and what it says; DataError where this run needs another."""
    if config.init is None:
        return None, None
    encoder, model = models.load_encoder(Path(config.init), torch.device("cpu"))
    encoder.place = None  # it is fitted anew
    name, dim = (model.architecture[key] for key in ("encoder", "dim"))
    if name == NONE:
        raise DataError(
            f"--init {config.init}: nothing of it was trained in steps; something to start from is "
            "needed. Start from another model, or leave --init out."
        )
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
    numbers = np.unique(tiles.part_of(used))
    return fingerprint(*(f"{tiles.parts[k].name}={tiles.parts[k].fingerprint}" for k in numbers))

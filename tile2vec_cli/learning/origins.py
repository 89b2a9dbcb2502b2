"""What a model is made from: settings, and files that may have changed since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tile2vec_cli.config.labels import UNSAID, LabelSource
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.geo import raster_files
from tile2vec_cli.neural import models
from tile2vec_cli.outputs.parts import sha256_file
from tile2vec_cli.outputs.provenance import content, place
from tile2vec_cli.outputs.stamps import Stamp

_READ = ("triplets", "labels", "init")
_ONCE = {**UNSAID, "objective": TrainConfig.objective, "place": False, "local_share": 0.0}
"""What models without these settings were made with."""


def asked(triplets_path: Path, out: Path, config: TrainConfig) -> Stamp:
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


def stays(path: Path, found: models.Description, origin: Stamp, overwrite: bool) -> bool:
    """Whether a model, or a checkpoint, is of this origin; False where a file has changed in its place.

    Raises DataError for other settings, or files of other places, unless it is to be overwritten then.
    """
    now = {**_ONCE, **origin.settings}
    # Models of older versions may have settings that are none any more.
    before = {name: found.settings.get(name, _ONCE.get(name)) for name in now}
    states = {name: found.settings[name] for name in _READ if name in found.settings}
    was = Stamp(before, found.provenance.get("paths", {}), states)
    return replace(origin, settings=now).stays(path, was, overwrite)

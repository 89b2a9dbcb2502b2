"""What a model is made from: settings, and files that may have changed since."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.geo import rasters
from tile2vec_cli.neural import models
from tile2vec_cli.outputs.parts import require_same_settings, sha256_file
from tile2vec_cli.outputs.provenance import content, elsewhere, place


@dataclass(frozen=True)
class Origin:
    """What a model is made from."""

    settings: dict[str, Any]  # and fingerprints of the files that are read
    paths: dict[str, Any]  # of these files, seen from the model

    @classmethod
    def of(cls, triplets_path: Path, out: Path, config: TrainConfig) -> Origin:
        read: dict[str, str | Path | LabelSource] = {"triplets": triplets_path}
        states = {"triplets": sha256_file(triplets_path)[:32]}
        if config.labels is not None:
            labels = LabelSource.of(config.labels)
            for file in labels.files:
                rasters.exists(file)
            read["labels"] = labels
            states["labels"] = content(labels) or str(labels)
        if config.init is not None:
            read["init"] = config.init
            states["init"] = models.start_fingerprint(Path(config.init), out)
        paths = {name: place(source, out) for name, source in read.items()}
        return cls({**config.settings(), **states}, paths)

    def made(self, path: Path, found: models.Description) -> bool:
        """Whether a model was made from this; False where a file has changed since, in its place.

        Raises DataError for other settings, or files of other places.
        """
        unsaid = {
            "objective": TrainConfig.objective,
            "init": None,
            "place": False,
            "local_share": 0.0,
        }  # in models that say nothing of them
        were, now = {**unsaid, **found.settings}, {**unsaid, **self.settings}
        require_same_settings(path, were, elsewhere(now, self.paths, found.provenance.get("paths", {})))
        return all(were.get(name) == now[name] for name in self.paths)

"""Ways to learn without labels, side by side: each trained, embedded and probed alike, in one folder.

    FOLDER/triplets.parquet                one draw for all, where none are given
    FOLDER/models/OBJECTIVE/               as `train` writes them
    FOLDER/embeddings/OBJECTIVE.parquet    as `embed` does
    FOLDER/probes/OBJECTIVE/               as `probe` does
    FOLDER/probes/rivals/                  what learns otherwise: statistics, and the labels alone

Each is whole or absent and made only where it is missing, so that a run that was stopped goes on with
the stage at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.objectives import MAF
from tile2vec_cli.config.pipeline import COMPARED, CompareConfig, EmbedConfig, TripletConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError, Failure, Tile2VecError
from tile2vec_cli.evaluation import probe_reports, splits
from tile2vec_cli.labelling import labels
from tile2vec_cli.learning import objectives, training
from tile2vec_cli.outputs.parts import Progress, make_folder, new_file, read_json, sweep
from tile2vec_cli.outputs.provenance import relative
from tile2vec_cli.outputs.records import Report
from tile2vec_cli.tiling import triplets as triplet_files
from tile2vec_cli.tiling.tiles import TileSet

Stages = Callable[[str, str], AbstractContextManager[Progress]]
"""Called with what is done and in which units; its context tells of the progress."""

RIVALS = "rivals"


@dataclass(frozen=True)
class Comparison:
    """What came of all objectives. A probe's report is that of `probe --json`."""

    probes: dict[str, dict[str, Any]]  # by objective
    trainings: dict[str, training.TrainReport]
    rivals: dict[str, Any] | None  # None: no embeddings to put them beside, or they failed
    left_out: dict[str, str]  # objectives that the tiles do not allow, and why
    failed: tuple[Failure, ...]
    made: tuple[str, ...]  # objectives (and rivals) of which something was made now


@dataclass(frozen=True)
class Bench:
    """What all objectives share."""

    tiles: Path
    labels: str | LabelSource
    folder: Path
    config: CompareConfig
    stages: Stages
    triplets: Path | None = None  # None: drawn into the folder
    overwrite: bool = False
    strict: bool = False

    @property
    def drawn(self) -> Path:
        return self.triplets or self.folder / "triplets.parquet"

    def embeddings(self, objective: str) -> Path:
        return self.folder / "embeddings" / f"{objective}.parquet"

    def judge(self, objective: str, place: str) -> tuple[training.TrainReport, Report, bool]:
        """Train, embed and probe an objective; whether anything was made. `place`: such as "2 of 9"."""
        model, vectors = self.folder / "models" / objective, self.embeddings(objective)
        sweep(make_folder(model.parent))
        with self.stages(f"{objective} ({place}): train", "triplets") as told:
            trained = training.train(
                self.drawn,
                self.tiles,
                model,
                self.config.training(objective),
                overwrite=self.overwrite,
                on_progress=told,
            )
        with self.stages(f"{objective} ({place}): embed", "tiles") as told:
            # Vectors of an older model go with it.
            embedded = inference.embed(
                self.tiles, model, vectors, EmbedConfig(), overwrite=True, on_progress=told
            )
        with self.stages(f"{objective} ({place}): probe", "fits") as told:
            found = probe_reports.run(
                vectors,
                self.labels,
                self.config.probe,
                out=self.folder / "probes" / objective,
                overwrite=self.overwrite,
                on_progress=told,
            )
        return trained, found, bool(not trained.up_to_date or embedded.made or not found.up_to_date)

    def judge_rivals(self, objectives: list[str]) -> Report:
        """Probe what learns otherwise, beside the vectors of one objective or another."""
        out = self.folder / "probes" / RIVALS
        # Their encoder is that of these vectors, which `maf` alone has not.
        objectives = [name for name in objectives if name != MAF] or objectives
        beside, same = self.embeddings(objectives[0]), True
        if (out / probe_reports.REPORT).exists():
            report = read_json(out / probe_reports.REPORT, probe_reports.FORMAT, {"made_from": dict})
            before = report["made_from"].get("settings", {}).get("embeddings")
            known = {relative(str(self.embeddings(name)), out): self.embeddings(name) for name in objectives}
            beside, same = known.get(before, beside), before in known
        with self.stages("rivals: train end to end", "seconds") as told:
            return probe_reports.run(
                beside,
                self.labels,
                self.config.rivals,
                tiles=self.tiles,
                out=out,
                overwrite=self.overwrite or not same,
                on_progress=told,
            )


def compare(bench: Bench) -> Comparison:
    """Train each objective for the same time and probe it on the same splits, into the bench's folder.

    An objective that fails does not stop the others, unless `strict`. Raises DataError and InputError where
    tiles, labels or triplets are of no use to any, DataError where no objective is left.
    """
    tiles = TileSet.open(bench.tiles)
    with bench.stages("read labels", "tiles"):
        _require_labels(tiles, bench)
    if bench.triplets is None:
        _draw(tiles, bench)
    names, left_out = _allowed(tiles, bench)
    trainings, probes, failed, made = {}, {}, [], []
    for number, name in enumerate(names, start=1):
        try:
            trainings[name], found, is_new = bench.judge(name, f"{number} of {len(names)}")
        except Tile2VecError as error:
            failed.append(_failure(name, error, bench.strict))
        else:
            probes[name] = found.keys
            made += [name] * is_new
    rivals = None
    if probes:
        try:
            report = bench.judge_rivals(list(probes))
            rivals = report.keys
            made += [RIVALS] * (not report.up_to_date)
        except Tile2VecError as error:
            failed.append(_failure(RIVALS, error, bench.strict))
    return Comparison(probes, trainings, rivals, left_out, tuple(failed), tuple(made))


def _failure(name: str, error: Tile2VecError, strict: bool) -> Failure:
    # Output that cannot be written stays so for every objective: go no further.
    if strict or error.exit_code == 73:
        raise error
    return replace(Failure.of(name, error), message=f"{name}: {error}")


def _require_labels(tiles: TileSet, bench: Bench) -> None:
    """Find labels that no classifier could learn from before hours of training, not after them."""
    geometry = tiles.footprints()
    ids = np.array(tiles.table(["tile_id"])["tile_id"].to_pylist(), dtype=object)
    probe = bench.config.probe
    found = labels.read(
        bench.labels,
        geometry,
        ids,
        field=probe.field,
        min_purity=probe.min_purity,
    )
    nothing = np.zeros((len(tiles), 1), np.float32)
    splits.choose_task(Embeddings.of(nothing, geometry, tile_id=ids), found, probe)


def _draw(tiles: TileSet, bench: Bench) -> None:
    """Make the folder's own triplets. Those that are there stay, also when the tile set has grown."""
    path, drawing = bench.drawn, TripletConfig(seed=bench.config.probe.seed)
    sweep(make_folder(path.parent))
    if path.exists() and not bench.overwrite:
        return
    if not triplet_files.is_current(path, tiles, drawing, overwrite=True):
        with bench.stages("draw triplets", "triplets") as told:
            drawn = triplet_files.draw(tiles, drawing, told)
        with new_file(path) as temporary:
            triplet_files.save(temporary, drawn)


def _allowed(tiles: TileSet, bench: Bench) -> tuple[list[str], dict[str, str]]:
    """Objectives that have something to learn from in these tiles, and why the others have not.

    Those that were asked for by name are not left out: they fail.
    """
    triplets, config = triplet_files.load(bench.drawn, tiles), bench.config
    if config.objectives is not None:
        return list(config.objectives), {}
    names, left_out = [], {}
    for name in COMPARED:
        try:
            objectives.require_examples(tiles, triplets, config.training(name))
            names.append(name)
        except DataError as error:
            left_out[name] = str(error).removeprefix(f"{tiles.path}: ")
    if not names:
        raise DataError(f"{tiles.path}: {next(iter(left_out.values()))}")
    return names, left_out

"""Classes of embeddings that grow: a folder with a table for each of their files, only new ones made.

All tables of a folder are by one classifier. It learns from the files that are there at first, which the
folder's manifest lists; as long as these and the labels are as they were, it is the same one, and files
that have come since are classified by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import ClassifyConfig
from tile2vec_cli.embedding import embedding_readers
from tile2vec_cli.embedding.embeddings import Embeddings, OnRows
from tile2vec_cli.errors import Failure, OutputError, Tile2VecError, UsageError
from tile2vec_cli.outputs import parts, records
from tile2vec_cli.outputs.parts import Progress, fingerprint, silent
from tile2vec_cli.outputs.provenance import content
from tile2vec_cli.outputs.records import Keys, Output, Report
from tile2vec_cli.views import class_outputs, classes
from tile2vec_cli.views.classes import Learned

MANIFEST = "manifest.json"
FORMAT = "tile2vec-classes/1"


def require_alone(out: Sequence[Path], picture: Path | None, config: ClassifyConfig) -> Path:
    """The folder. Raises UsageError where other outputs are asked for beside it."""
    if len(out) > 1 or picture is not None:
        raise UsageError(
            "--out: a folder is made alone; other outputs are made from all files at once. Run them apart."
        )
    if config.dissolve or config.probability is not None:
        raise UsageError(f"--dissolve and --probability: are of files, and --out {out[0]} is a folder.")
    return out[0]


def run(
    path: Path,
    labels: LabelSource | None,
    config: ClassifyConfig,
    out: Path,
    *,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> tuple[Report, list[Failure]]:
    """Make the tables that are missing or out of date; a file that cannot be read does not stop the others.

    Errors as `class_reports.run`.
    """
    files = embedding_readers.files(path)
    states = {file.name: content(file) or "" for file in files}
    told = None if labels is None else content(labels)
    learned_from = _learned_from(out, states, told, overwrite)
    fit = fingerprint(*(f"{name}={states[name]}" for name in learned_from))
    wanted = {file: _output(out, file, labels, config, states, told, fit) for file in files}
    known = {file: records.current(output, overwrite) for file, output in wanted.items()}
    todo = [file for file in files if known[file] is None]
    if not todo:
        return _report(wanted, [keys or {} for keys in known.values()], up_to_date=True), []
    only = [file for file in files if file.name in learned_from]
    rows = {file: embedding_readers.count(file) for file in todo}
    every = Embeddings.open(path, part=config.part, only=only, on_rows=lambda read: on_progress(read, total))
    done, total = len(every), len(every) + sum(rows.values())
    learned = classes.learn(every, labels, config)
    del every
    parts.sweep(parts.make_folder(out))
    manifest = {"learned_from": {name: states[name] for name in learned_from}, "labels": told}
    parts.write_json(out / MANIFEST, {"format": FORMAT, **manifest})
    failed = []
    for file in todo:

        def advance(read: int, before: int = done) -> None:
            on_progress(before + read, total)

        try:
            known[file] = _make(learned, config, wanted[file], path, file, overwrite, advance)
        except OutputError:
            raise
        except Tile2VecError as error:
            failed.append(Failure.of(file.name, error))
        done += rows[file]
    made = {file: output for file, output in wanted.items() if known[file] is not None}
    report = _report(made, [keys for keys in known.values() if keys is not None], up_to_date=False)
    report.keys["failed"] = [one.name for one in failed]
    report.keys["new_parts"] = sum(file.name not in learned_from for file in todo)
    return report, failed


def _learned_from(out: Path, states: Keys, labels: str | None, overwrite: bool) -> list[str]:
    """Names of the files that the folder's classifier learns from."""
    manifest = out / MANIFEST
    if manifest.exists() and not overwrite:
        found = parts.read_json(manifest, FORMAT, {"learned_from": dict})
        before = found["learned_from"]
        if found.get("labels") == labels and all(states.get(name) == state for name, state in before.items()):
            return sorted(before)
    return sorted(states)


def _output(
    out: Path,
    file: Path,
    labels: LabelSource | None,
    config: ClassifyConfig,
    states: Keys,
    told: str | None,
    fit: str,
) -> Output:
    inputs: dict[str, records.Input] = {"embeddings": file, "labels": labels}
    known = {"embeddings": states[file.name], "labels": told}
    path = out / f"{file.stem}.parquet"
    output = records.output(path, "classify", config.settings(), inputs, **known)
    output.made_from["content"]["learned_from"] = fit
    return output


def _make(
    learned: Learned,
    config: ClassifyConfig,
    output: Output,
    path: Path,
    file: Path,
    overwrite: bool,
    on_rows: OnRows,
) -> Keys:
    every = Embeddings.open(path, part=config.part, only=[file])
    found = classes.classify(every, learned, folder=output.path.parent, on_rows=on_rows)
    keys = {**learned.keys(), "tiles": len(found.classes), "counts": found.counts}
    records.write(output, {output.path: partial(class_outputs.table, found)}, keys, overwrite)
    return keys


def _report(made: dict[Path, Output], keys: Sequence[Keys], *, up_to_date: bool) -> Report:
    """Of all tables: one classifier, and the sums of their counts."""
    found = dict(keys[0]) if keys else {}
    names = found.get("classes", [])
    found["tiles"] = sum(one["tiles"] for one in keys)
    found["counts"] = {name: sum(one["counts"][name] for one in keys) for name in names}
    return Report(found, tuple(output.path for output in made.values()), up_to_date)

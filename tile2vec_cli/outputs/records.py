"""Outputs of any format that tell whether they are up to date, by a record beside them.

Beside an output lies OUTPUT.json, which says what it was made from: CSV and pictures have no place for
that, and so all kinds are told up to date in one way. It is written before its output, with the
fingerprints of the output's files; an output without it, or of another fingerprint, is somebody else's.
The report of a folder of files is such a record, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.errors import DataError, OutputError, Tile2VecError, UsageError
from tile2vec_cli.outputs import parts
from tile2vec_cli.outputs.provenance import content, place
from tile2vec_cli.outputs.stamps import Stamp, refusal

Keys = dict[str, Any]
Input = str | Path | LabelSource | None
"""What is read, by its path; None: it is not used."""
Maker = Callable[[Path], object]
"""Writes a file to the path it is given."""


@dataclass(frozen=True)
class Report:
    """What was found, as JSON, and the files that hold it."""

    keys: Keys
    files: tuple[Path, ...]
    up_to_date: bool


@dataclass(frozen=True)
class Output:
    """An output as the user named it. It may become several files with names of their own."""

    path: Path
    command: str
    made_from: Keys  # settings, and the content of what is read

    @property
    def record(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def format(self) -> str:
        return f"tile2vec-{self.command}/1"


def output(
    path: Path,
    command: str,
    settings: Keys,
    inputs: Mapping[str, Input],
    **known: str | None,
) -> Output:
    """An output made with these settings from these inputs, by name.

    known: fingerprints of inputs that have been taken already, by name. Raises OutputError and UsageError
    for a path that cannot be meant: a folder, or one among the inputs.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; a file is written here. Give it another name.")
    for source in (path for one in inputs.values() for path in _paths(one)):
        if Path(source).resolve() in (path.resolve(), path.resolve().parent):
            raise UsageError(f"{path}: lies where {source} does; a place of its own is needed.")
    return Output(path, command, made_from(path.parent, settings, inputs, known))


def _paths(source: Input) -> Sequence[str | Path]:
    if isinstance(source, LabelSource):
        return source.files
    return [] if source is None else [source]


def made_from(
    folder: Path, settings: Keys, inputs: Mapping[str, Input], known: Mapping[str, str | None]
) -> Keys:
    """What an output in a folder is made from: settings, where its inputs lie, and what they hold."""
    read = {name: source for name, source in inputs.items() if source is not None}
    places = {name: place(source, folder) for name, source in read.items()}
    states = {name: known.get(name) or content(source) for name, source in read.items()}
    for source in read.values():
        if isinstance(source, LabelSource):
            settings = {**settings, **source.settings()}
    # As JSON would give it back: tuples are lists.
    return dict(json.loads(json.dumps({"settings": {**places, **settings}, "content": states})))


@dataclass(frozen=True)
class Folder:
    """Files that belong together, and a report in JSON that says what they were made from."""

    report: Path
    format: str
    made_from: Keys
    files: tuple[Path, ...]  # all that may be written beside the report

    def current(
        self, wanted: Sequence[Path], overwrite: bool, keys: Mapping[str, type] | None = None
    ) -> Keys | None:
        """What the report says, where it is of what is wanted now and the files are there.

        keys: what it has to say, and of which type. Raises DataError where it was made with other settings,
        or is no such report, and where a file is none of its own.
        """
        parts.sweep(self.report.parent)  # a run that was killed at its very end is up to date
        if overwrite:
            return None
        found: Keys = {}
        if self.report.exists():
            found = parts.read_json(self.report, self.format, {"made_from": dict, **(keys or {})})
        own = self._own(found)
        for path in self.files:
            if path.exists() and path not in own:
                raise _unrelated(path, self.format)
        if not found:
            return None
        was = Stamp.read(found["made_from"])
        if not Stamp.read(self.made_from).stays(self.report.parent, was):
            return None
        return said(found) if all(file.exists() for file in wanted) else None

    def write(self, makers: Mapping[Path, Maker], keys: Keys) -> None:
        """Make the files and the report; of the older ones all go."""
        old = self._own(_read(self.report, self.format, {}))
        _replace(self.report, {"format": self.format, **keys, "made_from": self.made_from}, makers, old)

    def _own(self, found: Keys) -> list[Path]:
        """Files that the report that was found is of. Those of older versions name none: all are, then."""
        named = found.get("files")
        if not isinstance(named, dict):
            return list(self.files) if found else []
        there = [path for path in self.files if path.exists()]
        return [path for path in there if named.get(path.name) == parts.sha256_file(path)]


def _replace(path: Path, record: Keys, makers: Mapping[Path, Maker], old: Iterable[Path]) -> None:
    """The old files go first and the new ones come last, after the record at `path` that names them: wherever
    this ends, it can be run again."""
    parts.sweep(parts.make_folder(path.parent))
    with ExitStack() as stack:
        new = {}
        for file, make in makers.items():
            # In a folder: GDAL puts files of its own beside the one it writes.
            new[file], _ = stack.enter_context(parts.new_file_from(file))
            make(new[file])
        for file in {*old, *makers}:
            parts.remove(file)
        files = {file.name: parts.sha256_file(temporary) for file, temporary in new.items()}
        parts.write_json(path, {**record, "files": files})


def said(report: Keys) -> Keys:
    """What a report found, without what it says of itself."""
    return {name: value for name, value in report.items() if name not in {"format", "made_from", "files"}}


def joined(known: Sequence[Keys | None]) -> Keys | None:
    """What the records of all outputs say; None where one of them is not up to date, or there is none."""
    if not known or any(keys is None for keys in known):
        return None
    return {name: value for keys in known for name, value in (keys or {}).items()}


def current(output: Output, overwrite: bool) -> Keys | None:
    """What the record says was found, where the output is up to date; None where it is not.

    Raises DataError where the output was made otherwise and is not to be replaced.
    """
    record = _record(output)
    if not (record or overwrite) and output.record.exists():
        raise _unrelated(output.record, output.format)
    files = _files(output, record)
    if output.path.exists() and output.path not in files and not overwrite:
        raise _unrelated(output.path, output.format)
    present = [path for path in files if path.exists()]
    if not present:
        return None
    foreign = [path for path in present if files[path] != parts.sha256_file(path)]
    if foreign:
        if overwrite:
            return None
        raise _unrelated(foreign[0], output.format)
    was = Stamp.read(record["made_from"])
    stays = Stamp.read(output.made_from).stays(output.path, was, overwrite)
    return dict(record["found"]) if stays and len(present) == len(files) else None


def write(output: Output, makers: Mapping[Path, Maker], found: Keys, overwrite: bool) -> None:
    """Make the output's files and its record. Raises DataError where one of them is somebody else's."""
    old = _files(output, _record(output))
    for path in makers:
        if path.exists() and path not in old and not overwrite:
            raise _unrelated(path, output.format)
    record = {"format": output.format, "made_from": output.made_from, "found": found}
    _replace(output.record, record, makers, old)


def _files(output: Output, record: Keys) -> dict[Path, str]:
    """The output's files and their fingerprints, as its record names them."""
    return {output.path.with_name(name): digest for name, digest in record.get("files", {}).items()}


def _record(output: Output) -> Keys:
    """{} where it is missing or none of ours: then nothing tells that the output is."""
    found = _read(output.record, output.format, {"made_from": dict, "files": dict, "found": dict})
    return found if all(name == Path(name).name for name in found.get("files", ())) else {}


def _read(record: Path, format: str, keys: Mapping[str, type]) -> Keys:
    try:
        return parts.read_json(record, format, keys)
    except Tile2VecError:
        return {}


def _unrelated(path: Path, format: str) -> DataError:
    command = format.removeprefix("tile2vec-").partition("/")[0]
    return refusal(f"{path}: exists and is not what `{command}` wrote; nothing else is replaced.")

"""A search for similar tiles from files to files: a table of them, and a contact sheet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tile2vec_cli import contact_sheets, near_tables, records, similarity
from tile2vec_cli.config import SimilarConfig
from tile2vec_cli.contact_sheets import SHOWN, Group, Source
from tile2vec_cli.parts import Progress, silent
from tile2vec_cli.records import Keys, Output
from tile2vec_cli.similarity import Found

Writer = Callable[[Found, Path], None]


@dataclass(frozen=True)
class Report:
    """What was found, as JSON, and the files that hold it."""

    keys: Keys
    files: tuple[Path, ...]
    up_to_date: bool


def run(
    embeddings: Path,
    config: SimilarConfig,
    *,
    out: Path | None = None,
    tiles: Path | None = None,
    picture: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Report:
    """Find the tiles; write what is not up to date of `out` (by its suffix) and of `picture`.

    Raises UsageError for an output that cannot be meant, InputError and DataError for what cannot be read
    or used, DataError where an output was made otherwise, OutputError where it cannot be written.
    """
    wanted: list[tuple[Output, Writer]] = []
    inputs: dict[str, Path | None] = {"embeddings": embeddings}
    if out is not None:
        table = near_tables.writer(out)
        output = records.output(out, "similar", config.settings(), inputs)
        wanted.append((output, lambda found, path: table(path, near_tables.rows(found.near), found.near)))
    if picture is not None and tiles is not None:
        contact_sheets.require_png("--picture", picture)
        source = Source.of(tiles, config.rgb)
        inputs["tiles"] = tiles
        settings = {**config.settings(), "rgb": source.bands}
        output = records.output(picture, "similar", settings, inputs, tiles=source.tiles.fingerprint)
        wanted.append((output, lambda found, path: contact_sheets.write(path, _groups(found, source))))
    files = tuple(output.path for output, _ in wanted)
    before = [records.current(output, overwrite) for output, _ in wanted]
    if before and all(keys is not None for keys in before):
        return Report(before[0] or {}, files, True)
    found = similarity.search(embeddings, config, on_progress)
    keys = _keys(found)
    for (output, write), known in zip(wanted, before, strict=True):
        if known is None:
            records.write(output, {output.path: partial(write, found)}, keys, overwrite)
    return Report(keys, files, False)


def _keys(found: Found) -> Keys:
    return {
        "similar": near_tables.rows(found.near),
        "examples": list(found.examples),
        "counter_examples": list(found.counter_examples),
        "ruled_out": found.ruled_out,
    }


def _groups(found: Found, source: Source) -> list[Group]:
    groups = []
    for heading, ids, colour in (
        ("Example", found.examples[: SHOWN // 10], "blue"),
        ("Counter-example", found.counter_examples[: SHOWN // 10], "orange"),
    ):
        if ids:
            groups.append(source.group(heading + "s" * (len(ids) > 1), ids, colour=colour))
    return [*groups, contact_sheets.nearest("Nearest tiles", found.near[:SHOWN], source)]

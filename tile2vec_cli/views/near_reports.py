"""From a search to files: a table of the nearest tiles and a contact sheet, unless they are up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tile2vec_cli import figures
from tile2vec_cli.errors import UsageError
from tile2vec_cli.geo import feature_files
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.records import Keys, Maker, Output, Report
from tile2vec_cli.views import contact_sheets, near_tables
from tile2vec_cli.views.contact_sheets import Group, Source
from tile2vec_cli.views.near_tables import Row
from tile2vec_cli.views.similarity import Near


@dataclass(frozen=True)
class Finding:
    """What a search came to."""

    near: Sequence[Near]
    rows: Sequence[Row]  # of the table, one for each of `near`
    keys: Keys  # of the report
    groups: Callable[[Source], list[Group]]  # of the contact sheet


@dataclass(frozen=True)
class Outputs:
    """Where a search goes: a table by its suffix, and a picture of the tiles' pixels."""

    out: Path | None = None
    tiles: Path | None = None
    picture: Path | None = None
    rgb: tuple[int, ...] | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if (self.tiles is None) != (self.picture is None):
            raise UsageError("--picture and --tiles: the one needs the other. Give both or neither.")


def run(
    command: str,
    settings: Keys,
    inputs: Mapping[str, records.Input],
    outputs: Outputs,
    find: Callable[[], Finding],
) -> Report:
    """Search, unless all outputs are there and made from these inputs with these settings.

    Raises UsageError for an output that cannot be meant, InputError and DataError for what cannot be read
    or used, DataError where an output was made otherwise, OutputError where it cannot be written.
    """
    wanted: list[tuple[Output, Callable[[Finding], Maker]]] = []
    out, tiles, picture = outputs.out, outputs.tiles, outputs.picture
    if out is not None:
        feature_files.require_suffix(out)
        wanted.append(
            (
                records.output(out, command, settings, inputs),
                lambda found: lambda path: near_tables.write(path, found.rows, found.near),
            )
        )
    if picture is not None and tiles is not None:
        figures.require_format("--picture", picture)
        source = Source.of(tiles, outputs.rgb)
        read, more = {**inputs, "tiles": tiles}, {**settings, "rgb": source.bands}
        wanted.append(
            (
                records.output(picture, command, more, read, tiles=source.tiles.fingerprint),
                lambda found: lambda path: contact_sheets.write(path, found.groups(source)),
            )
        )
    files = tuple(output.path for output, _ in wanted)
    before = [records.current(output, outputs.overwrite) for output, _ in wanted]
    if before and all(keys is not None for keys in before):
        return Report(before[0] or {}, files, True)
    found = find()
    for (output, maker), known in zip(wanted, before, strict=True):
        if known is None:
            records.write(output, {output.path: maker(found)}, found.keys, outputs.overwrite)
    return Report(found.keys, files, False)

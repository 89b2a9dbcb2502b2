"""Embeddings as colours, from files to files: maps, a picture of them, and a sheet of kinds of tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli import figures
from tile2vec_cli.config.views import PreviewConfig
from tile2vec_cli.embedding.embeddings import Embeddings, require_alike
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.geo import places
from tile2vec_cli.geo.grid import Floats
from tile2vec_cli.outputs import cogs, records
from tile2vec_cli.outputs.parts import Progress, silent
from tile2vec_cli.outputs.provenance import content
from tile2vec_cli.outputs.records import Keys, Output, Report
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import contact_sheets, kinds, mosaics
from tile2vec_cli.views.contact_sheets import Group, Source
from tile2vec_cli.views.kinds import Members
from tile2vec_cli.views.mosaics import Mosaic, Placing
from tile2vec_cli.views.spectra import Components, Moments, Stretch
from tile2vec_cli.views.value_maps import SUFFIXES, is_map

_ACROSS = 10  # tiles of a cluster on the sheet
_RGBA = cogs.Layer("uint8", None, "average", {}, bands=("Red", "Green", "Blue", "Alpha"))


@dataclass(frozen=True)
class _Inputs:
    embeddings: Path
    fit_on: Path | None
    tiles: Path | None

    @property
    def fitted(self) -> Path:
        """What decides the colours."""
        return self.fit_on or self.embeddings


@dataclass(frozen=True)
class _Drawn:
    """N tiles with their colours and places."""

    components: Components
    stretch: Stretch
    colours: NDArray[np.uint8]  # (N, 3)
    mosaics: list[Mosaic]
    members: Members | None

    @property
    def keys(self) -> Keys:
        shown = sum(len(np.unique(mosaic.tile)) for mosaic in self.mosaics)
        maps = [
            {
                "crs": places.crs_name(one.crs),
                "pixel": list(one.pixel),
                "width": one.width,
                "height": one.height,
                "filled": len(one.tile),
            }
            for one in self.mosaics
        ]
        return {
            "tiles": len(self.colours),
            "beneath": len(self.colours) - shown,
            "variance": list(self.components.shares),
            "maps": maps,
            "clusters": None if self.members is None else self.members.counts.tolist(),
        }


def run(
    path: Path,
    config: PreviewConfig,
    *,
    out: Path,
    tiles: Path | None = None,
    fit_on: Path | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
    on_progress: Progress = silent,
) -> Report:
    """Draw embeddings to `out`, one COG per CRS or a picture, and kinds of tiles to `sheet`.

    What is up to date stays.

    fit_on: embeddings whose components, stretch and clusters are used, so that a colour means the same.
    Raises UsageError for an output that cannot be meant, InputError and DataError for what cannot be read
    or used, DataError where an output was made otherwise, OutputError where it cannot be written.
    """
    inputs = _Inputs(path, fit_on, tiles)
    tile_set = None if tiles is None else TileSet.open(tiles)
    outputs = _outputs(inputs, config, tile_set, out, sheet)
    before = [records.current(output, overwrite) for output in outputs]
    if all(known is not None for known in before):
        keys = before[0] or {}
        return Report(keys, tuple(map(Path, keys["files"])) + ((sheet,) if sheet else ()), True)
    source = None if sheet is None or tiles is None else Source.of(tiles, config.rgb)
    drawn = _draw(inputs, config, tile_set, source is not None, on_progress)
    files = mosaics.names(drawn.mosaics, out) if is_map(out) else [out]
    keys = {**drawn.keys, "files": list(map(str, files))}
    for output, known in zip(outputs, before, strict=True):
        if known is not None:
            continue
        if output.path == sheet and source is not None:
            makers = {sheet: partial(_sheet, drawn, source)}
        elif is_map(out):
            makers = {file: partial(_cog, drawn, one) for file, one in zip(files, drawn.mosaics, strict=True)}
        else:
            makers = {out: partial(_picture, drawn)}
        records.write(output, makers, keys, overwrite)
    return Report(keys, (*files, *([sheet] if sheet else [])), False)


def _outputs(
    inputs: _Inputs, config: PreviewConfig, tiles: TileSet | None, out: Path, sheet: Path | None
) -> list[Output]:
    suffixes = (*SUFFIXES, *figures.FORMATS)
    if out.suffix.lower() not in suffixes:
        raise UsageError(f"--out {out}: its suffix names no format; needs {', '.join(suffixes)}.")
    known = {"embeddings": content(str(inputs.embeddings))}
    if tiles is not None:
        known["tiles"] = tiles.fingerprint
    read: dict[str, str | Path | None] = {
        "embeddings": inputs.embeddings,
        "fit_on": inputs.fit_on,
        "tiles": inputs.tiles,
    }
    found = [records.output(out, "preview", {}, read, **known)]
    if sheet is not None:
        figures.require_format("--sheet", sheet)
        if sheet.resolve() == out.resolve():
            raise UsageError(f"--sheet {sheet}: is --out too; each needs a file of its own.")
        rgb = None if config.rgb is None else list(config.rgb)
        settings = {"clusters": config.clusters, "rgb": rgb, "seed": config.seed}
        found.append(records.output(sheet, "preview", settings, read, **known))
    return found


# --- colours and places ---------------------------------------------------------------------------


def _draw(
    inputs: _Inputs, config: PreviewConfig, tiles: TileSet | None, with_sheet: bool, on_progress: Progress
) -> _Drawn:
    """Keeps a few numbers of each tile."""
    before = 0
    own = Embeddings.open(inputs.embeddings, on_rows=lambda rows: on_progress(before + rows, total))
    fitted = own
    if inputs.fit_on is not None:
        fitted = Embeddings.open(inputs.fit_on, on_rows=lambda rows: on_progress(rows, total))
        before = len(fitted)
    total = 2 * len(own) + len(fitted) + 2 * before
    if with_sheet and config.clusters > len(fitted):
        raise DataError(
            f"--clusters {config.clusters}: {inputs.fitted} holds {len(fitted):,} tiles; needs no more than "
            "these."
        )
    require_alike(fitted, own)
    done = before + len(own)

    def chunks(of: Embeddings) -> Iterator[slice]:
        nonlocal done
        for here in of.chunks():
            yield here
            done += here.stop - here.start
            on_progress(done, total)

    moments = Moments()
    for here in chunks(fitted):
        moments.add(fitted.vectors[here])
    components = Components.of(moments)
    members = None
    if with_sheet:
        sample = fitted.vectors_of(kinds.sample(len(fitted), config.seed))
        members = Members(kinds.centres(sample, config.clusters, config.seed), _ACROSS)
    placing, values = Placing(tiles), []
    for here in chunks(own):
        placing.add(own.places(here))
        values.append(components.project(own.vectors[here]))
        if members is not None:
            members.add(own.ids(here), own.vectors[here])
    projected = fit = np.concatenate(values)
    if inputs.fit_on is not None:
        fit = np.concatenate([components.project(fitted.vectors[here]) for here in chunks(fitted)])
    stretch = Stretch.of(fit)
    return _Drawn(components, stretch, stretch.colours(projected), placing.mosaics(), members)


# --- files ------------------------------------------------------------------------------------------


def _cog(drawn: _Drawn, mosaic: Mosaic, path: Path) -> None:
    with cogs.new_cog(path, mosaic, _RGBA) as write:
        for row, col, pixels in mosaic.strips(drawn.colours):
            write(row, col, pixels)


def _picture(drawn: _Drawn, path: Path) -> None:
    from tile2vec_cli.views import preview_figures  # and with it matplotlib, which maps need not

    note = preview_figures.components_note(drawn.components.shares)
    preview_figures.write(path, drawn.mosaics, drawn.colours, note)


def _sheet(drawn: _Drawn, source: Source, path: Path) -> None:
    """A row a cluster, the largest first, in the colour that its centre has in the preview."""
    members = drawn.members
    if members is None:
        return
    centres: Floats = members.centres
    colours = drawn.stretch.colours(drawn.components.project(centres))
    groups: list[Group] = []
    for number in np.argsort(-members.counts, kind="stable").tolist():
        share = members.counts[number] / members.counts.sum()
        if share > 0:
            heading = f"{len(groups) + 1}   {100 * share:.1f} % of the tiles"
            colour = "#" + "".join(f"{c:02x}" for c in colours[number])
            groups.append(source.group(heading, members.nearest(number), colour=colour))
    contact_sheets.write(path, groups)

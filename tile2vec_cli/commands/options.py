"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tile2vec_cli.config import rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from functools import partial

    from tile2vec_cli.config.labels import LabelSource
    from tile2vec_cli.console import Console


def location(text: str) -> str:
    """A path as it was given: it may be an address, which a Path would change."""
    if not text:
        raise typer.BadParameter(rules.NO_PATH)
    return text


def path(text: str) -> Path:
    return Path(location(text))


Json = Annotated[bool, typer.Option("--json", help="Write the result as one JSON object.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Write nothing but errors to stderr.")]
Scenes = Annotated[
    list[str],
    typer.Argument(
        metavar="SCENES...",
        parser=location,
        help="Rasters, folders, .zip, .tar, @list.txt, - (stdin), GDAL paths, or STAC items, catalogs "
        "and search results (.json, .parquet).",
    ),
]
Recursive = Annotated[bool, typer.Option("--recursive", help="Search subfolders, too.")]
NameBy = Annotated[
    str,
    typer.Option("--name-by", metavar="file|path", help="path: scene names include their folders, a/x."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad scene or part.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace output made with other settings.")]
ShardText = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N|slurm", help="Do every Nth scene or part, starting with the Ith."),
]
Workers = Annotated[
    int | None, typer.Option(help="Scenes or parts done at a time (default: the CPUs of this job).")
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="local|tcp://HOST:PORT|FILE",
        help="Let a Dask cluster do the work: one started here, a running one, or its scheduler file.",
    ),
]
Tiles = Annotated[Path, typer.Argument(metavar="TILES", parser=path, help="A tile set, made by `tile`.")]
Embeddings = Annotated[
    Path,
    typer.Argument(
        metavar="EMBEDDINGS",
        parser=path,
        help="File or folder of `embed`, or any GeoParquet (or table with coordinates) with a column "
        "`embedding` of lists or numbered columns (A00, A01, …).",
    ),
]
Layer = Annotated[str | None, typer.Option(metavar="NAME", help="Layer of a vector file that holds several.")]
TableOut = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="PATH", parser=path, help="File of the result: .parquet, .geojson or .csv."
    ),
]
PictureTiles = Annotated[
    Path | None,
    typer.Option(
        "--tiles", metavar="TILES", parser=path, help="The tile set that was embedded, for --picture."
    ),
]
Picture = Annotated[
    Path | None,
    typer.Option(
        "--picture",
        metavar="PICTURE",
        parser=path,
        help="Contact sheet of the examples and what was found: .png, .svg or .pdf.",
    ),
]


def label_source(labels: Sequence[str], reading: partial[LabelSource]) -> LabelSource:
    """What --labels names, and how it is read."""
    from tile2vec_cli.labelling.labels import named

    return named(labels, **reading.keywords)


def optional_labels(labels: Sequence[str] | None, reading: partial[LabelSource]) -> LabelSource | None:
    """The same where --labels need not be given."""
    from tile2vec_cli.labelling.labels import optional

    return optional(labels, **reading.keywords)


def say_label_rasters(console: Console, found: Mapping[str, int], option: str = "--labels") -> None:
    """What there is to say of several label rasters; {}: nothing."""
    if found.get("without_tiles"):
        count, rasters = found["without_tiles"], found["rasters"]
        console.say(f"{option}: {count:,} of {rasters:,} rasters label no tile.")
    if found.get("tiles_disputed"):
        console.say(
            f"{option}: rasters disagree in {found['tiles_disputed']:,} tiles; the first one given counts."
        )

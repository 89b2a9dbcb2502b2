"""Options that several commands share, each defined once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tile2vec_cli.config.pipeline import ProbeConfig
from tile2vec_cli.config.rules import parse_numbers
from tile2vec_cli.config.training import PARTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tile2vec_cli.config.labels import LabelSource
    from tile2vec_cli.console import Console

Json = Annotated[bool, typer.Option("--json", help="Write the result as one JSON object.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Write nothing but errors to stderr.")]
Scenes = Annotated[
    list[str],
    typer.Argument(
        metavar="SCENES...", help="Rasters, folders, .zip, .tar, @list.txt, - (stdin) or GDAL paths."
    ),
]
Recursive = Annotated[bool, typer.Option("--recursive", help="Look into folders below folders.")]
AnyNames = Annotated[
    bool, typer.Option("--any-names", help="Take bands by number, whatever the scenes call them.")
]
Stack = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="B02,B03,…",
        help="Files alike but for these names are one scene, with bands in this order; others stay aside.",
    ),
]
NameBy = Annotated[
    str,
    typer.Option("--name-by", metavar="file|path", help="path: scenes are called with their folders, a/x."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad scene or part.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace output made with other settings.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn at random.")]
ShardText = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N|slurm", help="Do every Nth unit only, beginning with the Ith."),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Scenes or parts done at a time (default: the CPUs of this job)."),
]
Dask = Annotated[
    str | None,
    typer.Option(
        metavar="local|tcp://HOST:PORT|FILE",
        help="Leave the work to a Dask cluster: one started here, one that runs, or its scheduler file.",
    ),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where networks run.")]
Precision = Annotated[str, typer.Option(metavar="auto|bf16|fp32", help="auto: bf16 where the device has it.")]
Tiles = Annotated[Path, typer.Argument(metavar="TILES", help="A tile set, made by `tile`.")]
Embeddings = Annotated[
    Path,
    typer.Argument(
        metavar="EMBEDDINGS",
        help="File or folder of `embed`, or any GeoParquet (or table with coordinates) with a column "
        "`embedding` of lists or numbered columns (A00, A01, …).",
    ),
]
LabelBand = Annotated[
    int | None,
    typer.Option(metavar="N", help="Label rasters: the band that holds the classes, from 1, of several."),
]
LabelNodata = Annotated[
    list[str] | None,
    typer.Option(
        metavar="VALUE",
        help="Label rasters: value that is no label, such as 0 or -9999, beside what they declare. "
        "Repeatable, or with commas.",
    ),
]
Field = Annotated[str | None, typer.Option(help="Field or column that holds the classes.")]
Layer = Annotated[str | None, typer.Option(metavar="NAME", help="Layer of a vector file that holds several.")]
LabelCrs = Annotated[
    str | None,
    typer.Option(
        "--crs",
        metavar="EPSG:N",
        help="CRS of a table's coordinates (default: degrees), or of a vector file that names none.",
    ),
]
MinPurity = Annotated[
    float, typer.Option(help="Raster: share of a tile's valid pixels its majority class must cover.")
]
LabelCounts = Annotated[
    str, typer.Option(metavar="100,1000", help="Numbers of labelled tiles to learn from.")
]
Repeats = Annotated[int, typer.Option(help="Draws of split and labels.")]
NetworkRepeats = Annotated[int, typer.Option(help="Draws on which networks are trained: the first ones.")]
ProbeBlock = Annotated[
    float | None,
    typer.Option(
        metavar="METRES",
        help="Side of a spatial block (default: 20 × the tile's side; 1000 where embeddings are points).",
    ),
]
LABEL_COUNTS = ",".join(map(str, ProbeConfig().n_labels))
Part = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(PARTS),
        help="Compare one part of the vectors alone: texture, what a tile shows, or place, what it shares "
        "with its surroundings (default: whole vectors).",
    ),
]
Rgb = Annotated[
    str | None,
    typer.Option(metavar="1,2,3", help="Bands of the tile set to show (default: the first three)."),
]
TableOut = Annotated[
    Path | None,
    typer.Option("--out", metavar="PATH", help="File of the result: .parquet, .geojson or .csv."),
]
PictureTiles = Annotated[
    Path | None,
    typer.Option("--tiles", metavar="TILES", help="The tile set that was embedded, for --picture."),
]
Picture = Annotated[
    Path | None,
    typer.Option(
        "--picture",
        metavar="PICTURE",
        help="Contact sheet of the examples and what was found: .png, .svg or .pdf.",
    ),
]


def label_source(
    labels: Sequence[str],
    band: int | None,
    nodata: Sequence[str] | None,
    layer: str | None = None,
    crs: str | None = None,
) -> LabelSource:
    """What --labels names, and how it is read."""
    from tile2vec_cli.labelling.labels import named

    return named(labels, band, _numbers(nodata), layer, crs)


def optional_labels(
    labels: Sequence[str] | None,
    band: int | None,
    nodata: Sequence[str] | None,
    layer: str | None,
    crs: str | None,
) -> LabelSource | None:
    """The same where --labels need not be given."""
    from tile2vec_cli.labelling.labels import optional

    return optional(labels, band, _numbers(nodata), layer, crs)


def _numbers(nodata: Sequence[str] | None) -> list[float]:
    return [value for text in nodata or () for value in parse_numbers("--label-nodata", text)]


def say_label_rasters(console: Console, found: Mapping[str, int], option: str = "--labels") -> None:
    """What there is to say of several label rasters; {}: nothing."""
    if found.get("without_tiles"):
        count, rasters = found["without_tiles"], found["rasters"]
        console.say(f"{option}: {count:,} of {rasters:,} rasters label no tile.")
    if found.get("tiles_disputed"):
        console.say(
            f"{option}: rasters disagree in {found['tiles_disputed']:,} tiles; the first given counts there."
        )

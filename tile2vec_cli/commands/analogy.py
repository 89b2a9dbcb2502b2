"""`tile2vec analogy`: A - B + C, on tiles and on classes."""

from __future__ import annotations

from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.rules import parse_ints, parse_place
from tile2vec_cli.config.views import AnalogyConfig
from tile2vec_cli.console import Console, Row
from tile2vec_cli.errors import UsageError

_DEFAULT = AnalogyConfig(score=True)


def analogy(
    embeddings: options.Embeddings,
    terms: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="A B C", help="Each a tile_id, longitude,latitude in a tile, or a class of --labels."
        ),
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--labels",
            metavar="PATH",
            help="Labels as for `probe`: classes that terms may name. Repeatable.",
        ),
    ] = None,
    label_band: options.LabelBand = None,
    label_nodata: options.LabelNodata = None,
    field: options.Field = None,
    layer: options.Layer = None,
    crs: options.LabelCrs = None,
    min_purity: options.MinPurity = _DEFAULT.min_purity,
    part: options.Part = None,
    top: Annotated[int, typer.Option(help="How many tiles to find.")] = _DEFAULT.top,
    out: options.TableOut = None,
    tiles: options.PictureTiles = None,
    picture: options.Picture = None,
    rgb: options.Rgb = None,
    score: Annotated[
        bool, typer.Option("--score", help="Without A B C: how often class arithmetic has the right class.")
    ] = False,
    draws: Annotated[int, typer.Option(help="Analogies drawn for --score.")] = _DEFAULT.draws,
    block: Annotated[
        float | None,
        typer.Option(metavar="METRES", help="Side of a spatial block of --score (default: as in `probe`)."),
    ] = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the tiles nearest to A - B + C: what A has and B has not, added to C.

    With --labels a term may be a class, which stands for the mean of its tiles; a name that is a class
    is never taken for a tile. Tiles that are terms are left out of the answer, but not the tiles of a
    class, nor other dates of the same place.

    --score draws ordered pairs of classes (P, Q), each equally often, a tile a of P and tiles b, c of Q,
    and counts how often the tile nearest to a - b + c is of P (accuracy), and to mean(P) - mean(Q) + c
    (means). Tiles in the spatial blocks of a, b and c are no answers. chance: the share of P among the
    others. a_alone, c_alone: how often the tile nearest to a, or to c, is of P: arithmetic that is no
    better adds nothing.

    Example: tile2vec analogy embeddings.parquet 5+ none s1/0/50 --labels trees.gpkg --field density
    """
    for term in terms or ():
        if term.startswith("-") and isinstance(parse_place(term), str):
            raise UsageError(f"{term}: no such option. See `tile2vec analogy --help`.")
    config = AnalogyConfig(
        terms=tuple(parse_place(term.strip()) for term in terms or ()),
        part=part,
        field=field,
        min_purity=min_purity,
        top=top,
        rgb=None if rgb is None else parse_ints("--rgb", rgb),
        score=score,
        draws=draws,
        block_m=block,
        seed=seed,
    )
    source = options.optional_labels(labels, label_band, label_nodata, layer, crs)
    console = Console("analogy", quiet, json)

    from tile2vec_cli.api import looking
    from tile2vec_cli.views import near_tables

    with console.progress("analogy", "draws" if score else "rows") as on_progress:
        done = looking.analogy(
            embeddings,
            config,
            labels=source,
            out=out,
            tiles=tiles,
            picture=picture,
            overwrite=overwrite,
            on_progress=on_progress,
        )
    options.say_label_rasters(console, done.keys.get("label_rasters", {}))
    console.left_out(source, done.keys.get("labels_left_out", {}))
    if score:
        for name, why in done.keys["left_out"].items():
            console.say(f"class {name} is left out: {why}, too few.")
        names = ("name", "draws", "accuracy", "means", "chance", "a_alone", "c_alone")
        shares = [*done.keys["classes"], done.keys["score"]]
        console.show(done, [[one[name] for name in names] for one in shares], ["class", *names[1:]])
        return
    near = done.keys["nearest"]
    if len(near) < top:
        console.say(f"{len(near):,} tiles are all there are.")
    for term in done.keys["terms"]:
        if "class" in term:
            console.say(f"{term['class']}: the mean of {term['tiles']:,} tiles, which may be answers, too.")
    rows: list[Row] = [[*near_tables.cells(row), *([row["class"]] if "class" in row else [])] for row in near]
    console.show(done, rows, [*near_tables.HEADER, *(["class"] if labels else [])])

"""`tile2vec analogy`: A - B + C, on tiles and on classes."""

from __future__ import annotations

from functools import partial

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import AnalogyConfig
from tile2vec_cli.console import Console, Row


def analogy(
    embeddings: options.Embeddings,
    *,
    labels: list[str] | None = option(
        None, metavar="PATH", help="Labels as for `probe`: classes that terms may name. Repeatable."
    ),
    reading: partial[LabelSource],
    config: AnalogyConfig,
    out: options.TableOut = None,
    tiles: options.PictureTiles = None,
    picture: options.Picture = None,
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Find the tiles nearest to A - B + C: what A has and B lacks, added to C.

    With --labels a term may be a class, which stands for the mean of its tiles; a name that is a class
    is never taken for a tile. Tiles that are terms are left out of the answer, but not the tiles of a
    class, nor other dates of the same place.

    --score draws ordered pairs of classes (P, Q), each equally often, a tile a of P and tiles b, c of Q,
    and counts how often the tile nearest to a - b + c is of P (accuracy), and to mean(P) - mean(Q) + c
    (means). Tiles in the spatial blocks of a, b and c are excluded. chance: the share of P among the
    others. a_alone, c_alone: how often the tile nearest to a, or to c, is of P: arithmetic that is no
    better adds nothing.

    Example: tile2vec analogy embeddings.parquet 5+ none s1/0/50 --labels trees.gpkg --field density
    """
    source = options.optional_labels(labels, reading)

    from tile2vec_cli.views import near_reports

    done = call("analogy", "draws" if config.score else "rows", labels=source)
    options.say_label_rasters(console, done.keys.get("label_rasters", {}))
    console.left_out(source, done.keys.get("labels_left_out", {}))
    if config.score:
        for name, why in done.keys["left_out"].items():
            console.say(f"class {name} is left out: {why}, too few.")
        names = ("name", "draws", "accuracy", "means", "chance", "a_alone", "c_alone")
        shares = [*done.keys["classes"], done.keys["score"]]
        console.show(done, [[one[name] for name in names] for one in shares], ["class", *names[1:]])
        return
    near = done.keys["nearest"]
    if len(near) < config.top:
        console.say(f"{len(near):,} tiles are all there are.")
    for term in done.keys["terms"]:
        if "class" in term:
            console.say(f"{term['class']}: the mean of {term['tiles']:,} tiles, which may also be answers.")
    rows: list[Row] = [
        [*near_reports.cells(row), *([row["class"]] if "class" in row else [])] for row in near
    ]
    console.show(done, rows, [*near_reports.HEADER, *(["class"] if labels else [])])

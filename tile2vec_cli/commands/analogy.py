"""`tile2vec analogy`: A - B + C, on tiles and on classes."""

from __future__ import annotations

from functools import partial

from tile2vec_cli.commands import options
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.views import AnalogyConfig
from tile2vec_cli.console import Console, Row
from tile2vec_cli.errors import UsageError


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
    json: options.Json = False,
    quiet: options.Quiet = False,
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
    options.require_both(tiles, picture)
    if config.score and (out or picture):
        raise UsageError("--score: writes no files; needs neither --out nor --picture. Use --json.")
    source = options.optional_labels(labels, reading)
    if config.score and source is None:
        raise UsageError("--score: needs classes. Give --labels.")
    console = Console("analogy", quiet, json)
    inputs = [embeddings, *(labels or ()), *([tiles] if tiles else [])]

    from tile2vec_cli.views import analogy_reports, near_tables
    from tile2vec_cli.views.near_reports import Outputs

    if config.score and source is not None:
        from tile2vec_cli.views import analogy_scores

        with console.progress("analogy", "draws") as on_progress:
            found = analogy_reports.score(embeddings, config, source, on_progress)
        options.say_label_rasters(console, found.label_rasters)
        console.left_out(source, found.labels_left_out)
        for name, why in found.left_out.items():
            console.say(f"class {name} is left out: {why}, too few.")
        shares = (*found.classes, found.all)
        console.report(
            analogy_scores.keys(found),
            inputs=inputs,
            outputs=[],
            rows=[[s.name, s.draws, s.accuracy, s.means, s.chance, s.a_alone, s.c_alone] for s in shares],
            header=["class", "draws", "accuracy", "means", "chance", "a_alone", "c_alone"],
        )
        return
    with console.progress("analogy", "rows") as on_progress:
        outputs = Outputs(out, tiles, picture, config.rgb, overwrite)
        report = analogy_reports.run(embeddings, config, source, outputs, on_progress)
    options.say_label_rasters(console, report.keys.get("label_rasters", {}))
    console.left_out(source, report.keys.get("labels_left_out", {}))
    near = report.keys["nearest"]
    if len(near) < config.top:
        console.say(f"{len(near):,} tiles are all there are.")
    for term in report.keys["terms"]:
        if "class" in term:
            console.say(f"{term['class']}: the mean of {term['tiles']:,} tiles, which may also be answers.")
    rows: list[Row] = [[*near_tables.cells(row), *([row["class"]] if "class" in row else [])] for row in near]
    console.report(
        report.keys,
        inputs=inputs,
        outputs=report.files,
        rows=rows,
        header=[*near_tables.HEADER, *(["class"] if labels else [])],
        up_to_date=report.up_to_date,
    )

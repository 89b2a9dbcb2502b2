"""`tile2vec probe`: how good embeddings are, judged where no classifier has been."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.pipeline import BASELINE_NAMES, ProbeConfig
from tile2vec_cli.config.rules import parse_names
from tile2vec_cli.console import Console, Row

_NAMED = 20  # dropped classes; a field of numbers may have thousands


def probe(
    embeddings: options.Embeddings,
    labels: list[str] = option(
        metavar="PATH",
        help="Label raster, polygons or points, or a table with `tile_id` or coordinates (CSV, Parquet); "
        "of rasters also a folder, a pattern, @list.txt or STAC (item.json, or item.json#ASSET). "
        "Repeatable: where rasters disagree the first counts.",
    ),
    *,
    reading: partial[LabelSource],
    settings: partial[ProbeConfig],
    baselines: str | None = option(
        None, metavar=",".join(BASELINE_NAMES), help="Baselines, from the pixels of --tiles (default: all)."
    ),
    model: Path | None = option(
        None,
        metavar="MODEL",
        help="--end-to-end: the model of the embeddings, to train from its weights as well.",
    ),
    beside: list[Path] | None = option(
        None,
        metavar="OTHER",
        help="Repeatable: other vectors of the same tiles, such as a foundation model's, found by "
        "tile_id, else by place. All are evaluated on the tiles they share.",
    ),
    tiles: Path | None = option(None, metavar="TILES", help="The tile set that was embedded."),
    out: Path | None = option(
        None, metavar="DIR", help="Folder for report.json, confusion.csv and two pictures."
    ),
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Evaluate embeddings: how well do simple classifiers learn labels from them?

    Training and test tiles come from different places: whole spatial blocks, and no tile that overlaps
    the other side. Each score is shown beside what a random split of the tiles would have claimed.
    --split region shows what labels of one city or state are worth in the next.

    --end-to-end asks what the labels alone would have taught: the label-efficiency curve of the
    Tile2Vec paper (Jean et al. 2019), where Tile2Vec and logistic regression were ahead of supervised
    CNNs with up to 50,000 labels. It takes MINUTES for each number of labels and each of the draws,
    and twice as long with --model.

    Example: tile2vec probe embeddings.parquet --labels landcover.tif --tiles tiles --out probe
    """
    config = settings()
    chosen = None if baselines is None else parse_names("--baselines", baselines, BASELINE_NAMES)
    source = options.label_source(labels, reading)
    unit = "fits" if config.end_to_end is None else "seconds"
    done = call("probe", unit, labels=source, config=config, baselines=chosen)
    options.say_label_rasters(console, done.keys.get("label_rasters", {}))
    console.left_out(source, done.keys["left_out"])
    dropped = list(done.keys["dropped_classes"].items())
    for name, reason in dropped[:_NAMED]:
        console.say(f"Class {name} dropped: {reason}.")
    if len(dropped) > _NAMED:
        console.say(f"{len(dropped) - _NAMED:,} more classes dropped; --json names them.")
    left_out = done.keys.get("beside", {}).get("tiles_left_out")
    if left_out:
        console.say(f"{left_out:,} tiles left out: not in all of the files --beside.")
    given = done.keys.get("end_to_end")
    if given and given["repeats"] < config.repeats:
        console.say(f"Networks: the first {given['repeats']} of {config.repeats} draws; --json lists each.")
    header, rows = _table(done.keys["scores"])
    console.show(done, rows, header)


def _table(scores: list[dict[str, Any]]) -> tuple[Row, list[Row]]:
    """A row for each kind of features and classifier, a column for each number of labels."""
    claims = scores[0]["random_split"] is not None
    counts = sorted({score["n_labels"] for score in scores})
    header = ["features", "classifier", *(f"{n:,} labels" + claims * " (random split)" for n in counts)]
    rows: dict[tuple[str, str], list[object]] = {}
    for score in scores:
        cell = f"{score['accuracy']:.3f}" + f" ± {score['std']:.3f}" * (score["repeats"] > 1)
        cell += f" ({score['random_split']:.3f})" if score["random_split"] is not None else ""
        rows.setdefault((score["features"], score["classifier"]), []).append(cell)
    return header, [[*key, *cells] for key, cells in rows.items()]

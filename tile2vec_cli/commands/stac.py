"""`tile2vec stac`: what was made, as a catalog that others can search and read."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.pipeline import StacConfig
from tile2vec_cli.console import Console


def stac(
    paths: list[Path] = option(
        flag="PATH",
        help="Embeddings (a file or folder of `embed`), maps (TIFFs or folders of them), model folders.",
    ),
    out: Path = option(metavar="FOLDER", help="Where the catalog goes: a folder of its own."),
    *,
    config: StacConfig,
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Put embeddings, maps and models into a self-contained static STAC catalog.

    Files are copied into it and all links are relative, so it can be moved or served as it is. STAC asks
    for a time and a place of everything: models are dated 1900 to 9999 and cover the world; embeddings and
    maps without a date are dated so, too.

    Example: tile2vec stac embeddings.parquet maps model --out catalog
    """
    done = call("catalog", "items")
    if undated := done.keys["undated"]:
        console.say(
            f"Without a date, and so dated 1900 to 9999: {len(undated):,} ({undated[0]}, …). "
            "Maps are dated by TIFFTAG_DATETIME or a name such as farm_2021-05-18.tif, embeddings by "
            "their scenes."
        )
    console.show(done)

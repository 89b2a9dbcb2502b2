"""`tile2vec stac`: what was made, as a catalog that others can search and read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.catalogs import StacConfig
from tile2vec_cli.console import Console


def stac(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Embeddings, maps (TIFFs or a folder of them), model folders."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the catalog goes.")],
    id: Annotated[str, typer.Option("--id", help="The catalog's id.")] = StacConfig.id,
    title: Annotated[str | None, typer.Option(help="The catalog's title (default: its id).")] = None,
    description: Annotated[str, typer.Option(help="What the catalog is.")] = StacConfig.description,
    license: Annotated[
        str, typer.Option(metavar="SPDX", help="License of what it holds, such as CC-BY-4.0.")
    ] = StacConfig.license,
    date: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Of embeddings and maps without one (default: 1900 to 9999)."),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Put embeddings, maps and models into a self-contained static STAC catalog.

    Files are copied into it, so it can be moved or served as it is. Models, which hold at any time, are
    dated 1900 to 9999 and lie all over the world, as STAC needs a time and a place.

    Example: tile2vec stac embeddings.parquet maps model --out catalog
    """
    console = Console("stac", quiet, json)
    config = StacConfig(id, title, description, license, date)

    from tile2vec_cli.catalogs import static

    with console.progress("catalog", "items") as on_progress:
        report = static.write(paths, out, config, overwrite=overwrite, on_progress=on_progress)
    console.report(report.counts, inputs=paths, outputs=[out / static.CATALOG], up_to_date=report.up_to_date)

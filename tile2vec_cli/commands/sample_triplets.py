"""`tile2vec sample-triplets`: draw anchors with a neighbor and a distant tile each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tile2vec_cli.commands import options
from tile2vec_cli.config.pipeline import TripletConfig
from tile2vec_cli.console import Console


def sample_triplets(
    tiles: options.Tiles,
    out: Annotated[Path, typer.Option("--out", metavar="TRIPLETS.parquet", help="Where the triplets go.")],
    count: Annotated[int, typer.Option(help="Triplets to draw.")] = TripletConfig.count,
    neighborhood: Annotated[
        float | None,
        typer.Option(metavar="METRES", help="How far a neighbor may be (default: twice the tile's side)."),
    ] = None,
    distant_min: Annotated[
        float | None,
        typer.Option(metavar="METRES", help="A distant is farther than this (default: the neighborhood)."),
    ] = None,
    distant_max: Annotated[
        float | None, typer.Option(metavar="METRES", help="And no farther than this (default: no limit).")
    ] = None,
    neighbors: Annotated[
        str,
        typer.Option(metavar="any|same-scene|other-scene", help="Whose tiles may be an anchor's neighbors."),
    ] = TripletConfig.neighbors,
    seed: options.Seed = 0,
    workers: options.Workers = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw triplets of tiles: an anchor, a neighbor near it, a distant tile far from it.

    Distances are between tile centres on the WGS 84 ellipsoid. Anchors are drawn uniformly from the
    tiles that have a neighbor (those that have no tile far enough are left out and counted),
    neighbors from the tiles in the anchor's neighborhood, distants from all that are far enough.

    Example: tile2vec sample-triplets tiles --out triplets.parquet --neighborhood 100
    """
    console = Console("sample-triplets", quiet, json)
    config = TripletConfig(count, neighborhood, distant_min, distant_max, neighbors, seed)

    from tile2vec_cli.api import tiling

    with console.progress("Draw triplets", "triplets") as on_progress:
        done = tiling.sample_triplets(
            tiles, config, out=out, workers=workers, overwrite=overwrite, on_progress=on_progress
        )
    console.show(done)

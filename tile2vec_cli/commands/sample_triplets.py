"""`tile2vec sample-triplets`: draw anchors with a neighbor and a distant tile each."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.pipeline import TripletConfig
from tile2vec_cli.console import Console


def sample_triplets(
    tiles: options.Tiles,
    out: Path = option(metavar="TRIPLETS.parquet", help="Where the triplets go."),
    *,
    config: TripletConfig,
    workers: options.Workers = None,
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Draw triplets of tiles: an anchor, a neighbor near it, a distant tile far from it.

    Distances are between tile centres on the WGS 84 ellipsoid. Anchors are drawn uniformly from the
    tiles that have a neighbor (those without a tile far enough away are left out and counted),
    neighbors from the tiles in the anchor's neighborhood, distants from all that are far enough.

    Example: tile2vec sample-triplets tiles --out triplets.parquet --neighborhood 100
    """
    done = call("Draw triplets", "triplets")
    console.show(done)

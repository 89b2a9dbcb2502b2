"""`tile2vec sample-triplets`: draw anchors with a neighbor and a distant tile each."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.pipeline import TripletConfig
from tile2vec_cli.console import Console
from tile2vec_cli.errors import OutputError
from tile2vec_cli.outputs.parts import new_file, sweep


def sample_triplets(
    tiles: options.Tiles,
    out: Path = option(metavar="TRIPLETS.parquet", help="Where the triplets go."),
    *,
    config: TripletConfig,
    workers: options.Workers = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw triplets of tiles: an anchor, a neighbor near it, a distant tile far from it.

    Distances are between tile centres on the WGS 84 ellipsoid. Anchors are drawn uniformly from the
    tiles that have a neighbor (those without a tile far enough away are left out and counted),
    neighbors from the tiles in the anchor's neighborhood, distants from all that are far enough.

    Example: tile2vec sample-triplets tiles --out triplets.parquet --neighborhood 100
    """
    console = Console("sample-triplets", quiet, json)
    processors = options.worker_count(workers)

    import numpy as np

    from tile2vec_cli.tiling import triplets
    from tile2vec_cli.tiling.tiles import TileSet

    if out.is_dir():
        raise OutputError(f"{out}: is a folder; a file is written here. Give --out a file name.")
    sweep(out.parent)
    tile_set = TileSet.open(tiles)
    up_to_date = triplets.is_current(out, tile_set, config, overwrite=overwrite)
    if up_to_date:
        drawn = triplets.read(out)
    else:
        with console.progress("Draw triplets", "triplets") as on_progress:
            drawn = triplets.draw(tile_set, config, on_progress, processors)
        with new_file(out) as temporary:
            triplets.save(temporary, drawn)

    def spread(metres: np.ndarray) -> dict[str, float]:
        return {"min": float(metres.min()), "median": float(np.median(metres)), "max": float(metres.max())}

    keys = {
        "triplets": len(drawn),
        "anchors_without_neighbor": drawn.anchors_without_neighbor,
        "anchors_without_distant": drawn.anchors_without_distant,
        "neighbor_m": spread(drawn.neighbor_m),
        "distant_m": spread(drawn.distant_m),
    }
    console.report(keys, inputs=[tiles], outputs=[out], up_to_date=up_to_date)

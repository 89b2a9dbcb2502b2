"""Tiles a second of an exported encoder in onnxruntime, beside the network of `tile2vec embed`, in float32.

    python benchmarks/export.py FOLDER --tiles TILES [--model MODEL] [--runs 7] [--threads 2]

Without --model, trains one with the default recipe on triplets of the tiles (about a minute). Both run in
turns on the same tiles in memory; the best of the runs counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from command import argument_parser, tile2vec
from limits import seconds

from tile2vec_cli.neural import encoders, models
from tile2vec_cli.tiling.tiles import TileSet

BATCHES = (16, 64, 128)


def make_model(folder: Path, tiles: Path) -> Path:
    triplets, model = folder / "triplets.parquet", folder / "model"
    tile2vec("sample-triplets", tiles, "--out", triplets, "--count", "20000")
    tile2vec("train", triplets, "--tiles", tiles, "--out", model)
    return model


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiles", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(given.threads)
    model = given.model or make_model(given.folder, given.tiles)
    out = given.folder / "model.onnx"
    tile2vec("export", model, "--out", out, "--overwrite")
    network = encoders.fused(models.load_encoder(model, torch.device("cpu"))[0])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = given.threads
    session = onnxruntime.InferenceSession(out, options, providers=["CPUExecutionProvider"])
    tiles = TileSet.open(given.tiles)
    ids = np.linspace(0, len(tiles) - 1, min(len(tiles), max(BATCHES))).astype(int)
    pixels = tiles.pixels(np.unique(ids))
    raw = pixels.astype(np.float32)
    with torch.inference_mode():
        wanted = network(torch.from_numpy(pixels)).numpy()
    worst = float(np.abs(session.run(None, {"pixels": raw})[0] - wanted).max())
    print(
        f"{len(raw)} tiles: outputs differ by {worst:.2g} at the most and reach {np.abs(wanted).max():.3g}\n"
    )
    print("| tiles at a time | torch, tiles/s | onnxruntime, tiles/s | time |\n|--:|--:|--:|--:|", flush=True)
    for size in BATCHES:
        some, same = torch.from_numpy(pixels[:size]), {"pixels": raw[:size]}
        ours = theirs = np.inf
        for _ in range(given.runs):
            with torch.inference_mode():
                ours = min(ours, seconds(lambda some=some: network(some)))  # type: ignore[misc]
            theirs = min(theirs, seconds(lambda same=same: session.run(None, same)))  # type: ignore[misc]
        print(f"| {size} | {size / ours:,.0f} | {size / theirs:,.0f} | × {theirs / ours:.2f} |", flush=True)


if __name__ == "__main__":
    main()

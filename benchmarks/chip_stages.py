"""Many small scenes: the stage of run.py in which a part, not a pixel, is what costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import rasterio
import torch
from embed import make_model
from limits import clocks
from rounds import Row
from tile import make_chips
from workbench import Bench

from tile2vec_cli.config.pipeline import EmbedConfig, TileConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.job.resources import usable_cpus
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

_SIDE, _PER_SIDE = 50, 5  # of a tile; tiles along a chip of 256 pixels


def _cut(paths: list[Path], folder: Path) -> None:
    """Each scene's tiles as a file of pixels: no index, no digests, nothing flushed."""
    folder.mkdir()
    across = _SIDE * _PER_SIDE
    for path in paths:
        with rasterio.open(path) as source:
            pixels = source.read()[:, :across, :across]
        tiles = pixels.reshape(-1, _PER_SIDE, _SIDE, _PER_SIDE, _SIDE).transpose(1, 3, 0, 2, 4)
        np.save(folder / f"{path.stem}.npy", tiles.reshape(-1, len(pixels), _SIDE, _SIDE))


def _embed(tiles: TileSet, network: Callable[[torch.Tensor], torch.Tensor], folder: Path) -> None:
    """Each scene's vectors as a file, the network run on a scene's tiles at a time."""
    folder.mkdir()
    for part in tiles.parts:
        with torch.inference_mode():
            found = network(torch.from_numpy(np.load(part.path / "pixels.npy")))
        np.save(folder / f"{part.name}.npy", found.float().numpy())


def chips(bench: Bench) -> Iterator[Row]:
    """Rates by the clock and by processor time, each beside doing it plainly with rasterio and numpy."""
    count, workers = 100 if bench.quick else 1307, usable_cpus()
    paths = make_chips(bench.folder / f"chips-{count}", count, alpha=True)
    scenes = [str(path.absolute()) for path in paths]
    cut, vectors = bench.free("tiles"), bench.free("vectors")
    cutting.cut(scenes, cut, TileConfig(size=_SIDE), workers=workers)
    tiles = TileSet.open(cut)
    model = make_model(bench.folder, tiles, "small")
    config = EmbedConfig(device="cpu")
    inference.embed(cut, model, vectors, config)
    network = inference.load(model, config)

    def ask() -> None:
        for path in paths:
            path.stat()

    ways: list[tuple[str, Callable[[], object], Callable[[], object], str]] = [
        (
            "tile",
            lambda: cutting.cut(scenes, bench.free("tiles"), TileConfig(size=_SIDE), workers=workers),
            lambda: _cut(paths, bench.free("npy")),
            "rasterio and np.save",
        ),
        (
            "tile, up to date",
            lambda: cutting.cut(scenes, cut, TileConfig(size=_SIDE), workers=workers),
            ask,
            "ask for size and date",
        ),
        (
            "embed",
            lambda: inference.embed(cut, model, bench.free("vectors"), config),
            lambda: _embed(tiles, network.encoder, bench.free("npy")),
            "np.load, network, np.save",
        ),
        (
            "embed, up to date",
            lambda: inference.embed(cut, model, vectors, config),
            ask,
            "ask for size and date",
        ),
    ]
    for name, ours, plain, plainly in ways:
        found = [(clocks(plain), clocks(ours)) for _ in range(bench.rounds)]
        for kind, label, unit in ((0, "", "scenes"), (1, ", processor time a scene", "s")):
            limits, rates = ([count / one[kind] for one in way] for way in zip(*found, strict=True))
            share = median(rate / limit for limit, rate in zip(limits, rates, strict=True))
            both = median(rates), median(limits)
            yield Row(f"chips: {name}{label}", unit, None, *both, plainly, ratio=None, share=share)

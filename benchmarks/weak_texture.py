"""Whether the texture column of a model of `train` helps a U-Net with few labels: one table.

    python benchmarks/weak_texture.py TILES LABELS MODEL --positive CODES [--n-labels 20,50,100] [--draws 5]

`plain` is `weak-segment` with default settings from one labelled pixel a tile. In `texture` the maps of the
column's two stages, enlarged to the tile's pixels, stand beside the bands in the network's first and last
layer; their weights stay as they are. Both learn from the same labels and are judged on the same
held-out blocks: F1, mean over the draws, and the mean difference with its standard error.
"""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import torch
from command import argument_parser
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import relu

from tile2vec_cli.config.weak import WeakConfig
from tile2vec_cli.neural import models
from tile2vec_cli.neural.columns import Texture
from tile2vec_cli.neural.device import choose
from tile2vec_cli.segmentation import unet, weak_draws, weak_labels, weak_recipes
from tile2vec_cli.segmentation.weak_draws import Task
from tile2vec_cli.tiling.tiles import TileSet


class Textured(unet.UNet):
    """A U-Net whose input is the bands and what a trained texture column sees in them."""

    def __init__(self, bands: int, texture: Texture, **shape: int) -> None:
        channels = -(-texture.dim // 2)
        super().__init__(bands + channels, **shape)
        self.texture = texture.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Textured:
        super().train(mode)
        self.texture.eval()  # its norms keep the statistics of all tiles
        return self

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            seen, column = x, self.texture
            maps = relu(column.stem_norm(column.stem(x)))
            for stage in column.stages:
                maps = stage(maps)
                seen = torch.cat([seen, functional.interpolate(maps.to(x.dtype), x.shape[-2:])], dim=1)
        return super().forward(seen)


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("labels")
    parser.add_argument("model", type=Path)
    parser.add_argument("--positive", required=True)
    parser.add_argument("--n-labels", default="20,50,100")
    parser.add_argument("--draws", type=int, default=5)
    options = parser.parse_args()
    tiles, config = TileSet.open(options.tiles), WeakConfig(positive=options.positive)
    labels = weak_labels.read(options.labels, tiles, config)
    task = Task(tiles, labels, labels.pixels, config)
    runtime = choose()
    column = next(
        c
        for c in models.load_encoder(options.model, torch.device("cpu"))[0].columns
        if isinstance(c, Texture)
    )

    def textured(recipe: str, bands: int, seed: int) -> unet.UNet:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            return Textured(bands, column, **weak_recipes.NETWORKS[recipe])

    print("| labels | plain | texture | difference |\n|--:|--:|--:|--:|")
    for count in map(int, options.n_labels.split(",")):
        scores = []
        for draw in range(options.draws):
            drawn = weak_draws.sides(task, "pixel", draw)
            told = weak_draws.told(task, drawn, "pixel", count, draw)
            for make in (weak_recipes.untrained, textured):
                with mock.patch.object(weak_recipes, "untrained", make):
                    learned = weak_recipes.learn(tiles, told, "pixel", config, runtime, draw)
                scores.append(weak_draws.judge(task, learned.segmenter, drawn.test, runtime)["f1"])
        plain, with_texture = np.reshape(scores, (-1, 2)).T
        apart = with_texture - plain
        error = apart.std(ddof=1) / len(apart) ** 0.5
        means = f"{plain.mean():.3f} | {with_texture.mean():.3f}"
        print(f"| {count:,} | {means} | {apart.mean():+.3f} ± {error:.3f} |", flush=True)


if __name__ == "__main__":
    main()

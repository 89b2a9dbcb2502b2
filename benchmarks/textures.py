"""What else the texture column could be: one change at a time, on several data sets, beside what it is.

    python benchmarks/textures.py --data NAME=TILES[:LABELS[:FIELDS]] --out DIR [--rows a,b] [--seeds 3]
        [--n-labels 100,1000] [--steps 450]

Texture alone, steps of 256 tiles, judged as rivals.py judges: each cell is the mean over seeds and ten
draws, and in brackets the mean difference from `as it is` of the same seed and draw, with a star where it is
more than two of its standard errors. Scores are kept in DIR: run it again, with more seeds or rows, and it
goes on.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from command import argument_parser
from rival_rows import Bench, LeftOut, Vectors, in_order, slug
from rival_scores import Scores, judge
from rivals import Data, cell, scored
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu
from trials import averaging

from tile2vec_cli.config.pipeline import EmbedConfig, TripletConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.errors import DataError
from tile2vec_cli.learning import examples, losses, training
from tile2vec_cli.learning.examples import Examples, Source
from tile2vec_cli.learning.objectives import InfoNCE, Triplet
from tile2vec_cli.neural import columns
from tile2vec_cli.neural.columns import Column, Texture
from tile2vec_cli.outputs.parts import new_file
from tile2vec_cli.tiling import triplets

AS_IT_IS = "as it is"
SEEDS = 3
NEIGHBORS = 3  # an anchor, in rows with several


@dataclass(frozen=True)
class Change:
    options: dict[str, Any] = field(default_factory=dict)
    patches: tuple[tuple[Any, str, Any], ...] = ()
    dates: bool = False  # whether half of the neighbors are another date of the anchor's place


def _by_stage(self: Triplet, vectors: Tensor, answers: Tensor, head: nn.Module) -> Tensor:
    """The mean of the loss of each stage's numbers."""
    anchor, neighbor = vectors.chunk(2)
    channels = vectors.shape[1] // 2
    cut = 2 * max(1, 3 * channels // 8)
    stages = [(anchor[:, :cut], neighbor[:, :cut]), (anchor[:, cut:], neighbor[:, cut:])]
    own = [losses.in_batch_loss(*pair, answers, self.config.margin, self.config.l2) for pair in stages]
    return torch.stack(own).mean()


def _several(self: Any, source: Source) -> Examples:
    """Anchors, their neighbors, and more tiles of the same neighborhood."""
    tree = cKDTree(source.places)
    anchors = source.numbers[:, 0]
    used, which = np.unique(anchors, return_inverse=True)
    around = tree.query_ball_point(source.places[used], source.triplets.settings["neighborhood_m"])
    random = np.random.default_rng(self.config.seed)
    near = [np.setdiff1d(found, [anchor]) for anchor, found in zip(used, around, strict=True)]
    more = [random.choice(near[k], NEIGHBORS - 1, replace=len(near[k]) < NEIGHBORS - 1) for k in which]
    return examples.of_triplets(source, np.concatenate([source.numbers[:, :2], np.array(more)], axis=1))


def _each(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The mean over an anchor's neighbors of a loss whose distants are the batch's first two tiles each."""

    def mean(self: Any, vectors: Tensor, answers: Tensor, head: nn.Module) -> Tensor:
        anchor, *near = vectors.chunk(1 + NEIGHBORS)
        count, own = len(anchor), []
        for number, neighbor in enumerate(near, 1):
            far = torch.cat([answers[:, :count], answers[:, number * count : (number + 1) * count]], 1)
            own.append(loss(self.config, anchor, neighbor, far))
        return torch.stack(own).mean()

    return mean


def _triplet(config: TrainConfig, anchor: Tensor, neighbor: Tensor, far: Tensor) -> Tensor:
    return losses.in_batch_loss(anchor, neighbor, far, config.margin, config.l2)


def _info_nce(config: TrainConfig, anchor: Tensor, neighbor: Tensor, far: Tensor) -> Tensor:
    return losses.info_nce(anchor, neighbor, far, config.temperature)


class Full(Texture):
    """Its stem keeps the resolution."""

    def __init__(self, bands: int, dim: int) -> None:
        super().__init__(bands, dim)
        self.stem.stride = (1, 1)


class SecondOrder(Texture):
    """Mean products of pairs of projected channels in place of deviations (Lin et al. 2015)."""

    def __init__(self, bands: int, dim: int) -> None:
        super().__init__(bands, dim)
        widths = [int(stage.conv2.out_channels) for stage in self.stages]  # type: ignore[union-attr]
        left = dim - sum(widths)
        pairs = [left * width / sum(widths) for width in widths]
        # The least r with r (r + 1) / 2 products; what is too many is cut off.
        ranks = [math.ceil(((8 * count + 1) ** 0.5 - 1) / 2) for count in pairs]
        self.projections = nn.ModuleList(
            columns.Convolution(width, rank, 1, 1) for width, rank in zip(widths, ranks, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.stem_norm(self.stem(x)), inplace=True)
        pooled = []
        for stage, projection in zip(self.stages, self.projections, strict=True):
            x = stage(x)
            maps = relu(projection(x)).flatten(2).float()  # (B, r, n)
            upper = torch.triu_indices(maps.shape[1], maps.shape[1])
            products = (maps @ maps.mT / maps.shape[2])[:, upper[0], upper[1]]
            pooled += [x.mean((2, 3), dtype=torch.float32), (products + 1e-5).sqrt()]
        return torch.cat(pooled, dim=1)[:, : self.dim]


class Blurred(Texture):
    """In training every tile is mixed with its mean over 3×3 pixels, by a share of its own."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            share = torch.rand(len(x), 1, 1, 1, device=x.device)
            x = torch.lerp(x, avg_pool2d(x, 3, 1, 1, count_include_pad=False), share)
        return super().forward(x)


def _column(kind: type[Texture]) -> tuple[tuple[Any, str, Any], ...]:
    def build(bands: int, dim: int) -> list[Column]:
        return [kind(bands, dim)]

    return ((columns, "texture", build),)


def _with_several(objective: type[Any], loss: Callable[..., Tensor]) -> tuple[tuple[Any, str, Any], ...]:
    return ((objective, "examples", _several), (objective, "loss", _each(loss)))


ROWS = {
    AS_IT_IS: Change(),
    "256 numbers": Change({"dim": 256}),
    "a loss for each stage": Change(patches=((Triplet, "loss", _by_stage),)),
    "stem of stride 1": Change(patches=_column(Full)),
    "three neighbors an anchor": Change({"batch_size": 64}, _with_several(Triplet, _triplet)),
    "InfoNCE over three neighbors": Change(
        {"objective": "infonce", "temperature": 0.2, "batch_size": 64}, _with_several(InfoNCE, _info_nce)
    ),
    "second-order pooling": Change(patches=_column(SecondOrder)),
    "weights averaged over the last half": Change(patches=averaging(0.5, None)),
    "dates as half of the neighbors": Change(dates=True),
    "blur": Change(patches=_column(Blurred)),
}
# Those of a seed and the next, side by side; after the last comes the first.
TWO = "two columns of other seeds"


def _with_dates(bench: Bench) -> Path:
    """The triplets, half of whose neighbors are another date of the anchor's place."""
    path = bench.folder / "dates.parquet"
    if path.exists():
        return path
    side = bench.tiles.side_m
    config = TripletConfig(neighborhood_m=side / 2, distant_min_m=2 * side, neighbors="other-scene")
    try:
        other = triplets.draw(bench.tiles, config)
    except DataError as error:
        raise LeftOut(str(error)) from error
    own = triplets.load(bench.triplets, bench.tiles)
    half = min(len(own.ids), len(other.ids)) // 2
    joined = {
        name: np.concatenate([getattr(own, name)[:half], getattr(other, name)[:half]])
        for name in ("ids", "neighbor_m", "distant_m")
    }
    with new_file(path) as temporary:
        triplets.save(temporary, replace(own, **joined))
    return path


def vectors(name: str, steps: int, bench: Bench, seed: int) -> Vectors:
    """(N, D) of all tiles, trained with the change. Raises LeftOut where these tiles allow none."""
    if name == TWO:
        pair = [vectors(AS_IT_IS, steps, bench, one) for one in (seed, (seed + 1) % SEEDS)]
        return np.concatenate(pair, axis=1)
    change = ROWS[name]
    path = bench.folder / "models" / f"{slug(name)}-{steps}-{seed}"
    file = path.with_suffix(".parquet")
    if not file.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = _with_dates(bench) if change.dates else bench.triplets
        with ExitStack() as patched:
            for patch in change.patches:
                patched.enter_context(mock.patch.object(*patch))
            config = TrainConfig(place=False, seed=seed, steps=steps, **change.options)
            training.train(drawn, bench.tiles.path, path, config)
            inference.embed(bench.tiles.path, path, file, EmbedConfig())
    return in_order(file, bench)


def line(name: str, found: list[Scores], base: list[Scores]) -> str:
    cells = []
    for column in base[0]:
        own, same = (np.array([one[column] for one in rows]) for rows in (found, base))
        gain, error = cell(list(own - same))  # seeds × draws
        star = "*" if abs(gain) > 2 * error else ""
        beside = "" if name == AS_IT_IS else f" ({gain:+.3f}{star})"
        cells.append(f"{own.mean():.3f}{beside}")
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--data", action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", default=",".join([*ROWS, TWO]))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--steps", type=int, default=450)
    parser.add_argument("--n-labels", default="100,1000")
    options = parser.parse_args()
    counts = tuple(int(count) for count in options.n_labels.split(","))
    for data in (Data.parse(text, {}) for text in options.data):
        every = np.arange(len(data.tiles))
        bench = Bench(data.tiles, every, options.out / data.name)
        bench.folder.mkdir(parents=True, exist_ok=True)
        asked = judge(data.tiles, data.labels, data.fields, every, counts)
        base: list[Scores] = []
        for name in dict.fromkeys([AS_IT_IS, *options.rows.split(",")]):
            row, said = partial(vectors, name, options.steps), f"{options.steps} steps"
            seeds = range(options.seeds)
            try:
                found = [scored(name, said, row, seed, bench, asked, as_is=True) for seed in seeds]
            except LeftOut as error:
                print(f"{data.name}: {name} is left out: {error}", file=sys.stderr, flush=True)
                continue
            if not base:
                base = found
                print(f"\n| {data.name} | {' | '.join(base[0])} |\n|---|{'--:|' * len(base[0])}", flush=True)
            print(line(name, found, base), flush=True)


if __name__ == "__main__":
    main()

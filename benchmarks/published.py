"""The published way, written plainly: a file a tile, three fp32 passes, distant tiles unchecked.

What Tile2Vec's and the weak segmentation's published code do, in our own words, as the rival of `run.py`:
windows are read one by one and saved as .npy files, triplets are drawn in a Python loop, every tile of a
batch is opened by itself, networks run in float32 and torch's default layout.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Adam

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.learning import losses
from tile2vec_cli.learning.starts import BETAS
from tile2vec_cli.neural import encoders

MARGIN, L2, BATCH = 10.0, 0.01, 50
SIDE = 50  # of a tile in pixels
Triplet = tuple[int, int, int]


def cut(scene: Path, folder: Path, size: int = SIDE) -> list[Path]:
    """Each window of the scene as a .npy file."""
    folder.mkdir(parents=True)
    files = []
    with rasterio.open(scene) as source:
        for row in range(0, source.height - size + 1, size):
            for col in range(0, source.width - size + 1, size):
                files.append(folder / f"{len(files)}.npy")
                np.save(files[-1], source.read(window=Window(col, row, size, size)))
    return files


def save(pixels: NDArray[np.generic], folder: Path) -> list[Path]:
    """Tiles that are cut already, a .npy file each."""
    folder.mkdir(parents=True)
    files = [folder / f"{number}.npy" for number in range(len(pixels))]
    for file, tile in zip(files, pixels, strict=True):
        np.save(file, tile)
    return files


def draw(centres: NDArray[np.float64], neighborhood: float, count: int, seed: int = 0) -> list[Triplet]:
    """For random anchors a random tile of the neighborhood, and any tile as the distant one.

    `centres` (N, 2) in map units. The published code draws windows, not tiles: this is the same loop.
    """
    rng = random.Random(seed)
    cells: dict[tuple[int, int], list[int]] = {}
    for number, (x, y) in enumerate(centres.tolist()):
        cells.setdefault((int(x // neighborhood), int(y // neighborhood)), []).append(number)
    triplets = []
    while len(triplets) < count:
        anchor = rng.randrange(len(centres))
        x, y = centres[anchor].tolist()
        angle, away = rng.uniform(0, 6.283185), rng.uniform(0, neighborhood)
        cell = (
            int((x + away * np.cos(angle)) // neighborhood),
            int((y + away * np.sin(angle)) // neighborhood),
        )
        near = [number for number in cells.get(cell, ()) if number != anchor]
        if near:
            triplets.append((anchor, rng.choice(near), rng.randrange(len(centres))))
    return triplets


def load(files: Sequence[Path]) -> Tensor:
    """(B, C, S, S) tiles, turned and mirrored each by itself."""
    tiles = []
    for file in files:
        tile = np.load(file)
        if random.random() < 0.5:
            tile = np.flip(tile, axis=2)
        tiles.append(np.rot90(tile, random.randrange(4), (1, 2)).copy())
    return torch.from_numpy(np.stack(tiles))


class TileNet:
    """The paper's network (or another encoder) in float32, and Adam."""

    def __init__(
        self,
        bands: int,
        mean: Sequence[float],
        std: Sequence[float],
        name: str = "resnet18",
    ) -> None:
        self.encoder = encoders.untrained(name, bands, ENCODERS[name].dim, mean, std, seed=0)
        self.encoder.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.optimizer = Adam(self.encoder.parameters(), 1e-3, BETAS)

    def __call__(self, pixels: Tensor) -> Tensor:
        standardise = self.encoder.standardise
        values = (pixels.float() - standardise.mean) / standardise.std
        return torch.cat([column(values) for column in self.encoder.columns], 1)

    def step(self, tiles: Tensor) -> None:
        """One update by anchors, neighbors and distants (3B, C, S, S), each a pass of its own."""
        self.optimizer.zero_grad()
        anchor, neighbor, distant = (self(pixels) for pixels in tiles.chunk(3))
        losses.triplet_loss(anchor, neighbor, distant, MARGIN, L2).backward()
        self.optimizer.step()

    def train(self, files: Sequence[Path], triplets: Sequence[Triplet], seconds: float) -> int:
        """Epochs over the triplets until the time is up; returns the number of triplets."""
        seen, ends, order = 0, time.monotonic() + seconds, list(triplets)
        self.encoder.train()
        while True:
            random.shuffle(order)
            for start in range(0, len(order) - BATCH + 1, BATCH):
                batch = order[start : start + BATCH]
                self.step(load([files[triplet[kind]] for kind in range(3) for triplet in batch]))
                seen += BATCH
                if time.monotonic() > ends:
                    return seen

    def embed(self, files: Sequence[Path]) -> NDArray[np.float32]:
        """Tile by tile."""
        self.encoder.eval()
        with torch.inference_mode():
            rows = [self(torch.from_numpy(np.load(file)[None]))[0].numpy() for file in files]
        return np.stack(rows)


def segmenting(network: nn.Module, files: Sequence[Path], batch_size: int = 32) -> Callable[[], None]:
    """A step of the masked U-Net on tiles with one labelled pixel each, opened one by one."""
    network.to(memory_format=torch.contiguous_format).train()  # type: ignore[call-overload]
    optimizer = Adam(network.parameters(), 1e-3)

    def step() -> None:
        x = load(random.choices(files, k=batch_size)).float() / 100
        mask, truth = torch.zeros(2, batch_size, *x.shape[-2:])
        for number in range(batch_size):
            row, col = random.randrange(x.shape[-2]), random.randrange(x.shape[-1])
            mask[number, row, col], truth[number, row, col] = 1, number % 2
        x = nn.functional.pad(x, (0, -x.shape[-1] % 16, 0, -x.shape[-2] % 16))
        logits = network(x)[:, : mask.shape[1], : mask.shape[2]]
        optimizer.zero_grad()
        (binary_cross_entropy_with_logits(logits, truth, reduction="none") * mask).sum().div(
            batch_size
        ).backward()
        optimizer.step()

    return step


def mapped(network: nn.Module, scene: Path, size: int = SIDE) -> NDArray[np.bool_]:
    """The scene classified window by window."""
    network.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    with rasterio.open(scene) as source, torch.inference_mode():
        out = np.zeros((source.height, source.width), bool)
        for row in range(0, source.height - size + 1, size):
            for col in range(0, source.width - size + 1, size):
                x = torch.from_numpy(source.read(window=Window(col, row, size, size))[None]).float() / 100
                x = nn.functional.pad(x, (0, -size % 16, 0, -size % 16))
                out[row : row + size, col : col + size] = network(x)[0, :size, :size] > 0
    return out

"""Tile -> vector networks: modules (B, C, S, S) raw pixels of any number type -> (B, D) float32.

Those that are trained in steps are the columns (see `columns.py`) of a row in `config/encoders.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from operator import index
from typing import Any, cast

import torch
from torch import Tensor, nn

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.config.training import NONE
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.columns import Build, Column, Foldable
from tile2vec_cli.neural.descriptors import Shape
from tile2vec_cli.neural.place import Place

PLACE = "place"


def tiles_a_pass(name: str, device: str) -> int:
    """Tiles that go through an encoder at once where it does not train; a GPU needs more to be busy."""
    return (128 if name == NONE else ENCODERS[name].embed_batch_size) * (8 if device == "cuda" else 1)


def untrained(
    name: str, bands: int, dim: int, mean: Sequence[float], std: Sequence[float], seed: int
) -> Encoder:
    """An encoder with weights drawn from `seed`, leaving torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(Standardise(mean, std), _columns(name, bands, dim))


def described(architecture: Mapping[str, Any]) -> Encoder:
    """The encoder of a model's description, before its numbers are read.

    Raises KeyError, TypeError or ValueError where the description is none.
    """
    bands, sizes = index(architecture["bands"]), part_sizes(architecture)
    if not 1 <= bands <= 2**16 or not 1 <= sum(sizes.values()) <= 2**20:
        raise ValueError(f"{bands} bands, {sum(sizes.values())} dimensions")
    name, trained = architecture["encoder"], index(architecture["dim"])
    columns = _columns(name, bands, trained)
    found = architecture.get("place")
    place = None if found is None else Place.empty(Shape.read(found), trained, index(found["factors"]))
    return Encoder(Standardise([0.0] * bands, [1.0] * bands), columns, place)


def _columns(name: str, bands: int, dim: int) -> list[Column]:
    if name == NONE:
        return []
    build: Build = getattr(import_module(ENCODERS[name].module), name)
    return build(bands, dim)


def part_sizes(architecture: Mapping[str, Any]) -> dict[str, int]:
    """The parts of a vector, in order, and how long each is, by a model's description."""
    name, found = architecture["encoder"], architecture.get("place")
    trained = {} if name == NONE else {name: index(architecture["dim"])}
    return trained if found is None else {**trained, PLACE: index(found["factors"])}


class Encoder(nn.Module):
    """Columns whose vectors stand side by side: some trained in steps, and perhaps `place`, in closed form.

    What tells places apart soonest is the colour of their scenes, and an encoder that has learned
    that looks no further. So a column that is `lit` is trained under another `light` for each tile in
    every other step, and has to tell places by what light does not change, too; the others always see
    the colours as they are. A column is trained by itself (`parts`), else one would only add to what
    another has.
    """

    def __init__(
        self, standardise: Standardise, columns: Sequence[Column], place: Place | None = None
    ) -> None:
        super().__init__()
        self.standardise = standardise
        self.columns = nn.ModuleList(columns)
        self._dims = [column.dim for column in columns]
        self.lit = [column.lit for column in columns]
        self.place = place
        self.finished = False  # True: nothing is trained in steps any more
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pixels: Tensor, light: Tensor | None = None) -> Tensor:
        """(B, D) of raw pixels (B, C, S, S). `light` (2, B, C, 1, 1): factors, then shifts in deviations."""
        plain = self.standardise(pixels)
        shown = plain if light is None else plain * light[0] + light[1]
        columns = zip(self.columns, self.lit, strict=True)
        vectors = [column(shown if lit else plain) for column, lit in columns]
        if self.finished:
            pairs = zip(cast("list[Column]", self.columns), vectors, strict=True)
            vectors = [column.finished(own) for column, own in pairs]
        trained = torch.cat(vectors, dim=1) if vectors else plain.flatten(1)[:, :0]
        if self.place is None:
            return trained
        return torch.cat([trained, self.place(pixels, plain, trained)], dim=1)

    @property
    def shares(self) -> list[int]:
        """The length of each part of a vector."""
        return self._dims + ([self.place.dim] if self.place else [])

    def parts(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """Vectors (…, D) cut into those of each column."""
        return torch.split(vectors, self.shares, dim=-1)


def fused(encoder: Encoder) -> Encoder:
    """A copy for inference whose batch norms are folded into the layers before them."""
    encoder = deepcopy(encoder).eval()
    for module in list(encoder.modules()):
        if isinstance(module, Foldable):
            module.fold()
    return encoder

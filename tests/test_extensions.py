"""A new encoder and a new objective: a class each, and a row each in the tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import landscapes
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tile2vec_cli.config import objectives
from tile2vec_cli.config.encoders import ENCODERS, Row
from tile2vec_cli.config.fields import option_of
from tile2vec_cli.config.objectives import OBJECTIVES
from tile2vec_cli.config.pipeline import EmbedConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.learning import examples, heads, training
from tile2vec_cli.learning.examples import Examples, Source
from tile2vec_cli.learning.heads import Sizes
from tile2vec_cli.learning.objective import Batch, Objective, Views
from tile2vec_cli.neural import encoders, models
from tile2vec_cli.neural.columns import Column


class Transformer(Column):
    """A vision transformer (Dosovitskiy et al. 2021) of one layer, on patches of 4 × 4 pixels."""

    lit = True

    def __init__(self, bands: int, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.patches = nn.Conv2d(bands, dim, 4, 4)
        self.norm = nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, 2, batch_first=True)
        self.mix = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        whole = nn.functional.pad(x, (0, -x.shape[3] % 4, 0, -x.shape[2] % 4))
        tokens = self.patches(whole).flatten(2).transpose(1, 2)
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return (tokens + self.mix(tokens)).mean(1).float()


def transformer(bands: int, dim: int) -> list[Column]:
    return [Transformer(bands, dim)]


class Brightness(Objective[Tensor]):
    """The mean of each tile's standardised bands, as a linear function of its vector."""

    whole = True

    def examples(self, source: Source) -> Examples:
        return examples.of_tiles(source)

    def views(self, batch: Batch) -> Views[Tensor]:
        return Views(batch.pixels, batch.standardise(batch.pixels).mean((1, 2, 3)))

    def loss(self, vectors: Tensor, answers: Tensor, head: nn.Module) -> Tensor:
        return nn.functional.mse_loss(head(vectors)[:, 0], answers)

    def head(self, dim: int, sizes: Sizes) -> nn.Module:
        return heads.one_of(dim, 1)


@pytest.mark.parametrize("encoder", ["transformer", "small"])
def test_a_row_each_makes_a_model(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row(__name__, dim=8, batch_size=16, lr=0.001, embed_batch_size=64)
    monkeypatch.setitem(ENCODERS, "transformer", row)
    monkeypatch.setitem(OBJECTIVES, "brightness", objectives.Row(__name__, "Brightness"))
    for name, own in (("encoder", "transformer"), ("objective", "brightness")):  # their names, in the config
        field = TrainConfig.__dataclass_fields__[name]
        said = option_of(field)
        assert said is not None
        more = replace(said, choices=(*said.choices, own))
        monkeypatch.setattr(field, "metadata", {"option": more})
    tiles, triplets = landscapes.make(tmp_path, count=60)
    folder, vectors = tmp_path / "model", tmp_path / "vectors.parquet"
    config = TrainConfig(
        objective="brightness",
        encoder=encoder,
        dim=8,
        place=False,
        steps=2,
        batch_size=16,
        val_fraction=0.2,
        device="cpu",
    )
    report = training.train(triplets, tiles, folder, config)
    assert (report.encoder, report.objective, report.steps) == (encoder, "brightness", 2)
    assert report.val_loss is not None and np.isfinite(report.val_loss)
    inference.embed(tiles, folder, vectors, EmbedConfig(device="cpu", precision="fp32"))
    found = Embeddings.open(vectors).vectors
    assert found.shape == (256, 8)
    network, _ = models.load_encoder(folder, torch.device("cpu"))
    assert network.lit == ([True] if encoder == "transformer" else [False, True])
    start = encoders.untrained(encoder, 3, 8, [0.0] * 3, [1.0] * 3, config.seed)
    pairs = zip(network.columns.parameters(), start.columns.parameters(), strict=True)
    assert all(not torch.equal(one, other) for one, other in pairs)

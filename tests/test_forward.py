"""Parts through an encoder: every tile once, in order, whatever the batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tile2vec_cli.embedding.forward import Forward
from tile2vec_cli.errors import DataError, Tile2VecError
from tile2vec_cli.neural import encoders
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.outputs.parts import silent


class Means(nn.Module):
    """The mean of each band: a vector that tells which tile it is of."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.float().mean((2, 3))


class SomePart:
    """What `Forward` needs of a Part."""

    def __init__(self, name: str, pixels: np.ndarray, error: Tile2VecError | None = None) -> None:
        self.name, self.pixels, self.error = name, pixels, error
        self.path, self.count = Path(name), len(pixels)
        self.shape, self.dtype = pixels.shape, pixels.dtype
        self.pixels.flags.writeable = False  # as memory maps are

    def filled(self, rows: slice) -> np.ndarray:
        if self.error is not None and rows.stop > 4:
            raise self.error
        return self.pixels[rows]

    def index(self) -> dict[str, Any]:
        return {"tile_id": [Text(f"{self.name}/{i}/0") for i in range(self.count)]}


class Text(str):
    def as_py(self) -> str:
        return str(self)


def some_part(name: str, count: int, dtype: str = "uint8", **kwargs: Any) -> SomePart:
    return SomePart(
        name, np.random.default_rng(count).integers(0, 200, (count, 2, 5, 5)).astype(dtype), **kwargs
    )


def run(parts: list[SomePart], batch_size: int = 4, encoder: nn.Module | None = None) -> list[Any]:
    forward = Forward(encoder or Means(), Runtime(torch.device("cpu"), "fp32"), batch_size)
    return list(forward.vectors(parts, silent))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_every_tile_once_and_in_order(dtype: str, batch_size: int) -> None:
    parts = [some_part(name, count, dtype) for name, count in (("a", 9), ("b", 1), ("c", 8))]
    found = run(parts, batch_size)
    assert [part.name for part, _ in found] == ["a", "b", "c"]
    for part, vectors in found:
        assert vectors.dtype == np.float32
        assert np.allclose(vectors, part.pixels.mean(axis=(2, 3)), rtol=1e-6)


def test_progress_is_in_tiles() -> None:
    seen: list[tuple[int, int]] = []
    forward = Forward(Means(), Runtime(torch.device("cpu"), "fp32"), 4)
    parts = [some_part("a", 9), some_part("b", 3)]
    list(forward.vectors(parts, lambda done, total: seen.append((done, total))))  # type: ignore[arg-type]
    assert seen == [(4, 12), (8, 12), (12, 12)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_vector_does_not_depend_on_what_lies_beside_it(precision: str) -> None:
    encoder = encoders.fused(encoders.untrained("small", 2, 8, [100.0] * 2, [50.0] * 2, 0).eval())
    parts = [some_part(name, count) for name, count in (("a", 9), ("b", 3), ("c", 8))]
    forward = Forward(encoder, Runtime(torch.device("cpu"), precision), 8)
    together = {part.name: vectors for part, vectors in forward.vectors(parts, silent)}  # type: ignore[arg-type]
    for part in parts:
        ((_, alone),) = forward.vectors([part], silent)  # type: ignore[arg-type]
        assert np.array_equal(alone, together[part.name])


@pytest.mark.parametrize("bad", ["a", "b", "c"])
def test_a_bad_part_does_not_stop_the_others(bad: str) -> None:
    error = DataError("damaged")
    parts = [some_part(name, 9, error=error if name == bad else None) for name in "abc"]
    found = run(parts)
    assert [part.name for part, _ in found] == ["a", "b", "c"]
    for part, vectors in found:
        if part.name == bad:
            assert vectors is error
        else:
            assert np.allclose(vectors, part.pixels.mean(axis=(2, 3)))


def test_vectors_that_are_no_numbers_are_an_error() -> None:
    pixels = np.ones((6, 2, 5, 5), np.float32)
    pixels[3, 1] = np.nan
    ((_, found),) = run([SomePart("a", pixels)])
    assert isinstance(found, DataError)
    assert "1 of 6 tiles, the first a/3/0" in str(found)


def test_other_errors_come_through() -> None:
    class Broken(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        run([some_part("a", 5)], encoder=Broken())

"""The networks, layer by layer, and what goes in and comes out; much of it for every row of ENCODERS."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tile2vec_cli.config.encoders import ENCODERS
from tile2vec_cli.neural import columns, encoders
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.encoders import Encoder


def untrained(name: str = "small", bands: int = 4, dim: int | None = None, seed: int = 0) -> Encoder:
    mean, std = [100.0 + band for band in range(bands)], [20.0 + band for band in range(bands)]
    return encoders.untrained(name, bands, dim or ENCODERS[name].dim, mean, std, seed)


def tiles(count: int, bands: int = 4, side: int = 16, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, bands, side, side), generator=random, dtype=torch.uint8)


def published_parameters(bands: int, dim: int) -> int:
    """Of the TileNet by its description: 3×3 convolutions without bias, two numbers a channel to norm."""
    count = bands * 64 * 9 + 2 * 64
    channels = 64
    for width in (64, 128, 256, 512, dim):
        for block in range(2):
            first = channels if block == 0 else width
            count += first * width * 9 + width * width * 9 + 4 * width
            halves = width != 64 and block == 0
            count += first * width + 2 * width if halves else 0
        channels = width
    return count


def test_resnet18_is_the_tilenet_of_the_paper() -> None:
    network = untrained("resnet18").eval()
    assert sum(p.numel() for p in network.parameters()) == published_parameters(4, 512) == 20_873_856
    seen: list[tuple[tuple[int, ...], tuple[int, int], int]] = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(
                lambda m, _, out: seen.append((tuple(m.kernel_size), tuple(m.stride), out.shape[1]))  # type: ignore
            )
    sides: list[int] = []
    (column,) = network.columns
    for stage in column.stages:
        stage.register_forward_hook(lambda _m, _i, out: sides.append(out.shape[-1]))
    with torch.no_grad():
        assert network(tiles(2, side=50)).shape == (2, 512)
    assert sides == [50, 25, 13, 7, 4]
    three = [layer for layer in seen if layer[0] == (3, 3)]
    assert three[0] == ((3, 3), (1, 1), 64)  # the stem keeps the resolution
    assert [channels for _, _, channels in three[1:]] == [64] * 4 + [128] * 4 + [256] * 4 + [512] * 8
    assert [stride for _, stride, _ in three[1:]] == ([(1, 1)] * 4) + 4 * ([(2, 2)] + [(1, 1)] * 3)
    assert [layer for layer in seen if layer[0] == (1, 1)] == [
        ((1, 1), (2, 2), width) for width in (128, 256, 512, 512)
    ]


def test_small_is_small() -> None:
    assert sum(p.numel() for p in untrained("small").parameters()) < 1_000_000


def test_small_is_two_columns_of_which_light_reaches_the_second() -> None:
    network, pixels = untrained("small", dim=17).eval(), tiles(3)
    light = torch.stack([torch.full((3, 4, 1, 1), 1.5), torch.full((3, 4, 1, 1), 0.25)])
    with torch.no_grad():
        first, second = network.parts(network(pixels))
        same, lit = network.parts(network(pixels, light))
        # 20 counts more and half as much contrast again: the standardised pixels that light makes.
        mean, std = network.standardise.mean, network.standardise.std
        changed = (pixels - mean) * 1.5 + mean + 0.25 * std
        _, expected = network.parts(network(changed))
    assert (first.shape[1], second.shape[1]) == (9, 8)
    assert torch.equal(first, same)
    assert not torch.allclose(second, lit, atol=1e-3)
    assert torch.allclose(lit, expected, atol=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("side", [2, 3, 7, 50])
@pytest.mark.parametrize(("bands", "dim"), [(1, 8), (13, 32)])
def test_any_bands_side_and_dim(name: str, side: int, bands: int, dim: int) -> None:
    """Of tiles and of parts of tiles: objectives such as `context` show patches."""
    network = untrained(name, bands, dim).train()
    out = network(tiles(2, bands, side))
    assert out.shape == (2, dim)
    assert out.dtype == torch.float32
    out.sum().backward()


@pytest.mark.parametrize(
    "dtype",
    [
        torch.uint8,
        torch.int8,
        torch.uint16,
        torch.int16,
        torch.uint32,
        torch.int32,
        torch.int64,
        torch.float64,
    ],
)
def test_any_number_type(dtype: torch.dtype) -> None:
    network, pixels = untrained().eval(), tiles(2).clamp(max=127)
    with torch.no_grad():
        assert torch.equal(network(pixels.to(dtype)), network(pixels))


def test_the_first_layer_standardises() -> None:
    layer = Standardise([10.0, 20.0], [2.0, 4.0])
    pixels = torch.tensor([10.0, 20.0])[:, None, None].expand(1, 2, 3, 3).clone()
    assert torch.equal(layer(pixels), torch.zeros(1, 2, 3, 3))
    assert torch.equal(layer(pixels + 4.0)[0, :, 0, 0], torch.tensor([2.0, 1.0]))
    pixels[0, 0, 0, 0], pixels[0, 1, 1, 1] = float("nan"), float("inf")
    assert torch.equal(layer(pixels), torch.zeros(1, 2, 3, 3))
    assert {"standardise.mean", "standardise.std"} < set(untrained().state_dict())


def test_scaled_pixels_with_scaled_statistics_are_the_same() -> None:
    pixels = tiles(3)
    one = encoders.untrained("small", 4, 16, [100.0] * 4, [20.0] * 4, 0).eval()
    ten = encoders.untrained("small", 4, 16, [1000.0] * 4, [200.0] * 4, 0).eval()
    with torch.no_grad():
        assert torch.allclose(one(pixels), ten(pixels.to(torch.int32) * 10), atol=1e-5)


def test_weights_follow_from_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = untrained(), untrained(), untrained(seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.columns[1].stem.weight, other.columns[1].stem.weight)


@pytest.mark.parametrize("name", ENCODERS)
def test_fused_gives_the_same_vectors(name: str) -> None:
    network, pixels = untrained(name, dim=32), tiles(8)
    network.train()(pixels)  # running statistics other than 0 and 1
    network.eval()
    before = list(map(type, network.modules()))
    fused = encoders.fused(network)
    left = [layer for layer in fused.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert not left, "give their module a `fold`"
    assert list(map(type, network.modules())) == before
    with torch.no_grad():
        assert torch.allclose(fused(pixels), network(pixels), atol=1e-4)


@pytest.mark.parametrize("name", ENCODERS)
def test_threads_can_share_a_batch(name: str) -> None:
    """What norms over it need, they tell one another (`learning/shards.py`)."""
    network, pixels = untrained(name, dim=32).train(), tiles(8)
    norms = [type(module) for module in network.modules() if isinstance(module, _BatchNorm)]
    assert set(norms) <= {nn.BatchNorm2d}, "over a batch, nn.BatchNorm2d alone"
    with torch.no_grad():
        assert torch.equal(network(pixels), network(pixels)), "nothing is drawn at random"


@pytest.mark.parametrize("name", ENCODERS)
def test_float32_comes_out_under_autocast(name: str) -> None:
    network, pixels = untrained(name).eval(), tiles(4)
    with torch.no_grad():
        exact = network(pixels)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(pixels)
    assert rounded.dtype == torch.float32, "`forward` ends with .float(), or in a sum in float32"
    assert torch.allclose(rounded, exact, rtol=0.1, atol=0.05)


def test_the_texture_column_has_the_gradient_of_mean_and_deviation(monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients() -> list[Tensor]:
        network = untrained("texture").train()
        network(tiles(6)).square().sum().backward()
        return [p.grad for p in network.parameters() if p.grad is not None]

    ours = gradients()
    monkeypatch.setattr(columns._Moments, "apply", columns._moments)
    for own, torchs in zip(ours, gradients(), strict=True):
        assert torch.allclose(own, torchs, rtol=1e-3, atol=1e-5 * float(torchs.abs().max()))

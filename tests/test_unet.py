"""The U-Net: what it sees, and that it answers alike wherever a window lies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.segmentation.unet import Segmenter, UNet, padded


def network(levels: int = 3, **options: object) -> UNet:
    torch.manual_seed(levels)
    return UNet(3, width=4, levels=levels, **options).eval()  # type: ignore[arg-type]


def test_the_published_network_has_four_levels_from_32_to_256() -> None:
    blocks = [block[0].out_channels for block in UNet(7).down]  # type: ignore[index]
    assert blocks == [32, 64, 128, 256]
    assert UNet(7).stride == 8
    assert UNet(7).head.in_channels == 32
    assert UNet(7, pixel_path=True).head.in_channels == 32 + 7


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_nothing_beyond_the_reach_plays_a_part(levels: int) -> None:
    unet = network(levels)
    for module in unet.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.uniform_(module.weight, 0.01, 0.1)  # nothing cancels: what is seen has a gradient
    side = 2 * unet.reach + 4 * unet.stride
    furthest = 0
    for shift in range(unet.stride):
        x = torch.rand(1, 3, side, side, requires_grad=True)
        centre = side // 2 + shift
        unet(x)[0, centre, centre].backward()
        assert x.grad is not None
        seen = x.grad.abs().sum((0, 1)).nonzero() - centre
        furthest = max(furthest, int(seen.abs().max()))
    assert unet.reach - 2 * unet.stride < furthest <= unet.reach


def test_a_crop_gets_the_same_answer_deep_inside() -> None:
    unet, image = network(), torch.randn(1, 3, 160, 160)
    whole = unet(image)
    step, edge = 4 * unet.stride, unet.reach
    crop = unet(image[..., step:, step:])
    torch.testing.assert_close(
        whole[..., step + edge : -edge, step + edge : -edge], crop[..., edge:-edge, edge:-edge]
    )


def test_the_pixel_path_alone_is_a_logistic_regression() -> None:
    unet = network(pixel_path=True)
    with torch.no_grad():
        unet.head.weight.zero_()
        unet.head.weight[0, -3:, 0, 0] = torch.tensor([1.0, 2.0, 3.0])
        unet.head.bias.fill_(0.5)
    x = torch.randn(2, 3, 8, 8)
    expected = x[:, 0] + 2 * x[:, 1] + 3 * x[:, 2] + 0.5
    torch.testing.assert_close(unet(x), expected)


def test_pixels_that_are_not_valid_count_as_the_mean_whatever_they_hold() -> None:
    standardise = Standardise([10.0, 20.0], [2.0, 4.0])
    pixels = torch.tensor([12.0, float("nan"), 1e9, 8.0]).reshape(1, 1, 2, 2).expand(1, 2, 2, 2)
    valid = torch.tensor([[[True, False], [False, True]]])
    found = standardise.clipped(pixels, valid)
    assert found[0, 0].tolist() == [[1.0, 0.0], [0.0, -1.0]]
    assert found[0, 1].tolist() == [[-2.0, 0.0], [0.0, -3.0]]


@pytest.mark.parametrize("shape", [(50, 50), (7, 13), (16, 8)])
def test_any_size_comes_back_as_it_was(shape: tuple[int, int]) -> None:
    segmenter = Segmenter(Standardise([0.0] * 3, [1.0] * 3), [network(4), network(2)]).eval()
    pixels, valid = torch.randn(2, 3, *shape), torch.ones(2, *shape, dtype=torch.bool)
    assert segmenter(pixels, valid).shape == (2, *shape)
    x, inside = padded(pixels, 8)
    assert all(side % 8 == 0 for side in x.shape[-2:])
    assert torch.equal(x[:, 0][inside], pixels[:, 0])


def test_members_are_averaged() -> None:
    one, other = network(2), network(3)
    pixels, valid = torch.randn(1, 3, 16, 16), torch.ones(1, 16, 16, dtype=torch.bool)
    standardise = Standardise([0.0] * 3, [1.0] * 3)
    alone = [Segmenter(standardise, [member]).eval()(pixels, valid) for member in (one, other)]
    both = Segmenter(standardise, [one, other]).eval()(pixels, valid)
    torch.testing.assert_close(both, (alone[0] + alone[1]) / 2)

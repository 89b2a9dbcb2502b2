"""A batch in shards: the arithmetic of the whole, whatever happens in one of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tile2vec_cli.errors import Interrupted
from tile2vec_cli.learning import networks, shards
from tile2vec_cli.neural import encoders
from tile2vec_cli.neural.columns import texture
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.segmentation.unet import UNet

CPU = Runtime(torch.device("cpu"), "fp32")
FEW = 1  # tiles: not worth it


@pytest.fixture(autouse=True)
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)


def pixels(tiles: int, bands: int = 3, side: int = 16) -> Tensor:
    return torch.randn(tiles, bands, side, side, generator=torch.Generator().manual_seed(1)).double()


class Column(nn.Module):
    def __init__(self, column: nn.Module) -> None:
        super().__init__()
        self.column = column

    def forward(self, shown: Tensor, beside: Tensor | None = None) -> Tensor:
        found: Tensor = self.column(shown)
        return found


def textured() -> Column:
    torch.manual_seed(0)
    return Column(texture(3, 16)[0])


def held(kind: str, tiles: int) -> dict[str, Tensor]:
    """Gradients and running statistics after one step."""
    torch.manual_seed(0)
    unet = UNet(3, width=4, levels=3, drop=0.5)
    net, beside = (unet, unet.dropout(50)) if kind == "unet" else (textured(), None)
    with shards.sharded(net.double().train(), CPU, tiles) as step:
        found = step(pixels(50), beside)
        found.cos().sum().backward()
    gradients = {name: weight.grad for name, weight in net.named_parameters() if weight.grad is not None}
    return {"found": found.detach(), **gradients, **dict(net.named_buffers())}


@pytest.mark.parametrize("kind", ["texture", "unet"])
def test_a_step_is_that_of_the_whole_batch(kind: str) -> None:
    """Fifty tiles on three threads: shards of 17, 17 and 16."""
    whole, parts = held(kind, FEW), held(kind, 50)
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        assert torch.allclose(parts[name], tensor, rtol=1e-9, atol=1e-12), name
    assert any(not torch.equal(parts[name], tensor) for name, tensor in whole.items())  # it was in parts
    again = held(kind, 50)
    assert all(torch.equal(again[name], tensor) for name, tensor in parts.items())


def test_each_tile_keeps_its_light() -> None:
    encoder = encoders.untrained("texture", 3, 8, [0.0] * 3, [1.0] * 3, 0).train()
    shown, light = pixels(48).float(), torch.randn(2, 48, 3, 1, 1)
    with torch.no_grad():
        expected = encoder(shown, light)
        with shards.sharded(encoder, CPU, 48) as step:
            assert torch.allclose(step(shown, light), expected, rtol=1e-4, atol=1e-5)


def test_batch_norms_and_threads_are_as_before_afterwards(threads: int) -> None:
    net = textured()
    kinds, names = [type(module) for module in net.modules()], list(net.state_dict())
    running = threading.active_count()
    with shards.sharded(net, CPU, 48) as step:
        assert list(net.state_dict()) == names
        assert torch.get_num_threads() == threads
        step(pixels(48).float(), None)
        assert threading.active_count() == running + threads
    assert [type(module) for module in net.modules()] == kinds
    assert (torch.get_num_threads(), threading.active_count()) == (threads, running)


def test_a_signal_in_one_shard_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the way there and on the way back, and the next step is made as ever."""
    encoder = encoders.untrained("texture", 3, 8, [0.0] * 3, [1.0] * 3, 0).train()
    networks.poll(encoder)
    asked = iter(range(1000))
    stop = 0

    def raise_pending() -> None:
        if next(asked) == stop:
            raise Interrupted(75)

    monkeypatch.setattr(networks.interrupts, "raise_pending", raise_pending)
    with shards.sharded(encoder, CPU, 48) as step:
        for ended in (4, 25):  # 18 convolutions on the way there
            asked, stop = iter(range(1000)), ended
            with pytest.raises(Interrupted):
                step(pixels(48).float(), None).sum().backward()
        asked = iter(range(1000, 2000))
        step(pixels(48).float(), None).sum().backward()


def test_what_fails_in_a_shard_is_told() -> None:
    net = textured()
    with shards.sharded(net, CPU, 48) as step, pytest.raises(RuntimeError, match="channels"):
        step(pixels(48, bands=5).float(), None)


@pytest.mark.parametrize(("tiles", "count", "each"), [(31, 1, 8), (32, 2, 4), (500, 8, 1), (70, 4, 2)])
def test_shards_are_as_many_as_threads_and_worth_their_while(tiles: int, count: int, each: int) -> None:
    torch.set_num_threads(8)
    seen: list[tuple[str, int]] = []

    class Seen(nn.Module):
        def forward(self, shown: Tensor) -> Tensor:
            seen.append((threading.current_thread().name, torch.get_num_threads()))
            return shown

    with shards.sharded(Column(nn.Sequential(Seen(), nn.BatchNorm2d(3))), CPU, tiles) as step:
        step(pixels(tiles).float(), None)
    assert len({name for name, _ in seen}) == len(seen) == count
    assert {threads for _, threads in seen} == {each}

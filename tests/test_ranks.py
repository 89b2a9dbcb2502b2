"""Several processes train as one would: the same losses, one writer, and none goes on alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import forks
import landscapes
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from tile2vec_cli.job.launch import Launch
from tile2vec_cli.learning import batch_norm, losses, ranks

PROMISED_S = 20
STEPS = 25


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return landscapes.make(tmp_path_factory.mktemp("ranks"))


def command(data: tuple[Path, Path], out: Path, *options: object) -> tuple[object, ...]:
    tiles, triplets = data
    basics = ("--encoder", "small", "--dim", "16", "--batch-size", "15", "--device", "cpu", "--quiet")
    basics = (*basics, "--no-place", "--local-share", "0")
    exactly = ("--precision", "fp32", "--lr", "0.0001", "--steps", STEPS)
    return ("train", triplets, "--tiles", tiles, "--out", out, *basics, *exactly, *options)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(*argvs: tuple[object, ...]) -> list[forks.Fork]:
    """One process for each of these command lines, as torchrun would start them."""
    shared = {"WORLD_SIZE": str(len(argvs)), "LOCAL_WORLD_SIZE": str(len(argvs))}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        forks.Fork(argv, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank, argv in enumerate(argvs)
    ]


def lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def stopped(processes: list[forks.Fork], out: Path, number: signal.Signals) -> list[forks.Result]:
    """Send a signal to the last process as soon as there is a checkpoint."""
    state = out.parent / f".{out.name}.training" / "last" / "state.json"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    processes[-1].send(number)
    return [process.result(PROMISED_S) for process in processes]


@pytest.fixture(scope="module")
def whole(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one undisturbed process makes."""
    out = tmp_path_factory.mktemp("whole") / "model"
    assert forks.run(command(data, out)).code == 0
    return out


def assert_alike(out: Path, whole: Path) -> None:
    """The same losses and weights but for sums in another order, which training makes the most of."""
    for together, alone in zip(lines(out), lines(whole), strict=True):
        for key in ("train_loss", "val_loss", "val_triplet_accuracy", "lr", "steps", "triplets_seen"):
            assert together[key] == pytest.approx(alone[key], rel=1e-3), key
    found, expected = (load_file(folder / "model.safetensors") for folder in (out, whole))
    assert found.keys() == expected.keys()
    for name in expected:
        assert np.median(np.abs(found[name] - expected[name])) < 1e-4, name


def test_two_processes_of_torchrun_train_as_one(data: tuple[Path, Path], whole: Path, tmp_path: Path) -> None:
    """Their shares of a batch of 15 differ."""
    argv = [str(word) for word in command(data, tmp_path / "model", "--json")]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launcher += ["--master-port", str(free_port()), "-m", "tile2vec_cli"]
    environment = {**os.environ, "SLURM_CPUS_PER_TASK": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *argv], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == STEPS  # one report
    assert "Train" not in done.stderr
    assert_alike(tmp_path / "model", whole)
    before = (tmp_path / "model" / "model.json").stat().st_mtime_ns
    again = [process.result(PROMISED_S) for process in start(argv, argv)]
    assert [result.code for result in again] == [0, 0], again
    assert json.loads(again[0].stdout)["up_to_date"] and not again[1].stdout
    assert (tmp_path / "model" / "model.json").stat().st_mtime_ns == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("objective", ["inpainting", "infonce"])
def test_other_objectives_too(objective: str, data: tuple[Path, Path], tmp_path: Path) -> None:
    """Holes lie where one process would put them, and each process's head sees the whole batch."""
    options = ("--objective", objective, "--steps", "10")
    assert forks.run(command(data, tmp_path / "whole", *options)).code == 0
    argv = command(data, tmp_path / "model", *options)
    done = [process.result(PROMISED_S) for process in start(argv, argv)]
    assert [result.code for result in done] == [0, 0], done
    assert_alike(tmp_path / "model", tmp_path / "whole")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(1)).double()


def loss(vectors: Tensor, kinds: int) -> Tensor:
    if kinds == 3:
        return losses.triplet_loss(*vectors.chunk(3), margin=10.0, l2=0.01)
    far = torch.rand(len(vectors) // 2, len(vectors), generator=torch.Generator().manual_seed(2)) > 0.3
    return losses.in_batch_loss(*vectors.chunk(2), far, margin=10.0, l2=0.01)


def batch(items: int, kinds: int) -> Tensor:
    shape = (kinds * items, 3, 5, 5)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 3


def gradients(rank: int, count: int, port: int, items: int, kinds: int, folder: str) -> None:
    """One process's share of a batch; what it holds afterwards goes into a file."""
    with ranks.joined(Launch(rank, count, host="127.0.0.1", port=port), "cpu") as team:
        net = network()
        with batch_norm.shared(net, team):
            vectors = team.gathered(net(batch(items, kinds)[team.own(items, kinds)]), items)
            loss(vectors, kinds).backward()
        team.add_up(net)
    held = {name: parameter.grad for name, parameter in net.named_parameters()}
    torch.save({**held, **dict(net.named_buffers())}, f"{folder}/{rank}.pt")


@pytest.mark.parametrize(("count", "items", "kinds"), [(2, 8, 2), (3, 7, 3)])
def test_gradients_are_those_of_the_whole_batch(tmp_path: Path, count: int, items: int, kinds: int) -> None:
    """In float64, against torch's own batch norm in one process; Adam would hide a wrong scale."""
    port = free_port()
    arguments = [(rank, count, port, items, kinds, str(tmp_path)) for rank in range(count)]
    processes = [forks._context.Process(target=gradients, args=args) for args in arguments]
    for process in processes:
        process.start()
    net = network()
    loss(net(batch(items, kinds)), kinds).backward()
    expected = {name: parameter.grad for name, parameter in net.named_parameters()}
    expected |= dict(net.named_buffers())
    for rank, process in enumerate(processes):
        process.join(60)
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert torch.allclose(found[name], tensor, rtol=1e-9, atol=1e-9), name


def test_a_signal_to_one_stops_all_and_another_number_goes_on(
    data: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    done = stopped(start(*[command(data, out)] * 2), out, signal.SIGUSR1)
    assert [result.code for result in done] == [75, 75], done
    assert done[0].stderr.startswith("error: stopped on a signal") and done[0].stderr.count("\n") == 1
    assert done[1].stderr == ""
    assert not out.exists()
    state = json.loads((tmp_path / ".model.training" / "last" / "state.json").read_text())
    assert 0 < state["step"] < STEPS
    assert forks.run(command(data, out)).code == 0
    assert_alike(out, whole)
    assert not list(tmp_path.glob(".*"))


def test_one_that_is_killed_does_not_leave_the_other_waiting(data: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = stopped(start(*[command(data, out, "--steps", "5000")] * 2), out, signal.SIGKILL)
    assert [result.code for result in done] == [75, -signal.SIGKILL], done
    assert done[0].stderr.startswith("error: another process") and done[0].stderr.count("\n") == 1
    assert (tmp_path / ".model.training" / "last").exists()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--tiles", "nowhere"), 66, "nowhere: no such folder"),
        (("--seed", "-1"), 2, "--seed -1"),
        (("--batch-size", "1"), 2, "--batch-size 1"),
    ],
)
def test_an_error_of_one_ends_all_with_one_line(
    data: tuple[Path, Path], tmp_path: Path, options: tuple[object, ...], code: int, words: str
) -> None:
    good = command(data, tmp_path / "model")
    argvs = (good, command(data, tmp_path / "model", *options))
    done = [process.result(PROMISED_S) for process in start(*(argvs if code == 66 else argvs[1:] * 2))]
    assert [result.code for result in done] == [code, code], done
    assert words in done[0].stderr and done[0].stderr.count("\n") == 1
    assert done[1].stderr == ""


def test_more_processes_than_triplets_of_a_batch(data: tuple[Path, Path], tmp_path: Path) -> None:
    argv = command(data, tmp_path / "model", "--batch-size", "2")
    done = [process.result(PROMISED_S) for process in start(argv, argv, argv)]
    assert [result.code for result in done] == [2, 2, 2], done
    assert "3 processes: a batch has 2 triplets" in done[0].stderr

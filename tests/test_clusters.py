"""Parts made by a Dask cluster of two processes: the same bytes, whatever becomes of its workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fields
import pytest
from distributed import Client
from projects import write_model as write_encoder
from segmented import write_model as write_segmenter

from tile2vec_cli.config.pipeline import EmbedConfig, TileConfig
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.embedding import inference
from tile2vec_cli.errors import DataError, Failure, Interrupted, OutputError, UsageError
from tile2vec_cli.job.silence import silence
from tile2vec_cli.segmentation import mapping
from tile2vec_cli.tiling import cutting
from tile2vec_cli.workers import clusters, dispatch, work
from tile2vec_cli.workers.clusters import Cluster

sys.path.insert(0, str(Path(__file__).resolve().parent / "faults"))

from harness import content, strays

SCENES = 16
PROMISED_S = 10


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    """Two workers, each a process with one thread."""
    with silence(), clusters._local_cluster(2) as cluster:
        yield cluster


@pytest.fixture
def elsewhere(dask: Any) -> Cluster:
    return Cluster(dask.scheduler_address)


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of one ground, one of them bad; a tile set and two models."""
    folder = tmp_path_factory.mktemp("land")
    scene, _, _ = fields.make(folder, side=64)
    for number in range(1, SCENES):
        shutil.copy2(scene, scene.with_name(f"s{number:02}.tif"))
    scene.with_name("s05b.tif").write_text("no raster")
    write_encoder(folder / "encoder", std=150, dtype="int16", size=fields.SIDE)
    write_segmenter(folder, folder / "segmenter", seed=0)
    return folder


def scenes(land: Path) -> list[str]:
    return sorted(map(str, (land / "scenes").iterdir()))


def tile(land: Path, out: Path, **options: Any) -> Any:
    return cutting.cut(scenes(land), out, TileConfig(size=fields.SIDE, min_valid=0.25), **options)


def embed(land: Path, out: Path, **options: Any) -> Any:
    tiles = land / "many"
    if not tiles.exists():
        tile(land, tiles)
        parts = tiles / "parts"
        pixels = parts / "s03" / "pixels.npy"
        pixels.write_bytes(pixels.read_bytes()[:-1])
    return inference.embed(tiles, land / "encoder", out, EmbedConfig(precision="fp32"), **options)


def maps(land: Path, out: Path, **options: Any) -> Any:
    config = MapConfig(probability=True, window=64, device="cpu", precision="fp32")
    return mapping.run(scenes(land), land / "segmenter", out, config, **options)


@pytest.mark.parametrize("command", [tile, embed, maps])
def test_the_bytes_are_those_of_an_ordinary_run(
    land: Path, tmp_path: Path, elsewhere: Cluster, command: Callable[..., Any], monkeypatch: Any
) -> None:
    """With one bad unit among them, from another working directory, progress counted to its end."""
    seen: dict[str, list[tuple[int, ...]]] = {"here": [], "there": []}
    monkeypatch.chdir(tmp_path)
    reports = {
        name: command(
            land,
            Path(name, "out"),
            workers=workers,
            on_progress=lambda *now, name=name: seen[name].append(now),
        )
        for name, workers in (("here", 1), ("there", elsewhere))
    }
    assert content(tmp_path / "there" / "out") == content(tmp_path / "here" / "out")
    assert not strays(tmp_path)
    found, ordinary = reports["there"], reports["here"]
    assert found.made == ordinary.made == SCENES - (command is embed)
    assert [(f.name, f.exit_code) for f in found.failed] == [(f.name, f.exit_code) for f in ordinary.failed]
    assert len(found.failed) == 1
    assert seen["there"][-1] == seen["here"][-1]
    assert command(land, Path("there", "out"), workers=elsewhere).made == 0


def test_tiles_without_pixels_are_read_by_the_workers(
    land: Path, tmp_path: Path, elsewhere: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, virtual in (("pixels", False), ("virtual", True)):
        cutting.cut(
            scenes(land)[:2], Path(name), TileConfig(size=fields.SIDE, min_valid=0.25, virtual=virtual)
        )
    config = EmbedConfig(precision="fp32")
    inference.embed(Path("pixels"), land / "encoder", Path("here", "out"), config)
    inference.embed(Path("virtual"), land / "encoder", Path("there", "out"), config, workers=elsewhere)
    assert content(tmp_path / "there" / "out") == content(tmp_path / "here" / "out")


def test_a_cluster_is_asked_only_where_there_is_work(land: Path, tmp_path: Path) -> None:
    tile(land, tmp_path / "out")
    assert tile(land, tmp_path / "out", workers=Cluster("tcp://127.0.0.1:1")).made == 0


def test_what_a_killed_worker_had_is_made_again(
    land: Path, tmp_path: Path, dask: Any, elsewhere: Cluster
) -> None:
    tile(land, tmp_path / "here" / "out")
    killed = []

    def kill(done: int, _total: int) -> None:
        busy = [worker for worker in dask.scheduler.workers.values() if worker.processing]
        if not killed and done and busy:
            killed.extend(busy[0].processing)
            (nanny,) = [nanny for nanny in dask.workers.values() if nanny.worker_address == busy[0].address]
            os.kill(nanny.pid, signal.SIGKILL)

    report = tile(land, tmp_path / "there" / "out", workers=elsewhere, on_progress=kill)
    assert killed
    assert report.made == SCENES
    assert content(tmp_path / "there" / "out") == content(tmp_path / "here" / "out")
    assert not strays(tmp_path)


def test_settings_that_no_cluster_could_use(land: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--workers 3: the cluster at tcp://a:1 has workers of its own"):
        Cluster("tcp://a:1", 3)
    embed(land, tmp_path / "out")
    with pytest.raises(UsageError, match=r"--dask: .*out\.parquet is one file"):
        embed(land, tmp_path / "out.parquet", workers=Cluster("tcp://a:1"))


# --- units that are no parts ---------------------------------------------------------------------


def deadly(unit: int, advance: work.Advance) -> int:
    advance(1)
    if unit == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * unit


def endless(unit: int, advance: work.Advance, *, folder: Path) -> None:
    (folder / str(unit)).touch()
    while True:
        time.sleep(0.01)
        advance(1)


def refused(unit: int, _advance: work.Advance) -> int:
    if unit == 2:
        raise DataError("2: bad")
    return unit


def hide(hidden: bool) -> None:
    """Make a worker one that has no tile2vec."""
    sys.modules.pop("tile2vec_cli.workers.dispatch", None)
    if hidden:
        sys.modules["tile2vec_cli.workers.dispatch"] = None  # type: ignore[assignment]


def each(units: range, do: Callable[..., Any], workers: Cluster, folder: Path, **options: Any) -> list[Any]:
    settled = {"name": str, "strict": False, **options}
    return [result for _, result in work.each(units, do, workers=workers, folder=folder, **settled)]


def test_a_unit_that_kills_its_workers_is_named_and_no_other(
    dask: Any, elsewhere: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask.scheduler, "allowed_failures", 0)  # which blames what lies beside it, too
    counted = []
    options = {"total": 6, "on_progress": lambda done, _total: counted.append(done)}
    found = each(range(6), deadly, elsewhere, tmp_path, **options)
    assert [result for result in found if not isinstance(result, Failure)] == [0, 4, 6, 8, 10]
    assert isinstance(found[1], Failure)
    assert found[1].message.startswith("1: 1 workers of the cluster died over it;")
    assert counted[-1] == 5


def test_strict_stops_at_the_first(elsewhere: Cluster, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2: bad"):
        each(range(50), refused, elsewhere, tmp_path, strict=True)


def test_a_run_that_is_stopped_takes_its_work_back(dask: Any, elsewhere: Cluster, tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done:
            raise Interrupted

    started = time.monotonic()
    with pytest.raises(Interrupted):
        each(range(40), partial(endless, folder=tmp_path), elsewhere, tmp_path, on_progress=stop)
    # The workers are free for others: a thread cannot be stopped from outside, it has to see that it is to.
    assert each(range(2), refused, elsewhere, tmp_path) == [0, 1]
    assert time.monotonic() - started < PROMISED_S
    assert 1 <= len(list(tmp_path.iterdir())) <= 4  # two workers, and what was on its way to them


def test_workers_of_another_kind_are_refused(
    elsewhere: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="does not see this folder"):
        each(range(9), refused, elsewhere, tmp_path / "of another machine")
    with Client(elsewhere.where, set_as_default=False) as client:
        client.run(hide, True)
        with pytest.raises(UsageError, match="the cluster cannot run tile2vec"):
            each(range(9), refused, elsewhere, tmp_path)
        client.run(hide, False)
    monkeypatch.setattr(dispatch, "__version__", "9.9")
    with pytest.raises(UsageError, match=r"has tile2vec .*; needs 9\.9 as here"):
        each(range(9), refused, elsewhere, tmp_path)


# --- a cluster that is started here ------------------------------------------------------------------


def test_control_c_stops_a_local_cluster_in_one_line(land: Path, tmp_path: Path) -> None:
    """It goes to every process of the terminal; then the workers' parts are there, and nothing else is."""
    (tmp_path / "many").mkdir()
    for number in range(200):
        (tmp_path / "many" / f"m{number:03}.tif").symlink_to(land / "scenes" / "land.tif")
    command = [sys.executable, "-m", "tile2vec_cli", "tile", str(tmp_path / "many")]
    command += ["--out", str(tmp_path / "out"), "--size", "4", "--dask", "local", "--workers", "2", "--quiet"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, start_new_session=True, stderr=pipe, stdout=pipe, text=True) as running:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("out/parts/[!.]*")) and time.monotonic() < deadline:
            time.sleep(0.002)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=PROMISED_S)
    assert (running.returncode, out) == (130, "")
    assert err == "error: stopped on a signal; what was finished is kept. Run the same command to go on.\n"
    with pytest.raises(ProcessLookupError):  # workers and all
        for _ in range(100):
            os.killpg(running.pid, 0)
            time.sleep(0.02)

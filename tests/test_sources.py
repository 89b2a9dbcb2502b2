"""Tiles that still lie in their scenes, and scenes that do not stay."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import twins
from conftest import Run, SceneWriter
from twins import FP32, Project, both, model, tile

from tile2vec_cli.api.checking import check
from tile2vec_cli.config.pipeline import TripletConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding.inference import embed
from tile2vec_cli.errors import DataError, InputError, Tile2VecError
from tile2vec_cli.evaluation.baselines import BASELINES, Architecture
from tile2vec_cli.geo.scenes import Scene
from tile2vec_cli.learning.training import train
from tile2vec_cli.tiling import triplets
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]


@pytest.fixture
def project(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> Project:
    return twins.write(tmp_path, write_scene, noise)


def readers(root: Project) -> dict[str, Callable[[], object]]:
    """All that read pixels, as functions that raise."""
    virtual = root / "virtual"
    drawn = root / "drawn"
    if not drawn.exists():
        tiles = TileSet.open(virtual)
        triplets.save(drawn, triplets.draw(tiles, TripletConfig(count=100, neighborhood_m=150)))
    encoder = root / "model" if (root / "model").exists() else model(root)
    options = TrainConfig(
        encoder="small", place=False, dim=4, steps=1, epochs=None, batch_size=16, device="cpu"
    )

    def whole() -> None:
        damaged = check(virtual).failed
        if damaged:
            raise {65: DataError, 66: InputError}[damaged[0].exit_code](damaged[0].message)

    return {
        "embed": lambda: embed(virtual, encoder, root / "v.parquet", FP32, workers=1),
        "train": lambda: train(drawn, virtual, root / "trained", options),
        "baseline": lambda: BASELINES["stats"](TileSet.open(virtual), np.arange(60), 0, Architecture()),
        "one tile": lambda: TileSet.open(virtual).pixels(np.array([3])),
        "check": whole,
    }


@pytest.mark.parametrize(("kind", "words"), [(DataError, "has changed"), (InputError, "no such file")])
def test_no_reader_takes_another_scene_for_this_one(
    project: Project, kind: type[Tile2VecError], words: str
) -> None:
    both(project)
    todo = readers(project)
    scene = project / "scenes" / "a.tif"
    if kind is DataError:
        os.utime(scene, (1, 1))
    else:
        scene.unlink()
    for name, read in todo.items():
        with pytest.raises(kind, match=rf"^{scene}: {words}.*`tile2vec tile`") as raised:
            read()
        assert "\n" not in str(raised.value), name
    triplets.draw(TileSet.open(project / "virtual"), TripletConfig(count=10, neighborhood_m=150))
    report = embed(project / "virtual", project / "model", project / "v", FP32, workers=1)
    assert (report.made, [failure.name for failure in report.failed]) == (1, ["a"])


def test_a_scene_that_changes_while_it_is_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    both(project)
    scene, raw = project / "scenes" / "a.tif", Scene.raw

    def late(self: Scene, *window: int) -> np.ndarray:
        pixels = raw(self, *window)
        os.utime(scene, (1, 1))
        return pixels

    monkeypatch.setattr(Scene, "raw", late)
    with pytest.raises(DataError, match=r"a\.tif: has changed"):
        TileSet.open(project / "virtual").pixels(np.array([0]))


def test_the_project_moves(project: Project, tmp_path: Path) -> None:
    cut_, _ = both(project)
    expected = cut_.pixels(np.arange(20))
    moved = project.rename(tmp_path / "moved")
    assert (TileSet.open(moved / "virtual").pixels(np.arange(20)) == expected).all()
    moved.rename(project)
    shutil.move(project / "virtual", tmp_path / "elsewhere")  # the tiles alone
    assert (TileSet.open(tmp_path / "elsewhere").pixels(np.arange(20)) == expected).all()


def test_check_reads_the_scene(project: Project) -> None:
    both(project)
    assert not check(project / "virtual").failed
    scene = project / "scenes" / "b.tif"
    was = scene.stat()
    whole, middle = scene.read_bytes(), scene.stat().st_size // 2
    scene.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    os.utime(scene, ns=(was.st_atime_ns, was.st_mtime_ns))
    (failure,) = check(project / "virtual").failed
    assert failure.exit_code == 65 and "b.tif: its pixels are not those that were indexed" in failure.message
    scene.unlink()
    assert [f.exit_code for f in check(project / "virtual", remove=True).failed] == [66]
    assert (project / "virtual" / "parts" / "b").exists()  # the index of a scene that is away is no damage


@pytest.mark.parametrize("harm", ["index", "bands", "count"])
def test_what_part_and_index_say_is_checked(project: Project, harm: str) -> None:
    both(project)
    part = project / "virtual" / "parts" / "b"
    info = json.loads((part / "part.json").read_text())
    if harm == "index":  # of a larger scene
        shutil.copy(project / "virtual/parts/a/tiles.parquet", part)
        info["tiles"] = TileSet.open(project / "virtual").parts[0].count
    elif harm == "bands":
        info["bands"] = [{"band": "1"}, 2, None]
    else:
        info["tiles"] += 1
    (part / "part.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match="virtual/parts/b"):
        tiles = TileSet.open(project / "virtual")
        tiles.pixels(np.arange(len(tiles)))
    assert tile(project, "virtual").made == 1
    tiles = TileSet.open(project / "virtual")
    assert (tiles.pixels(np.arange(50)) == TileSet.open(project / "tiles").pixels(np.arange(50))).all()


def test_the_command_line(tile2vec: Callable[..., Run], project: Project) -> None:
    virtual = project / "virtual"
    run = tile2vec("tile", project / "scenes", "--out", virtual, "--size", 8, "--virtual", "--json")
    assert run.code == 0, run.err
    assert not list(virtual.rglob("pixels.npy"))
    scene = project / "scenes" / "b.tif"
    scene.unlink()
    run = tile2vec("check", virtual, "--quiet")
    assert (run.code, run.err.count("\n")) == (66, 1)
    assert run.err.startswith(f"error: {scene}: no such file")

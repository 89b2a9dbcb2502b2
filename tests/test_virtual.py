"""Tile sets without pixels: the same tiles, the same vectors, the same weights as with them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import twins
from conftest import SceneWriter
from cuts import content
from twins import CONFIG, FP32, Project, both, model, tile

from tile2vec_cli.config.pipeline import TileConfig, TripletConfig
from tile2vec_cli.config.training import TrainConfig
from tile2vec_cli.embedding.inference import embed
from tile2vec_cli.errors import DataError
from tile2vec_cli.evaluation.baselines import BASELINES, Architecture
from tile2vec_cli.geo.scenes import Scene
from tile2vec_cli.learning.training import train
from tile2vec_cli.neural import batches
from tile2vec_cli.tiling import sources, strips, triplets
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]


@pytest.fixture
def project(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> Project:
    return twins.write(tmp_path, write_scene, noise)


# --- the same ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "how"),
    [
        (CONFIG, {}),
        (replace(CONFIG, stride=3), {}),
        (replace(CONFIG, stride=11, bands=(3, 1), snap=True), {}),
        (replace(CONFIG, min_valid=0.0, nodata=7), {"dtype": "int16"}),
        (replace(CONFIG, min_valid=0.0), {"dtype": "float32"}),
        (CONFIG, {"alpha": True}),
        (CONFIG, {"mask": True}),
    ],
    ids=["plain", "overlapping", "apart", "undeclared nodata", "real numbers", "alpha", "mask"],
)
def test_the_same_tiles_and_the_same_pixels(
    project: Project,
    write_scene: SceneWriter,
    noise: Noise,
    config: TileConfig,
    how: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strips, "_STRIP_BYTES", 3_000)
    pixels = noise(3, 60, 60, how.get("dtype", "uint8"))
    if pixels.dtype.kind == "f":
        pixels[1, 5:9, 7] = np.nan
    hole = np.full((60, 60), 255, np.uint8)
    hole[10:13, 10:14] = 0
    profile: dict[str, Any] = {}
    if how.get("alpha"):
        pixels, profile = np.concatenate([pixels, hole[None]]), {"alpha": "yes"}
    if how.get("mask"):
        profile = {"mask": hole}
    if how.get("dtype"):
        shutil.rmtree(project / "scenes")
    write_scene("root/scenes/c.tif", pixels, **profile)
    cut_, virtual = both(project, config)
    assert virtual.table().equals(cut_.table())
    assert virtual.fingerprint == cut_.fingerprint
    stored = {name for name in content(project / "tiles") if not name.endswith(("json", "pixels.npy"))}
    assert stored == {name for name in content(project / "virtual") if not name.endswith("json")}
    assert any(name.endswith("valid.npy") for name in stored)
    for dense in (0, 4, 10**9):  # windows only, either, strips only
        monkeypatch.setattr(sources, "_DENSE", dense)
        virtual = TileSet.open(virtual.path)
        for ids in (np.arange(len(cut_)), np.random.default_rng(0).integers(0, len(cut_), 40), np.array([5])):
            assert virtual.pixels(ids).tobytes() == cut_.pixels(ids).tobytes()
            assert (virtual.valid(ids) == cut_.valid(ids)).all()
    virtual = TileSet.open(virtual.path)
    for own, other in zip(virtual.parts, cut_.parts, strict=True):
        for start in range(0, own.count, 7):
            rows = slice(start, start + 7)
            assert own.filled(rows).tobytes() == other.filled(rows).tobytes()
            assert own.raw(rows).tobytes() == other.raw(rows).tobytes()


def test_little_is_held_and_nothing_is_lost(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "_STRIP_BYTES", 3_000)
    monkeypatch.setattr(sources, "_OPEN_SCENES", 1)
    monkeypatch.setattr(sources, "_STRIPS_BYTES", 1)
    cut_, virtual = both(project)
    ids = np.random.default_rng(0).permutation(len(cut_))
    assert (virtual.pixels(ids) == cut_.pixels(ids)).all()
    source = virtual.parts[0].source
    assert source is not None
    assert (len(source.held._scenes), len(source.held._strips)) == (1, 1)


def test_in_order_each_row_is_read_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "_STRIP_BYTES", 3_000)
    _, virtual = both(project)
    rows: list[int] = []
    raw = Scene.raw

    def counted(scene: Scene, row0: int, row1: int, col0: int, col1: int) -> np.ndarray:
        rows.extend(range(row0, row1))
        return raw(scene, row0, row1, col0, col1)

    monkeypatch.setattr(Scene, "raw", counted)
    part = virtual.parts[0]
    for start in range(0, part.count, 5):
        part.filled(slice(start, start + 5))
    assert rows == list(range(96))
    rows.clear()
    for start in range(0, part.count, 32):  # as a training set goes to the device
        virtual.pixels(np.arange(start, min(start + 32, part.count)))
    assert len(rows) <= 96


def test_vectors_triplets_and_weights_are_the_same_bytes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(project)
    encoder = model(project)
    for name in ("tiles", "virtual"):
        tiles = TileSet.open(project / name)
        drawn = triplets.draw(tiles, TripletConfig(count=200, neighborhood_m=150))
        triplets.save(project / f"{name}.triplets", drawn)
        embed(project / name, encoder, project / f"{name}-vectors", FP32, workers=1)
        embed(project / name, encoder, project / f"{name}.parquet", FP32, workers=1)
        options = TrainConfig(
            encoder="small", place=False, dim=4, steps=3, epochs=None, batch_size=16, device="cpu"
        )
        for trained, free in (("resident", 1 << 40), ("streamed", 0)):
            monkeypatch.setattr(batches, "free_memory", lambda _device, free=free: free)
            train(project / f"{name}.triplets", project / name, project / f"{name}-{trained}", options)
    for made in ("-vectors", "-resident/model.safetensors", "-streamed/model.safetensors"):
        one, other = (project / f"{name}{made}" for name in ("tiles", "virtual"))
        if one.is_dir():
            assert content(one) == content(other)
        else:
            assert one.read_bytes() == other.read_bytes()
    assert (project / "tiles.parquet").read_bytes() == (project / "virtual.parquet").read_bytes()
    assert (project / "tiles.triplets").read_bytes() == (project / "virtual.triplets").read_bytes()


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_the_same_bytes(project: Project, name: str) -> None:
    ids, architecture = np.arange(60), Architecture("small", 4)
    one, other = (BASELINES[name](tiles, ids, 0, architecture).tobytes() for tiles in both(project))
    assert one == other


# --- the two kinds do not mix ------------------------------------------------------------------


def test_one_becomes_the_other_with_overwrite_alone(project: Project) -> None:
    both(project)
    encoder = model(project)
    shutil.copytree(project / "virtual", project / "set")
    embed(project / "set", encoder, project / "vectors", FP32, workers=1)
    with pytest.raises(DataError, match=r"made with virtual = True; this run has False.*--overwrite"):
        tile(project, "set")
    assert tile(project, "set", overwrite=True).made == 2
    assert content(project / "set") == content(project / "tiles")
    assert embed(project / "set", encoder, project / "vectors", FP32, workers=1).made == 0
    with pytest.raises(DataError, match="made with virtual = False; this run has True"):
        cut([str(project / "scenes" / "a.tif")], project / "set", replace(CONFIG, virtual=True))


def test_a_run_that_is_killed_in_between_leaves_no_mixture(project: Project) -> None:
    both(project)
    shutil.copy(project / "tiles" / "manifest.json", project / "virtual")
    with pytest.raises(DataError, match="holds no tiles"):
        TileSet.open(project / "virtual")
    shutil.copytree(project / "tiles/parts/a", project / "virtual/parts/a", dirs_exist_ok=True)
    assert TileSet.open(project / "virtual").scenes == ["a"]
    shutil.copytree(project / "virtual", project / "set")
    tile(project, "set")
    assert content(project / "set") == content(project / "tiles")


def test_sets_of_before_there_was_a_choice_have_pixels(project: Project) -> None:
    both(project)
    path = project / "tiles" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["settings"]["virtual"]
    path.write_text(json.dumps(manifest))
    assert tile(project, "tiles").made == 0


def test_again_nothing_and_only_what_is_new(project: Project, write_scene: SceneWriter, noise: Noise) -> None:
    both(project)
    before = content(project)
    assert tile(project, "virtual").made == 0
    assert content(project) == before
    write_scene("root/scenes/d.tif", noise(3, 20, 20))
    assert tile(project, "virtual").made == 1
    os.utime(project / "scenes" / "a.tif", (1, 1))
    assert tile(project, "virtual").made == 0
    TileSet.open(project / "virtual").pixels(np.arange(100))

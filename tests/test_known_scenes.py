"""Scenes that a tile set knows: done once, cut again where they changed, refused where they are others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SceneWriter
from cuts import check_against_rasterio, content, paths

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.scenes import open_scene
from tile2vec_cli.tiling import planning, tile_parts
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]


def test_a_changed_scene_is_cut_again(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "PART_BYTES", 2_000)
    a, out, config = write_scene("a.tif", noise(1, 120, 40)), tmp_path / "out", TileConfig(size=20)
    cut(paths(a), out, config)
    write_scene("a.tif", noise(1, 100, 40))
    assert cut(paths(a), out, config).made > 1
    cut(paths(a), tmp_path / "afresh", config)
    assert content(out) == content(tmp_path / "afresh")
    check_against_rasterio(TileSet.open(out), {"a": a})


def test_other_settings_are_refused_unless_overwritten(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    a, b = (write_scene(name, noise(1, 40, 40 + k)) for k, name in enumerate(("a.tif", "b.tif")))
    out = tmp_path / "out"
    cut(paths(a, b), out, TileConfig(size=20))
    before = content(out)
    with pytest.raises(DataError, match=r"size = 20; this run has 10.*--overwrite"):
        cut(paths(a), out, TileConfig(size=10))
    assert content(out) == before
    cut(paths(a), out, TileConfig(size=10), overwrite=True)
    tiles = TileSet.open(out)
    assert tiles.size == 10
    assert tiles.scenes == ["a"]


def test_two_scenes_of_one_name_are_refused(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> None:
    first, second = write_scene("x/a.tif", noise(1, 40, 40)), write_scene("y/a.tif", noise(1, 40, 40) // 2)
    third = write_scene("b.tif", noise(1, 40, 40))
    report = cut(paths(first, second, third), tmp_path / "out", TileConfig(size=20))
    assert [f.name for f in report.failed] == paths(first, second)  # neither is the right one
    assert [f.exit_code for f in report.failed] == [65, 65] and report.made == 1
    cut(paths(first), tmp_path / "out", TileConfig(size=20))
    for scenes in (paths(second), paths(first, second)):
        report = cut(scenes, tmp_path / "out", TileConfig(size=20))
        assert [f.name for f in report.failed] == paths(second)
        assert "same name" in report.failed[0].message and "--name-by path" in report.failed[0].message
    first.unlink()  # moved, not another
    assert not cut(paths(second), tmp_path / "out", TileConfig(size=20)).failed


def test_a_scene_that_changes_under_the_reader_is_refused(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    scene = write_scene("a.tif", noise(1, 40, 40))
    with open_scene(str(scene)) as opened:
        (plan,) = planning.plans(opened, "a", TileConfig(size=20))
    write_scene("a.tif", noise(1, 40, 60))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="changed while it was read"):
        tile_parts.cut(
            plan, lambda _: None, folder=tmp_path / "out", config=TileConfig(size=20), settings="", aoi=None
        )
    assert not list((tmp_path / "out").iterdir())

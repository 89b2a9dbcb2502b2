"""Many small scenes: each opened once, some looked at and cut before the next, with the same outcome."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from conftest import SceneWriter
from cuts import check_against_rasterio, content, paths

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.geo import rasters
from tile2vec_cli.geo.scenes import Scene
from tile2vec_cli.tiling import cutting, planning
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]
CONFIG = TileConfig(size=20)
CHIP_BYTES = 4 * 50 * 50


@pytest.fixture
def chips(write_scene: SceneWriter, noise: Noise) -> list[Path]:
    """Seven chips of four tiles and four bands, the last tagged alpha; the third has a fill value."""
    how: dict[str, Any] = {"photometric": "RGB", "alpha": "YES"}
    fills = [None, None, 200, None, None, None, None]
    return [
        write_scene(f"chips/{name}.tif", noise(4, 50, 50), nodata=fill, **how)
        for name, fill in zip("abcdefg", fills, strict=True)
    ]


@pytest.fixture
def two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_HELD_BYTES", 2 * CHIP_BYTES)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the rasters that are opened."""
    names: list[str] = []
    really = rasters.open_dataset

    def open_dataset(path: str, *rest: Any, **how: Any) -> Any:
        names.append(Path(path).stem)
        return really(path, *rest, **how)

    monkeypatch.setattr(rasters, "open_dataset", open_dataset)
    return names


@pytest.mark.usefixtures("two_at_a_time")
@pytest.mark.parametrize("workers", [1, 2])
def test_each_small_scene_is_opened_once(
    tmp_path: Path, chips: list[Path], opened: list[str], workers: int
) -> None:
    config = TileConfig(size=20, min_valid=0.9)
    cut(paths(*chips), tmp_path / "out", config, workers=workers)
    assert opened == list("aabcdefg")  # the first one also for the manifest
    tiles = TileSet.open(tmp_path / "out")
    assert (tiles.valid(np.arange(len(tiles))).mean() < 1, len(tiles)) == (True, 28)
    check_against_rasterio(tiles, {path.stem: path for path in chips})
    opened.clear()
    assert cut(paths(*chips), tmp_path / "out", config, workers=workers).made == 0
    assert opened == []


@pytest.mark.usefixtures("two_at_a_time")
def test_nothing_is_read_ahead_outside_an_area(tmp_path: Path, chips: list[Path], opened: list[str]) -> None:
    """Those who read when they are cut make the same parts."""
    area = tmp_path / "area.geojson"
    area.write_text(shapely.to_geojson(shapely.box(-180, -85, 180, 85)))
    cut(paths(*chips), tmp_path / "area", CONFIG, aoi=area)
    assert sorted(opened) == sorted("a" + "abcdefg" * 2)
    cut(paths(*chips), tmp_path / "all", CONFIG)
    for name in ("pixels.npy", "tiles.parquet"):
        found = [content(tmp_path / out)[f"parts/c/{name}"] for out in ("area", "all")]
        assert found[0] == found[1]


def test_some_at_a_time_come_to_the_same_as_all(
    tmp_path: Path, chips: list[Path], write_scene: SceneWriter, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures too, in the same order: of one while it is looked at, of others while they are cut."""
    bad = write_scene("chips/bad.tif", noise(1, 50, 50))
    cut_short = [write_scene(f"chips/short_{k}.tif", noise(4, 50, 50), photometric="RGB") for k in (1, 2)]
    for path in cut_short:
        path.write_bytes(path.read_bytes()[:-6000])
    given = paths(cut_short[0], *chips[:3], bad, *chips[3:], cut_short[1])
    given = [*given[1:2], given[0], *given[2:]]
    found = {}
    for held in (1, 2 * CHIP_BYTES, planning._HELD_BYTES):
        monkeypatch.setattr(planning, "_HELD_BYTES", held)
        out = tmp_path / str(held)
        found[held] = cut(given, out, CONFIG), content(out)
    first, *others = found.values()
    assert all(other == first for other in others)
    assert [Path(failure.name).stem for failure in first[0].failed] == ["bad", "short_1", "short_2"]
    assert first[0].made == 7
    assert "rows 0 to 40 cannot be read" in str(first[0].failed[1].error())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_small_scene_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, chips: list[Path], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    hold = planning._hold

    def changing(scene: Scene, config: TileConfig) -> None:
        steps = [lambda: hold(scene, config), lambda: os.utime(scene.path, (1, 1))]
        for step in steps if when == "after" else reversed(steps):
            step()

    monkeypatch.setattr(planning, "_hold", changing)
    report = cut(paths(*chips[:2]), tmp_path / "out", CONFIG)
    assert report.made == 0
    assert all("changed while it was read" in str(failure.error()) for failure in report.failed)
    assert list((tmp_path / "out" / "parts").iterdir()) == []


@pytest.mark.usefixtures("two_at_a_time")
def test_progress_takes_scenes_to_come_to_be_like_those_before(tmp_path: Path, chips: list[Path]) -> None:
    seen: list[tuple[int, int]] = []
    cut(paths(*chips), tmp_path / "out", CONFIG, on_progress=lambda *now: seen.append(now))
    assert seen == [(4 * number, 28) for number in range(1, 8)]
    seen.clear()
    with_old = [*chips, *(chips[0].with_name(f"new_{k}.tif") for k in (1, 2))]
    for path in with_old[7:]:
        path.write_bytes(chips[0].read_bytes())
    cut(paths(*with_old), tmp_path / "out", CONFIG, on_progress=lambda *now: seen.append(now))
    assert seen == [(4, 8), (8, 8)]


def test_more_threads_cut_what_is_read_already(
    tmp_path: Path, chips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    each = cutting.work.each

    def noting(*units: Any, workers: int, **how: Any) -> Any:
        asked.append(workers)
        return each(*units, workers=workers, **how)

    monkeypatch.setattr(cutting.work, "each", noting)
    cut(paths(*chips), tmp_path / "out", CONFIG, workers=2)
    assert asked == [1, 2 + cutting._WAITING]  # the first to look at them

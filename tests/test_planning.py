"""Scenes looked at many at a time: as one after the other, whichever is done first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import SceneWriter
from cuts import content, paths

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.tiling import planning
from tile2vec_cli.tiling.cutting import cut

Noise = Callable[..., np.ndarray]


@pytest.fixture
def scenes(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> list[str]:
    """Six scenes: the second has no such bands, the fourth is missing."""
    good = [write_scene(f"{name}.tif", noise(2, 40, 40)) for name in "acef"]
    bad = write_scene("b.tif", noise(1, 40, 40))
    return paths(good[0], bad, good[1], tmp_path / "d.tif", *good[2:])


@pytest.fixture
def as_from_afar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are looked at together or none is, and the earlier one takes longer."""
    both, ask = threading.Barrier(2, timeout=10), planning.exists

    def slow(path: str) -> None:
        both.wait()
        time.sleep(0.05 * (Path(path).stem in "ace"))
        ask(path)

    monkeypatch.setattr(planning, "is_remote", lambda _path: True)
    monkeypatch.setattr(planning, "exists", slow)


def test_the_order_is_that_of_the_scenes(
    tmp_path: Path, scenes: list[str], request: pytest.FixtureRequest
) -> None:
    one = cut(scenes, tmp_path / "one", TileConfig(size=20))
    request.getfixturevalue("as_from_afar")
    many = cut(scenes, tmp_path / "many", TileConfig(size=20))
    assert [Path(failure.name).name for failure in many.failed] == ["b.tif", "d.tif"]
    assert many == one
    assert many.made == 4
    assert content(tmp_path / "many") == content(tmp_path / "one")
    assert cut(scenes, tmp_path / "many", TileConfig(size=20)).made == 0


@pytest.mark.usefixtures("as_from_afar")
def test_a_strict_run_names_the_first_bad_scene(tmp_path: Path, scenes: list[str]) -> None:
    with pytest.raises(DataError, match=r"b\.tif: has 1 bands"):
        cut(scenes, tmp_path / "out", TileConfig(size=20), strict=True)
    first = [scenes[0], scenes[3], *scenes[1:3]]
    with pytest.raises(InputError, match=r"d\.tif: no such file"):
        cut(first, tmp_path / "out", TileConfig(size=20), strict=True)

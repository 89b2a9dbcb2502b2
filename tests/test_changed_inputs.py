"""Inputs and outputs that change between two runs of the same commands, one kind of change at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from conftest import SceneWriter
from cuts import content
from projects import write_model

from tile2vec_cli.api.checking import check
from tile2vec_cli.config.pipeline import EmbedConfig, TileConfig
from tile2vec_cli.embedding.inference import EmbedReport, embed
from tile2vec_cli.errors import DataError
from tile2vec_cli.tiling.cutting import TileReport, cut
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]

CONFIG = TileConfig(size=10, min_valid=0.5)


@pytest.fixture
def project(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> Path:
    """scenes/ with a.tif, b.tif and c.tif, which have a mask; their tiles and vectors; a model."""
    for number, name in enumerate("abc"):
        pixels = noise(2, 40, 30 + number)
        pixels[0, 3, 4] = 255
        write_scene(f"scenes/{name}.tif", pixels, nodata=255)
    write_model(tmp_path / "model", bands=2)
    assert (tile(tmp_path).made, vectors(tmp_path).made) == (3, 3)
    return tmp_path


def tile(project: Path, config: TileConfig = CONFIG, **options: Any) -> TileReport:
    scenes = sorted(str(path) for path in (project / "scenes").iterdir())
    return cut(scenes, project / "tiles", config, **options)


def vectors(project: Path, model: str = "model", out: str = "vectors") -> EmbedReport:
    return embed(project / "tiles", project / model, project / out, EmbedConfig(device="cpu"), workers=1)


def test_nothing_has_changed(project: Path) -> None:
    before = content(project)
    assert (tile(project).made, vectors(project).made) == (0, 0)
    assert content(project) == before


def test_a_scene_is_added(project: Path, write_scene: SceneWriter, noise: Noise) -> None:
    before = content(project)
    write_scene("scenes/d.tif", noise(2, 20, 20))
    report = tile(project)
    assert (report.made, report.parts, report.tiles, vectors(project).made) == (1, 4, 40, 1)
    assert before.items() <= content(project).items()
    assert TileSet.open(project / "tiles").scenes == ["a", "b", "c", "d"]


def test_a_scene_is_rewritten(project: Path, write_scene: SceneWriter, noise: Noise) -> None:
    before = content(project)
    write_scene("scenes/b.tif", noise(2, 50, 31))
    assert (tile(project).made, vectors(project).made) == (1, 1)
    changed = {name for name, bytes_ in content(project).items() if before.get(name) != bytes_}
    assert {name.split("/")[2] for name in changed if name.startswith("tiles/")} == {"b"}
    assert {name for name in changed if name.startswith("vectors/")} == {"vectors/b.parquet"}
    assert "tiles/parts/b/valid.npy" not in content(project)  # the old one's mask is not the new one's


def test_a_scene_is_touched(project: Path) -> None:
    """It is read again, since that might be a change; the tiles are the same, and so all stays."""
    before = content(project / "tiles")
    os.utime(project / "scenes" / "b.tif", (1, 1))
    assert (tile(project).made, vectors(project).made) == (0, 0)
    changed = {name for name, bytes_ in content(project / "tiles").items() if before.get(name) != bytes_}
    assert changed == {"parts/b/part.json"}  # for which it need not be read once more


def test_a_scene_is_removed(project: Path) -> None:
    """What was made of it stays: a scene that has been archived is no reason to lose its vectors."""
    before = content(project)
    (project / "scenes" / "b.tif").unlink()
    assert (tile(project).made, vectors(project).made) == (0, 0)
    assert content(project) == {name: b for name, b in before.items() if name != "scenes/b.tif"}


def test_a_scene_is_renamed(project: Path) -> None:
    """A new name is a new scene, since names are in the tiles' ids; the old tiles stay as they were."""
    before = content(project)
    (project / "scenes" / "b.tif").rename(project / "scenes" / "z.tif")
    assert (tile(project).made, vectors(project).made) == (1, 1)
    after = content(project)
    assert {n: b for n, b in before.items() if not n.startswith("scenes/")}.items() <= after.items()
    assert after["tiles/parts/b/pixels.npy"] == after["tiles/parts/z/pixels.npy"]


def test_a_model_is_trained_anew(project: Path) -> None:
    """Vectors of the old one are made anew; those of a model of another place are not replaced, nor is
    one file, which does not say where its model lies."""
    vectors(project, out="vectors.parquet")
    shutil.rmtree(project / "model")
    write_model(project / "model", bands=2, seed=1)
    assert (vectors(project).made, vectors(project).made) == (3, 0)
    before = content(project)
    shutil.copytree(project / "model", project / "moved")
    assert vectors(project, "moved").made == 0
    write_model(project / "other", bands=2, seed=2)
    for model, out in (("other", "vectors"), ("model", "vectors.parquet")):
        with pytest.raises(DataError, match="made with model = "):
            vectors(project, model, out)
    assert before.items() <= content(project).items()


@pytest.mark.parametrize("name", ["pixels.npy", "valid.npy", "tiles.parquet", "part.json"])
@pytest.mark.parametrize("harm", ["deleted", "cut short", "edited", "emptied"])
def test_a_file_of_a_part_is_harmed(project: Path, name: str, harm: str) -> None:
    before = content(project / "tiles")
    path = project / "tiles" / "parts" / "b" / name
    whole = path.read_bytes()
    if harm == "deleted":
        path.unlink()
    elif harm == "edited":
        place = whole.rindex(b"1")
        path.write_bytes(whole[:place] + b"2" + whole[place + 1 :])
    else:
        path.write_bytes(whole[: len(whole) // 2 if harm == "cut short" else 0])
    found = check(project / "tiles")
    assert [failure.name for failure in found.failed] == [str(path.parent)]
    assert found.failed[0].exit_code in (65, 66)
    assert name in found.failed[0].message
    assert tile(project).made == 1
    assert content(project / "tiles") == before
    assert not check(project / "tiles").failed
    assert vectors(project).made == 0


@pytest.mark.parametrize("harm", ["cut short", "emptied", "without settings"])
def test_the_manifest_is_harmed(project: Path, harm: str) -> None:
    before = content(project / "tiles")
    path = project / "tiles" / "manifest.json"
    whole = path.read_bytes()
    harmed = {"cut short": whole[:100], "emptied": b"", "without settings": whole.replace(b"settings", b"_")}
    path.write_bytes(harmed[harm])
    with pytest.raises(DataError, match=r"manifest\.json"):
        tile(project)
    assert tile(project, overwrite=True).made == 0
    assert content(project / "tiles") == before


def test_a_part_and_its_vectors_are_deleted(project: Path) -> None:
    before = content(project)
    shutil.rmtree(project / "tiles" / "parts" / "b")
    (project / "vectors" / "b.parquet").unlink()
    assert (tile(project).made, vectors(project).made) == (1, 1)
    assert content(project) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 9),
        ("stride", 5),
        ("bands", (2, 1)),
        ("alpha", "data"),
        ("min_valid", 1.0),
        ("nodata", 3.0),
        ("snap", True),
        ("aoi", None),
    ],
)
def test_each_setting_is_named_where_it_differs(project: Path, name: str, value: Any) -> None:
    before = content(project)
    options, config = {}, CONFIG
    if name == "aoi":
        area = geopandas.GeoSeries([shapely.box(499_000, 4_399_800, 500_150, 4_401_000)], crs="EPSG:32614")
        area.to_file(project / "area.gpkg")
        options, before = {"aoi": project / "area.gpkg"}, content(project)
    else:
        # A stride that is not given follows the size: the size is named, which comes first.
        config = replace(CONFIG, **{name: value})
    with pytest.raises(DataError) as caught:
        tile(project, config, **options)
    message = str(caught.value)
    assert f"{project / 'tiles'}: made with {name} = " in message
    assert "; this run has " in message and "--overwrite" in message and "\n" not in message
    assert content(project) == before
    tile(project, config, **options, overwrite=True)
    assert not check(project / "tiles").failed
    with pytest.raises(DataError, match=f"made with {name} = "):
        tile(project)

"""Which scenes a command line means, and that one scene is one, however it is spelled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import SceneWriter
from cuts import content

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError
from tile2vec_cli.geo.scene_lists import choose
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.cutting import TileReport
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.workers.work import Shard

Noise = Callable[..., np.ndarray]
SCENE = "T14TNL_20210513T170901"
BANDS = ("B02_10m", "B03_10m", "B11_20m")


@pytest.fixture
def project(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> Path:
    """proj/s2: two scenes of Sentinel-2, a file a band, and a file of classes for one of them."""
    for scene in (SCENE, SCENE.replace("0513", "0612")):
        for band in BANDS:
            metres = int(band[-3:-1])
            grid = rasterio.transform.from_origin(500_000, 4_400_000, metres, metres)
            pixels = noise(1, 400 // metres, 600 // metres, "uint16")
            write_scene(f"proj/s2/{scene}_{band}.tif", pixels, transform=grid)
    write_scene(f"proj/s2/{SCENE}_SCL_20m.tif", noise(1, 20, 30))
    return tmp_path / "proj"


def cut(project: Path, *arguments: str, out: str = "tiles", **options: object) -> TileReport:
    """`tile` of these arguments, or of the folder s2 in stacks."""
    stack = None if arguments else ("B03", "B11")
    shard, virtual = options.pop("shard", None), bool(options.pop("virtual", False))
    chosen = choose(arguments or [str(project / "s2")], stack=stack, **options)  # type: ignore[arg-type]
    config = TileConfig(size=10, stack=stack, virtual=virtual)
    return cutting.cut(chosen.scenes, project / out, config, names=chosen.names, shard=shard)  # type: ignore[arg-type]


def test_stacks_are_scenes(project: Path) -> None:
    chosen = choose([str(project / "s2")], stack=("B03", "B11"))
    assert list(chosen.names.values()) == [SCENE, SCENE.replace("0513", "0612")]
    assert list(chosen.left_out.values()) == [3]
    assert (cut(project).made, cut(project).made, cut(project, virtual=True, out="virtual").made) == (2, 0, 2)
    tiles, virtual = TileSet.open(project / "tiles"), TileSet.open(project / "virtual")
    everything = np.arange(len(tiles))
    assert len(tiles) == 2 * 4 * 6
    assert (tiles.pixels(everything) == virtual.pixels(everything)).all()
    assert str(tiles.datetime[0]).startswith("2021-05-13")
    with rasterio.open(project / "s2" / f"{SCENE}_B11_20m.tif") as source:
        expected = np.kron(source.read(1), np.ones((2, 2), np.uint16))
    rows, cols = (tiles.table()[name].to_pylist()[9] for name in ("row", "col"))
    assert (tiles.pixels(np.array([9]))[0, 1] == expected[rows : rows + 10, cols : cols + 10]).all()
    for index in (2, 1):
        cut(project, out="sharded", shard=Shard(index, 2))
    assert content(project / "sharded") == content(project / "tiles")


def test_any_band_that_changes_changes_the_scene(project: Path, noise: Noise) -> None:
    cut(project)
    path = project / "s2" / f"{SCENE}_B11_20m.tif"
    os.utime(path, (1, 1))
    assert cut(project).made == 0
    with rasterio.open(path, "r+") as target:
        target.write(noise(1, 20, 30, "uint16") + 1)
    assert cut(project).made == 1
    path.unlink()
    report = cut(project)
    assert (report.made, [failure.exit_code for failure in report.failed]) == (0, [66])
    assert f"{SCENE}.tif: has no file of band B11 ({path.parent}/" in report.failed[0].message


def test_other_bands_are_other_settings(project: Path) -> None:
    cut(project)
    for config in (TileConfig(size=10, stack=("B03", "B02")), TileConfig(size=10)):
        chosen = choose([str(project / "s2")], stack=config.stack)
        with pytest.raises(DataError, match=r"made with stack = \['B03', 'B11'\]; this run has"):
            cutting.cut(chosen.scenes, project / "tiles", config, names=chosen.names)


def test_single_bands_are_noticed(project: Path, write_scene: SceneWriter, noise: Noise) -> None:
    (remark,) = choose([str(project / "s2")]).remarks
    assert f"{project / 's2'}" in remark and "2 scenes" in remark and "--stack B02,B03,B11" in remark
    with pytest.raises(DataError, match=r"--stack B2,B3: .* Did you mean --stack B02,B03,B11"):
        choose([str(project / "s2")], stack=("B2", "B3"))
    for name in ("several/x_B1.tif", "several/x_B2.tif"):
        write_scene(name, noise(2, 4, 4))
    assert not choose([str(project.parent / "several")]).remarks  # no single bands, whatever they are called


# --- one scene, however it is spelled -------------------------------------------------------------


@pytest.fixture
def scenes(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> Path:
    """proj/ with a/x.tif and b/y.tif, both cut."""
    write_scene("proj/a/x.tif", noise(1, 40, 40))
    write_scene("proj/b/y.tif", noise(1, 40, 40))
    assert cut(tmp_path / "proj", *paths(tmp_path / "proj")).made == 2
    return tmp_path / "proj"


def paths(project: Path) -> list[str]:
    return [f"{project}/a/x.tif", f"{project}/b/y.tif"]


def test_links_lead_to_the_same_scene(scenes: Path, tmp_path: Path) -> None:
    before = content(scenes / "tiles")
    (tmp_path / "link").symlink_to(scenes)
    (scenes / "latest.tif").symlink_to(scenes / "a" / "x.tif")
    assert cut(scenes, *paths(tmp_path / "link")) == cut(scenes, *paths(scenes))
    report = cut(tmp_path / "link", f"{scenes}/latest.tif", *paths(tmp_path / "link"))
    assert (report.made, report.parts, report.failed) == (0, 2, [])
    assert content(scenes / "tiles") == before
    chosen = choose([f"{scenes}/latest.tif", *paths(scenes), *paths(tmp_path / "link")])
    assert list(chosen.names.values()) == ["latest", "y"]
    assert chosen.left_out == {"other paths of the same file": 3}


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("how", ["moved", "copied", "copied with new times"])
def test_the_project_is_elsewhere(scenes: Path, tmp_path: Path, virtual: bool, how: str) -> None:
    cut(scenes, *paths(scenes), out="set", virtual=virtual)
    pixels = TileSet.open(scenes / "set").pixels(np.arange(8))
    moved = tmp_path / "elsewhere"
    if how == "moved":
        scenes.rename(moved)
    else:
        shutil.copytree(scenes, moved)
    for path in paths(moved) if how == "copied with new times" else ():
        os.utime(path, (1, 1))
    before = content(moved / "set")
    for _ in range(2):
        report = cut(moved, *paths(moved), out="set", virtual=virtual)
        assert (report.made, report.failed) == (0, [])
    changed = {name for name, bytes_ in content(moved / "set").items() if before.get(name) != bytes_}
    assert {name.rpartition("/")[2] for name in changed} <= {"part.json"}
    assert (TileSet.open(moved / "set").pixels(np.arange(8)) == pixels).all()


def test_another_file_is_not_the_same_scene(
    scenes: Path, tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    """Of the same name, the same size, and the same time."""
    before = content(scenes / "tiles")
    other = write_scene("other/x.tif", noise(1, 40, 40) // 2)
    own = (scenes / "a" / "x.tif").stat()
    assert other.stat().st_size == own.st_size
    os.utime(other, ns=(own.st_atime_ns, own.st_mtime_ns))
    report = cut(scenes, str(other))
    assert [failure.exit_code for failure in report.failed] == [65]
    assert "--name-by path" in report.failed[0].message
    assert content(scenes / "tiles") == before
    report = cut(scenes, str(other), *paths(scenes), by_path=True)
    assert (report.made, report.failed) == (1, [])
    assert TileSet.open(scenes / "tiles").scenes == ["other/x", "x", "y"]


def test_names_by_path(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> None:
    for name in ("s/top.tif", "s/kansas/m.tif", "s/texas/m.tif", "s/texas/2020/m.tif", "t/kansas/m.tif"):
        write_scene(name, noise(1, 20, 20))
    names = choose([f"{tmp_path}/s"], recursive=True, by_path=True).names
    assert sorted(names.values()) == ["kansas/m", "s/top", "texas/2020/m", "texas/m"]
    names = choose([f"{tmp_path}/s/kansas", f"{tmp_path}/s/texas/m.tif"], by_path=True).names
    assert list(names.values()) == ["kansas/m", "texas/m"]
    names = choose([f"{tmp_path}/{k}/kansas" for k in "st"], by_path=True).names
    assert list(names.values()) == ["s/kansas/m", "t/kansas/m"]
    chosen = choose([f"{tmp_path}/s"], recursive=True, by_path=True)
    config = TileConfig(size=10)
    assert cutting.cut(chosen.scenes, tmp_path / "out", config, names=chosen.names).made == 4
    assert cutting.cut(chosen.scenes, tmp_path / "out", config, names=chosen.names).made == 0
    tiles = TileSet.open(tmp_path / "out")
    assert "texas/2020/m/10/0" in tiles.table()["tile_id"].to_pylist()
    assert (tmp_path / "out" / "parts" / "texas%2F2020%2Fm" / "pixels.npy").exists()

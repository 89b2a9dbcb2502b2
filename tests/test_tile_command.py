from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from conftest import Run, SceneWriter

Noise = Callable[..., np.ndarray]
Command = Callable[..., Run]


def test_report_and_streams(
    tile2vec: Command, tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    scene = write_scene("a.tif", noise(2, 70, 50))
    first = tile2vec("tile", scene, "--out", tmp_path / "out", "--size", 20, "--json")
    assert first.code == 0
    assert first.report["command"] == "tile"
    assert first.report["inputs"] == [str(scene)]
    assert first.report["outputs"] == [str(tmp_path / "out")]
    assert (first.report["tiles"], first.report["parts"], first.report["skipped"]) == (6, 1, {})
    assert first.report["failed"] == []
    again = tile2vec("tile", scene, "--out", tmp_path / "out", "--size", 20)
    assert again.code == 0
    assert "up to date" in again.err
    assert "6" in again.out


def test_options_reach_the_tiles(
    tile2vec: Command, tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    write_scene("in/a.tif", noise(3, 64, 64))
    write_scene("in/below/b.tif", noise(3, 64, 64))
    run = tile2vec(
        *("tile", tmp_path / "in", "--recursive", "--out", tmp_path / "out", "--size", 16, "--stride", 24),
        *("--bands", "2,1", "--workers", 2, "--json", "--quiet"),
    )
    assert run.report["tiles"] == 2 * 9
    assert run.err == ""
    run = tile2vec(
        "tile", "-", "--out", tmp_path / "out2", "--json", stdin=f"{tmp_path}/in/a.tif\n", cwd=tmp_path
    )
    assert run.report["tiles"] == 1


def test_a_link_to_nothing_in_a_folder_is_named(
    tile2vec: Command, tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    gone = write_scene("in/good.tif", noise(1, 50, 50)).with_name("a.tif")
    gone.symlink_to(tmp_path / "away.tif")
    run = tile2vec("tile", gone.parent, "--out", tmp_path / "out", "--json", "--quiet")
    assert (run.code, run.report["tiles"], run.report["failed"]) == (66, 1, [str(gone)])
    assert run.err.startswith(f"error: {gone}: no such file") and run.err.count("\n") == 1


def test_a_bad_scene_is_named_and_the_rest_is_made(
    tile2vec: Command, tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    good, bad = write_scene("good.tif", noise(1, 50, 50)), tmp_path / "bad.tif"
    bad.write_text("nothing")
    run = tile2vec("tile", bad, good, "--out", tmp_path / "out", "--json", "--quiet")
    assert run.code == 65
    assert run.report["tiles"] == 1
    assert run.report["failed"] == [str(bad)]
    assert run.err.startswith(f"error: {bad}: ")
    assert run.err.count("\n") == 1


def test_the_area_is_one_layer_of_a_file(
    tile2vec: Command, tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    scene, farms = write_scene("a.tif", noise(1, 40, 40)), tmp_path / "farms.gpkg"
    north, south = (shapely.box(500_000, 4_399_600 + k, 500_000 + 400 - k, 4_399_800 + k) for k in (200, 0))
    for name, shapes in (("north", [north, shapely.Point(500_000, 4_400_000)]), ("south", [south])):
        frame = geopandas.GeoDataFrame(geometry=shapes, crs="EPSG:32614")
        frame.to_file(farms, layer=name, mode="a" if farms.exists() else "w")
    command = ("tile", scene, "--out", tmp_path / "out", "--size", 10, "--aoi", farms)
    refused = tile2vec(*command)
    assert refused.code == 65
    assert (
        refused.err
        == f"error: {farms}: holds the layers north, south; one is needed. Choose it with --layer.\n"
    )
    chosen = tile2vec(*command, "--layer", "north", "--json")
    assert chosen.report["tiles"] == 4
    assert chosen.report["left_out"] == {"features without area": 1}
    assert f"{farms}: left out: features without area: 1\n" in chosen.err
    assert tile2vec("tile", scene, "--out", tmp_path / "out", "--layer", "x").code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["none.tif"], 66, "none.tif: no such file"),
        (["folder"], 66, "no rasters"),
        (["text.tif"], 65, "text.tif"),
        (["a.tif", "--size", "0"], 2, "--size 0"),
        (["a.tif", "--size", "1"], 2, "--size 1"),
        (["a.tif", "--stride", "0"], 2, "--stride 0"),
        (["a.tif", "--bands", "1,9"], 65, "no band 9"),
        (["a.tif", "--bands", "one"], 2, "--bands one"),
        (["a.tif", "--bands", "1,1"], 2, "twice"),
        (["a.tif", "--min-valid", "1.5"], 2, "--min-valid 1.5"),
        (["a.tif", "--min-valid", "nan"], 2, "--min-valid nan"),
        (["a.tif", "--alpha", "maybe"], 2, "--alpha maybe"),
        (["a.tif", "--aoi", "none.gpkg"], 66, "none.gpkg"),
        (["a.tif", "--aoi", "text.tif"], 65, "text.tif"),
        (["a.tif", "--shard", "4/3"], 2, "--shard 4/3"),
        (["a.tif", "--shard", "slurm"], 2, "SLURM_ARRAY_TASK_ID"),
        (["a.tif", "--workers", "0"], 2, "--workers 0"),
        (["a.tif", "--size", "500"], 65, "no tile is left"),
        (["a.tif", "--out", "text.tif"], 73, "text.tif"),
        ([], 2, "SCENES"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tile2vec: Command,
    tmp_path: Path,
    write_scene: SceneWriter,
    noise: Noise,
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    write_scene("a.tif", noise(2, 60, 60))
    (tmp_path / "text.tif").write_text("no raster")
    (tmp_path / "folder").mkdir()
    run = tile2vec("tile", "--out", "out", *arguments, cwd=tmp_path)
    assert run.code == code, run.err
    assert says in run.err
    assert run.out == ""
    assert code == 2 or run.err.count("\n") == 1
    assert not (tmp_path / "out" / "manifest.json").exists() or "no tile is left" in run.err

"""Maps: no seams, nothing invented where there is no data, whole COGs, and no work done twice."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import fields
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import torch
from rasterio.windows import Window
from rio_cogeo.cogeo import cog_validate
from segmented import SMALL, read, run, write_model

from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.errors import DataError, Interrupted, OutputError, UsageError
from tile2vec_cli.geo import scene_lists
from tile2vec_cli.geo.scenes import Scene
from tile2vec_cli.neural.device import choose
from tile2vec_cli.segmentation import mapping, segmenters
from tile2vec_cli.segmentation.unet import UNet


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene, its tile set, and a model that looks about but has learned nothing."""
    folder = tmp_path_factory.mktemp("land")
    fields.make(folder)
    write_model(folder, folder / "model", seed=0)
    return folder


def test_a_map_is_what_the_network_says_of_the_whole_scene(land: Path, tmp_path: Path) -> None:
    """Window by window gives what one window over all gives, and the grid stays the scene's."""
    scene = land / "scenes" / "land.tif"
    report = run([scene], land / "model", tmp_path)
    assert (report.scenes, report.made, report.pixels) == (1, 1, 192 * 192)
    segmenter, _ = segmenters.load(land / "model", torch.device("cpu"))
    with rasterio.open(scene) as source:
        pixels = source.read()
    valid = pixels[0] != fields.NODATA
    # The origin lies 3 columns behind a multiple of the stride of 4, and beyond the scene is no data.
    assert 500_010 / 30 % 4 == 3 and 4_400_040 / 30 % 4 == 0
    around = ((32, 32), (32 + 3, 32 + 1))
    whole = segmenters.probability(
        segmenter,
        np.pad(pixels, ((0, 0), *around))[None],
        np.pad(valid, around)[None],
        choose("cpu", "fp32"),
    )
    expected = whole[0, 32:-32, 35:-33]
    found = read(tmp_path / "land.probability.tif")
    assert np.isnan(found[~valid]).all()
    assert np.allclose(found[valid], expected[valid], atol=1e-5)
    classes = read(tmp_path / "land.tif")
    assert np.array_equal(classes == 255, ~valid)
    clear = valid & (np.abs(expected - 0.5) > 1e-4)
    assert np.array_equal(classes[clear] == 1, expected[clear] >= 0.5)
    assert 0.1 < (classes[valid] == 1).mean() < 0.9
    with rasterio.open(scene) as source, rasterio.open(tmp_path / "land.tif") as made:
        assert made.crs == source.crs and made.transform == source.transform


def test_a_crop_is_mapped_as_the_scene_is(land: Path, tmp_path: Path) -> None:
    """Wherever the crop begins: windows are laid by the map, not by the file."""
    scene = land / "scenes" / "land.tif"
    with rasterio.open(scene) as source:
        window = Window(37, 21, 120, 130)
        pixels, transform = source.read(window=window), source.window_transform(window)
    crop = fields.write(tmp_path / "crop.tif", pixels, fields.NODATA, transform)
    run([scene, crop], land / "model", tmp_path / "maps")
    whole = read(tmp_path / "maps" / "land.probability.tif")[21:151, 37:157]
    part = read(tmp_path / "maps" / "crop.probability.tif")
    reach = UNet(3, width=4, levels=3).reach
    deep = (slice(reach, -reach), slice(reach, -reach))
    assert np.allclose(whole[deep], part[deep], atol=1e-6, equal_nan=True)
    assert not np.allclose(whole, part, atol=1e-3, equal_nan=True)  # the edge knows less


def test_maps_are_valid_cogs_that_say_what_they_are(land: Path, tmp_path: Path) -> None:
    scene = fields.write(tmp_path / "big.tif", fields.bands(np.ones((600, 700), np.uint8)))
    run([scene], land / "model", tmp_path / "maps", MapConfig(probability=True))
    for name in ("big.tif", "big.probability.tif"):
        with rasterio.open(tmp_path / "maps" / name) as made:
            assert made.overviews(1)
            assert made.block_shapes == [(512, 512)]
            assert made.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert made.tags()["TILE2VEC_CLASS_1"] == "crop"
            assert len(made.tags()["TILE2VEC_MODEL"]) == 32
    with rasterio.open(tmp_path / "maps" / "big.tif") as made:
        assert made.dtypes == ("uint8",) and made.nodata == 255
        assert made.colormap(1)[1][:3] != made.colormap(1)[0][:3]
    for name in ("big.tif", "big.probability.tif"):
        assert cog_validate(str(tmp_path / "maps" / name)) == (True, [], [])


def test_new_and_changed_scenes_only(land: Path, tmp_path: Path) -> None:
    scenes = [tmp_path / "scenes" / name for name in ("a.tif", "b.tif")]
    for scene in scenes:
        scene.parent.mkdir(exist_ok=True)
        shutil.copy(land / "scenes" / "land.tif", scene)
    out = tmp_path / "maps"
    assert run(scenes[:1], land / "model", out, workers=2).made == 1
    first = (out / "a.tif").read_bytes()
    assert run(scenes, land / "model", out, workers=2).made == 1
    assert run(scenes, land / "model", out).made == 0
    os.utime(scenes[0], (1, 1))
    assert run(scenes, land / "model", out).made == 0  # the same bytes
    scenes[0].write_bytes(scenes[0].read_bytes() + b"\0")
    assert run(scenes, land / "model", out).made == 1
    assert read(out / "a.tif").tobytes() == read(out / "b.tif").tobytes()
    (out / "b.probability.tif").unlink()
    assert run(scenes, land / "model", out).made == 1
    assert len(first) and not list(out.glob(".tmp-*"))


def test_a_stack_is_mapped_as_one_file_is(land: Path, tmp_path: Path) -> None:
    scene, bands = land / "scenes" / "land.tif", ("b1", "b2", "b3")
    (tmp_path / "s").mkdir()
    with rasterio.open(scene) as source:
        for number, band in enumerate(bands, 1):
            with rasterio.open(
                tmp_path / "s" / f"land_{band}.tif", "w", **{**source.profile, "count": 1}
            ) as one:
                one.write(source.read(number), 1)
    chosen = scene_lists.choose([str(tmp_path / "s")], stack=bands, by_path=True)
    config = replace(SMALL, stack=bands)
    stacked = partial(
        mapping.run, chosen.scenes, land / "model", tmp_path / "maps", config, names=chosen.names
    )
    assert (stacked().made, stacked().made) == (1, 0)
    run([scene], land / "model", tmp_path / "whole")
    assert (read(tmp_path / "maps" / "s" / "land.tif") == read(tmp_path / "whole" / "land.tif")).all()
    os.utime(tmp_path / "s" / "land_b2.tif", (1, 1))
    assert stacked().made == 0
    twice = {f"{folder}/land.tif": "land" for folder in ("x", "y")}
    with pytest.raises(DataError, match=r"called land.*--name-by path"):
        mapping.run(list(twice), land / "model", tmp_path / "maps", SMALL, names=twice)


def test_shards_make_what_one_run_makes(land: Path, tmp_path: Path) -> None:
    scenes = [tmp_path / f"{name}.tif" for name in "abc"]
    for scene in scenes:
        shutil.copy(land / "scenes" / "land.tif", scene)
    for index in (1, 2):
        run(scenes, land / "model", tmp_path / "two", shard=mapping.Shard(index, 2))
    run(scenes, land / "model", tmp_path / "one")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_does_not_fit_is_named_on_both_sides(land: Path, tmp_path: Path) -> None:
    pixels = fields.bands(fields.truth(40))
    coarse = fields.from_origin(500_000, 4_400_000, 60, 60)
    bad = {
        "bands are 1, 2; the model is for bands 1, 2, 3": fields.write(tmp_path / "two.tif", pixels[:2]),
        "float32; the model is for int16": fields.write(tmp_path / "real.tif", pixels.astype(np.float32)),
        "the model is for 30": fields.write(tmp_path / "coarse.tif", pixels, transform=coarse),
    }
    good = fields.write(tmp_path / "good.tif", pixels)
    report = run([*bad.values(), good], land / "model", tmp_path / "maps")
    assert report.made == 1
    for failure, text in zip(report.failed, bad, strict=True):
        assert failure.exit_code == 65 and text in failure.message
    assert run(
        [bad["the model is for 30"]], land / "model", tmp_path / "maps", MapConfig(any_resolution=True)
    ).made
    with pytest.raises(DataError):
        run([next(iter(bad.values()))], land / "model", tmp_path / "maps", strict=True)


def test_other_files_and_other_models_maps_are_not_replaced(land: Path, tmp_path: Path) -> None:
    scene = land / "scenes" / "land.tif"
    write_model(land, tmp_path / "other", seed=1)
    out = tmp_path / "maps"
    run([scene], land / "model", out)
    report = run([scene], tmp_path / "other", out)
    assert report.failed[0].exit_code == 65 and "--overwrite" in report.failed[0].message
    before = read(out / "land.probability.tif")
    assert run([scene], tmp_path / "other", out, overwrite=True).made == 1
    assert not np.allclose(before, read(out / "land.probability.tif"), equal_nan=True)
    fields.write(out / "land.probability.tif", np.ones((3, 3), np.float32))
    for overwrite in (False, True):
        report = run([scene], tmp_path / "other", out, overwrite=overwrite)
        assert "is not a map of" in report.failed[0].message
    assert read(out / "land.probability.tif").shape == (3, 3)
    # A scene is never overwritten by its own map.
    report = run([scene], land / "model", scene, overwrite=True)
    assert report.failed


def test_one_file_for_one_scene(land: Path, tmp_path: Path) -> None:
    scene = land / "scenes" / "land.tif"
    report = run([scene], land / "model", tmp_path / "new" / "map.tif")
    assert report.maps == [str(tmp_path / "new" / "map.tif")]
    assert (tmp_path / "new" / "map.probability.tif").exists()
    with pytest.raises(UsageError, match="one file for 2 scenes"):
        run([scene, land / "labels.tif"], land / "model", tmp_path / "new" / "map.tif")


def test_a_scene_stays_open_while_it_is_read(
    land: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window is being read ahead when a signal comes in; GDAL reads no file that has been closed."""
    reading, stopped, seen = threading.Event(), threading.Event(), []
    read = Scene.read

    def slow(self: Scene, *window: int) -> Any:
        if seen and not stopped.is_set():  # the second window, or the third
            reading.set()
            stopped.wait(30)
            time.sleep(0.2)  # for whoever was stopped to go on
        found = read(self, *window)
        seen.append(self._source.closed)
        return found

    def stop(done: int, total: int) -> None:
        assert reading.wait(30)
        stopped.set()
        raise Interrupted

    monkeypatch.setattr(Scene, "read", slow)
    with pytest.raises(Interrupted):
        run([land / "scenes" / "land.tif"], land / "model", tmp_path, on_progress=stop)
    assert len(seen) >= 2 and not any(seen)


def test_a_gdal_that_gives_up_without_a_word(
    land: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_arguments: object, **_options: object) -> None:
        raise SystemError("Unknown GDAL Error")

    monkeypatch.setattr(rasterio.shutil, "copy", silent)
    with pytest.raises(OutputError, match=r"land.*tif: cannot be written"):
        run([land / "scenes" / "land.tif"], land / "model", tmp_path / "maps")
    assert not list((tmp_path / "maps").iterdir())


def test_another_precision_is_not_mixed_in_and_a_model_trained_anew_maps_anew(
    land: Path, tmp_path: Path
) -> None:
    scene, model, out = land / "scenes" / "land.tif", tmp_path / "model", tmp_path / "maps"
    write_model(land, model, seed=0)
    run([scene], model, out)
    with pytest.raises(DataError, match="made with window = 64; this run has 128"):
        run([scene], model, out, replace(SMALL, window=128), strict=True)
    first = read(out / "land.tif")
    shutil.rmtree(model)
    write_model(land, model, seed=1)
    assert [run([scene], model, out).made for _ in range(2)] == [1, 0]
    assert not np.array_equal(read(out / "land.tif"), first)

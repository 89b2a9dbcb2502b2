"""Scenes of one tile set, and of one model: the same bands by name, the same meaning of a number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fields
import numpy as np
import pytest
import rasterio
from conftest import Run, SceneWriter
from test_mapping import SMALL, read, write_model
from test_mapping import run as map_

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, Remark
from tile2vec_cli.neural import models
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]
NAMES = ("B02", "B03", "B04", "B08")
SMALL_TILES = TileConfig(size=10)


@pytest.fixture
def write_named(write_scene: SceneWriter, noise: Noise) -> Callable[..., Path]:
    """write_named("a.tif", names, scaling=(scale, offset)) -> a scene of four bands, or one a name."""

    def write(
        name: str, names: tuple[str | None, ...] = (), scaling: tuple[float, float] = (1, 0), **profile: Any
    ) -> Path:
        pixels = noise(len(names) or 4, 30, 30, "int16")
        path = write_scene(name, pixels, **profile)
        with rasterio.open(path, "r+") as target:
            for number, called in enumerate(names, 1):
                if called is not None:
                    target.set_band_description(number, called)
            if scaling != (1, 0):
                target.scales, target.offsets = (scaling[0],) * len(pixels), (scaling[1],) * len(pixels)
        return path

    return write


def cut(out: Path, *scenes: Path, config: TileConfig = SMALL_TILES) -> list[str]:
    """Cut the scenes; returns what was said of those that could not be."""
    return [failure.message for failure in cutting.cut([*map(str, scenes)], out, config).failed]


def test_bands_in_another_order_are_refused(write_named: Callable[..., Path], tmp_path: Path) -> None:
    first, other = write_named("first.tif", NAMES), write_named("other.tif", NAMES[::-1])
    (said,) = cut(tmp_path / "tiles", first, other)
    assert said.startswith(f"{other}: its bands are B08, B04, B03, B02; this tile set has B02, B03, B04, ")
    assert "--bands 4,3,2,1," in said
    assert TileSet.open(tmp_path / "tiles").band_names == NAMES
    assert not cut(tmp_path / "again", other, config=replace(SMALL_TILES, bands=(4, 3, 2, 1)))
    assert TileSet.open(tmp_path / "again").band_names == NAMES
    later = write_named("later.tif", ("B11", *NAMES))
    assert "--bands 2,3,4,5," in cut(tmp_path / "tiles", later)[0]


def test_without_names_there_is_nothing_to_compare(write_named: Callable[..., Path], tmp_path: Path) -> None:
    plain, named = write_named("plain.tif"), write_named("named.tif", NAMES)
    other = write_named("other.tif", ("B02", "B03", "B08", None))
    assert not cut(tmp_path / "tiles", plain)
    manifest = json.loads((tmp_path / "tiles" / "manifest.json").read_text())
    assert set(manifest) == {"format", "settings", "settings_fingerprint", "bands", "dtype"}
    assert [said.split(":")[0] for said in cut(tmp_path / "tiles", plain, named, other)] == [str(other)]
    assert not cut(tmp_path / "insisted", named, other, config=replace(SMALL_TILES, any_names=True))
    assert TileSet.open(tmp_path / "insisted").band_names == ()


def test_a_model_is_for_bands_of_these_names(write_named: Callable[..., Path], tmp_path: Path) -> None:
    first, other = write_named("first.tif", NAMES), write_named("other.tif", NAMES[::-1])
    cut(tmp_path / "tiles", first)
    cut(tmp_path / "others", other)
    cut(tmp_path / "put right", other, config=replace(SMALL_TILES, bands=(4, 3, 2, 1)))
    cut(tmp_path / "unnamed", write_named("plain.tif"))
    model = models.Description("encoder", {}, (1, 2, 3, 4), "int16", 10, {}, {}, {}, band_names=NAMES)
    path = tmp_path / "model"
    with pytest.raises(DataError, match=r"is B08, B04, B03, B02; .* B02, B03, B04, B08. .* --bands 4,3,2,1,"):
        models.require_fit(path, model, TileSet.open(tmp_path / "others"))
    for fitting in ("tiles", "put right", "unnamed"):
        models.require_fit(path, model, TileSet.open(tmp_path / fitting))
    models.require_fit(path, replace(model, band_names=()), TileSet.open(tmp_path / "others"))


def test_a_map_is_of_bands_of_these_names(tmp_path: Path) -> None:
    fields.make(tmp_path, 96)
    scene = tmp_path / "scenes" / "land.tif"
    with rasterio.open(scene, "r+") as target:
        target.descriptions = NAMES[:3]
        pixels = target.read()
    shutil.rmtree(tmp_path / "tiles")
    cutting.cut([str(scene)], tmp_path / "tiles", TileConfig(size=fields.SIDE, min_valid=0.25))
    write_model(tmp_path, tmp_path / "model", seed=0)
    assert models.describe(tmp_path / "model").band_names == NAMES[:3]
    turned = fields.write(tmp_path / "turned.tif", pixels[::-1], fields.NODATA)
    with rasterio.open(turned, "r+") as target:
        target.descriptions = NAMES[2::-1]
    report = map_([scene, turned], tmp_path / "model", tmp_path / "maps")
    assert [failure.exit_code for failure in report.failed] == [65]
    assert "its bands are B04, B03, B02; the model is for B02, B03, B04" in report.failed[0].message
    assert "--bands 3,2,1," in report.failed[0].message
    right = replace(SMALL, bands=(3, 2, 1))
    assert not map_([turned], tmp_path / "model", tmp_path / "put right", right).failed
    assert (read(tmp_path / "put right" / "turned.tif") == read(tmp_path / "maps" / "land.tif")).all()
    with pytest.raises(DataError, match=r"turned\.tif: made with bands = \[3, 2, 1\]"):
        map_([turned], tmp_path / "model", tmp_path / "put right", strict=True)
    insisting = replace(SMALL, any_names=True)
    assert not map_([turned], tmp_path / "model", tmp_path / "insisted", insisting).failed


def test_scale_and_offset_that_differ_are_said_once(write_named: Callable[..., Path], tmp_path: Path) -> None:
    before = write_named("before.tif", scaling=(1e-4, 0))
    after = [write_named(f"after{number}.tif", scaling=(1e-4, -0.1)) for number in range(2)]
    with pytest.warns(Remark) as said:
        cut(tmp_path / "tiles", before, *after)
    (text,) = (str(one.message) for one in said)
    assert f": 2 (scale 0.0001 offset -0.1 in {after[0]}, scale 0.0001 offset 0 there)" in text
    assert "--scaled" in text
    with pytest.warns(Remark, match=": 1 "):  # later, too
        cut(tmp_path / "tiles", before, write_named("last.tif"))
    cut(tmp_path / "alike", *after)
    cut(tmp_path / "applied", before, *after, config=replace(SMALL_TILES, scaled=True))


def test_a_nodata_value_that_pixels_cannot_hold_is_said_once(
    tile2vec: Callable[..., Run], write_scene: SceneWriter, noise: Noise, tmp_path: Path
) -> None:
    scenes = [write_scene(f"{name}.tif", noise(2, 20, 20)) for name in "ab"]
    arguments = ("tile", *scenes, "--size", 10, "--nodata", -9999, "--out")
    done = tile2vec(*arguments, tmp_path / "tiles", PYTHONWARNINGS="default")
    assert (done.code, done.err.count("-9999")) == (0, 1)
    assert f"2 (-9999 in {scenes[0]})" in done.err
    assert "Warning" not in done.err
    quiet = tile2vec(*arguments, tmp_path / "again", "--quiet", "--json", PYTHONWARNINGS="default")
    assert (quiet.err, quiet.report["tiles"]) == ("", 8)

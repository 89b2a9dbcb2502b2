"""Scenes into tile sets: against rasterio, window by window."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from conftest import SceneWriter, real
from cuts import check_against_rasterio, content, paths

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.tiling import planning
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.workers.work import Shard

Noise = Callable[..., np.ndarray]


@pytest.mark.parametrize(
    "config",
    [
        TileConfig(size=20),
        TileConfig(size=20, stride=7),
        TileConfig(size=20, stride=33),
        TileConfig(size=16, bands=(3, 1), snap=True),
    ],
    ids=["plain", "overlapping", "apart", "snapped"],
)
@pytest.mark.parametrize("workers", [1, 3])
def test_tiles_are_rasterios_windows(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise, config: TileConfig, workers: int
) -> None:
    a = write_scene("a.tif", noise(3, 90, 130))
    b = write_scene("b.tif", noise(3, 61, 75), tiled=True, blockxsize=16, blockysize=16, crs="EPSG:3857")
    report = cut(paths(a, b), tmp_path / "out", config, workers=workers)
    tiles = TileSet.open(tmp_path / "out")
    assert report.tiles == len(tiles) > 10
    assert tiles.dtype == np.uint8
    assert tiles.bands == (config.bands or (1, 2, 3))
    check_against_rasterio(tiles, {"a": a, "b": b})


def test_the_windows_are_complete(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> None:
    cut(paths(write_scene("a.tif", noise(2, 65, 47))), tmp_path / "out", TileConfig(size=10, stride=6))
    index = TileSet.open(tmp_path / "out").table()
    found = list(zip(index["row"].to_pylist(), index["col"].to_pylist(), strict=True))
    assert found == [(r, c) for r in range(0, 56, 6) for c in range(0, 38, 6)]


def test_large_scenes_become_blocks_of_the_same_tiles(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = write_scene("a.tif", noise(2, 200, 90), tiled=True, blockxsize=16, blockysize=16)
    config = TileConfig(size=20)
    cut(paths(scene), tmp_path / "whole", config)
    monkeypatch.setattr(planning, "PART_BYTES", 8_000)
    cut(paths(scene), tmp_path / "blocks", config)
    whole, blocks = TileSet.open(tmp_path / "whole"), TileSet.open(tmp_path / "blocks")
    assert len(blocks.parts) > 3
    assert all(part.name.startswith("a+") for part in blocks.parts)
    everything = np.arange(len(whole))
    assert (whole.pixels(everything) == blocks.pixels(everything)).all()
    assert whole.table().equals(blocks.table())


def test_min_valid_counts_pixels_that_are_valid_in_every_band(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    pixels = noise(2, 40, 40, "int16")
    pixels[0, :10, :10] = -9999  # a quarter of the first tile
    pixels[1, :20, 20:40] = -9999  # all of the second
    pixels[1, 39, 0] = -9999  # one pixel of the third
    scene = write_scene("a.tif", pixels, nodata=-9999)
    for least, expected in (
        (1.0, [1.0]),
        (0.75, [0.75, 0.9975, 1.0]),
        (0.76, [0.9975, 1.0]),
        (0.0, [0.75, 0.9975, 1]),
    ):
        report = cut(paths(scene), tmp_path / f"{least}", TileConfig(size=20, min_valid=least))
        tiles = TileSet.open(tmp_path / f"{least}")
        np.testing.assert_allclose(tiles.table()["valid_share"].to_numpy(), expected, rtol=1e-6)
        assert report.skipped == {"too few valid pixels": 4 - len(expected)}
    everything = np.arange(len(tiles))
    valid = tiles.valid(everything)
    assert (~valid).sum(axis=(1, 2)).tolist() == [100, 1, 0]
    filled = tiles.pixels(everything)
    assert filled.min() > 0
    first = filled[0].astype(float)
    for band in (0, 1):
        assert np.ptp(first[band][~valid[0]]) == 0
        assert first[band][~valid[0]].mean() == pytest.approx(first[band][valid[0]].mean(), abs=0.51)
    assert (tiles.parts[0].pixels[0, 0, :10, :10] == -9999).all()
    info = tiles.parts[0].info
    counted = np.where(valid[:, None], tiles.parts[0].pixels, 0).astype(float)
    assert info["valid_pixels"] == valid.sum()
    np.testing.assert_allclose([b["sum"] for b in info["bands"]], counted.sum(axis=(0, 2, 3)))
    np.testing.assert_allclose([b["sum_of_squares"] for b in info["bands"]], (counted**2).sum(axis=(0, 2, 3)))


def test_band_sums_are_those_of_the_pixels(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> None:
    cut(paths(write_scene("a.tif", noise(3, 256, 256))), tmp_path / "out", TileConfig(size=32))
    tiles = TileSet.open(tmp_path / "out")
    pixels, info = tiles.parts[0].pixels.astype(float), tiles.parts[0].info
    assert info["valid_pixels"] == 256 * 256
    np.testing.assert_allclose([b["sum"] for b in info["bands"]], pixels.sum(axis=(0, 2, 3)))
    squares = (pixels**2).sum(axis=(0, 2, 3))
    np.testing.assert_allclose([b["sum_of_squares"] for b in info["bands"]], squares, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
def test_an_area_of_interest_in_another_crs(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise, suffix: str
) -> None:
    scene = write_scene("a.tif", noise(1, 100, 100))
    area = shapely.Polygon([(500_003, 4_400_000), (500_711, 4_399_909), (500_317, 4_399_113)])
    frame = geopandas.GeoDataFrame({"name": ["x"]}, geometry=[area], crs="EPSG:32614")
    frame.to_crs("EPSG:4326" if suffix == ".geojson" else "EPSG:5070").to_file(tmp_path / f"aoi{suffix}")
    report = cut(paths(scene), tmp_path / "out", TileConfig(size=5), aoi=tmp_path / f"aoi{suffix}")
    index = TileSet.open(tmp_path / "out").table()
    x = 500_000 + 10 * (index["col"].to_numpy() + 2.5)
    y = 4_400_000 - 10 * (index["row"].to_numpy() + 2.5)
    cols, rows = np.meshgrid(np.arange(0, 100, 5) + 2.5, np.arange(0, 100, 5) + 2.5)
    inside = shapely.contains_xy(area, 500_000 + 10 * cols, 4_400_000 - 10 * rows)
    assert shapely.contains_xy(area, x, y).all()
    assert len(index) == inside.sum() > 20
    assert report.skipped == {"outside the area of interest": 400 - inside.sum()}


def test_one_bad_scene_does_not_stop_the_others(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    good = write_scene("good.tif", noise(2, 40, 40))
    wrong = write_scene("wrong.tif", noise(3, 40, 40))
    kind = write_scene("kind.tif", noise(2, 40, 40, "int16"))
    lost = write_scene("lost.tif", noise(2, 40, 40), crs=None)
    short = tmp_path / "short.tif"
    short.write_bytes(good.read_bytes()[:2000])
    missing = tmp_path / "missing.tif"
    out = tmp_path / "out"
    scenes = paths(missing, good, wrong, kind, lost, short)
    report = cut(scenes, out, TileConfig(size=20))
    assert report.tiles == 4
    named = {Path(f.name).stem: f for f in report.failed}
    assert set(named) == {"missing", "wrong", "kind", "lost", "short"}
    assert named["missing"].exit_code == 66
    assert "3 bands of uint8; this tile set has 2 of uint8" in named["wrong"].message
    assert "int16" in named["kind"].message
    assert "CRS" in named["lost"].message
    assert sorted(p.name for p in (out / "parts").iterdir()) == ["good"]
    with pytest.raises(InputError):
        cut(scenes, tmp_path / "strict", TileConfig(size=20), strict=True)
    short.write_bytes(good.read_bytes())
    assert cut(scenes, out, TileConfig(size=20)).made == 1


def test_scenes_smaller_than_a_tile_are_counted(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    small, large = write_scene("small.tif", noise(1, 15, 90)), write_scene("large.tif", noise(1, 40, 40))
    report = cut(paths(small, large), tmp_path / "out", TileConfig(size=20))
    assert report.skipped == {"scene smaller than a tile": 1}
    assert report.tiles == 4
    with pytest.raises(DataError, match="no tile is left"):
        cut(paths(small), tmp_path / "none", TileConfig(size=20))
    assert (
        cut(paths(small), tmp_path / "none", TileConfig(size=10)).tiles == 9
    )  # other settings are no hindrance


def test_shards_in_any_order_make_what_one_run_makes(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    scenes = paths(*(write_scene(f"{k}.tif", noise(2, 40, 40 + k)) for k in range(5)))
    config = TileConfig(size=20)
    cut(scenes, tmp_path / "one", config)
    for index in (3, 1, 2):
        cut(scenes, tmp_path / "many", config, shard=Shard(index, 3))
    assert content(tmp_path / "one") == content(tmp_path / "many")


def test_progress_ends_at_all_windows(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> None:
    seen: list[tuple[int, int]] = []
    scene = write_scene("a.tif", noise(1, 100, 100))
    cut(paths(scene), tmp_path / "out", TileConfig(size=20), on_progress=lambda *a: seen.append(a))
    assert seen[-1] == (25, 25)


@pytest.mark.parametrize("snap", [False, True])
def test_real_dates_of_one_place(tmp_path: Path, snap: bool) -> None:
    folder = real("naip_north_dakota")
    scenes = sorted(folder.glob("*.tif"))[:2]
    cut(paths(*scenes), tmp_path / "out", TileConfig(snap=snap, bands=(1, 4)))
    tiles = TileSet.open(tmp_path / "out")
    assert tiles.side_m == pytest.approx(250, rel=1e-3)
    first, second = (tiles.lonlat[tiles.scene_codes == code] for code in (0, 1))
    apart = np.abs(first[:, None] - second[None]).sum(axis=2).min(axis=1) * 111_000
    assert (np.median(apart) < 5) == snap or not snap
    dates = tiles.table()["datetime"].to_pylist()
    assert {date.year for date in dates} == {2009, 2010}


def test_part_json_names_its_source(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> None:
    scene = write_scene("a.tif", noise(1, 40, 40), nodata=0)
    cut(paths(scene), tmp_path / "out", TileConfig(size=20))
    info: dict[str, Any] = json.loads((tmp_path / "out" / "parts" / "a" / "part.json").read_text())
    assert info["source"] == str(scene)
    assert info["size"] == scene.stat().st_size
    assert info["mtime"] == pytest.approx(scene.stat().st_mtime, abs=1e-3)
    assert info["transform"] == [10, 0, 500_000, 0, -10, 4_400_000]
    assert info["nodata"] == [0.0]
    assert info["crs"].startswith("PROJCS")

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import SceneWriter
from rasterio.warp import transform

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]


@pytest.fixture
def tiles(tmp_path: Path, write_scene: SceneWriter, noise: Noise) -> TileSet:
    """Three parts: 4 tiles in UTM 14, none, 6 tiles in degrees."""
    degrees = rasterio.transform.from_origin(-99.5, 39.5, 1e-4, 1e-4)
    scenes = [
        write_scene("a.tif", noise(3, 40, 40)),
        write_scene("b.tif", noise(3, 10, 10)),
        write_scene("c.tif", noise(3, 60, 40), crs="EPSG:4326", transform=degrees),
    ]
    cut([str(scene) for scene in scenes], tmp_path / "tiles", TileConfig(size=20))
    return TileSet.open(tmp_path / "tiles")


def test_tiles_are_numbered_through_the_parts(tiles: TileSet) -> None:
    assert tiles.shape == (10, 3, 20, 20)
    assert [part.name for part in tiles.parts] == ["a", "b", "c"]
    assert tiles.offsets.tolist() == [0, 4, 4, 10]
    ids = np.array([9, 0, 4, 4, 3])
    everything = np.concatenate([tiles.parts[0].pixels, tiles.parts[2].pixels])
    assert (tiles.pixels(ids) == everything[ids]).all()
    assert tiles.pixels(np.array([], np.int64)).shape == (0, 3, 20, 20)
    assert tiles.scenes == ["a", "b", "c"]
    assert tiles.scene_codes.tolist() == [0] * 4 + [2] * 6


def test_centres_are_those_of_the_footprints(tiles: TileSet) -> None:
    index = tiles.table()
    x = 500_000 + 10 * (index["col"].to_numpy()[:4] + 10)
    y = 4_400_000 - 10 * (index["row"].to_numpy()[:4] + 10)
    expected = np.stack(transform("EPSG:32614", "OGC:CRS84", x, y), axis=1)
    np.testing.assert_allclose(tiles.lonlat[:4], expected, atol=1e-9)
    expected = np.stack(
        [-99.5 + 1e-4 * (index["col"].to_numpy()[4:] + 10), 39.5 - 1e-4 * (index["row"].to_numpy()[4:] + 10)],
        axis=1,
    )
    np.testing.assert_allclose(tiles.lonlat[4:], expected, atol=1e-9)


def test_the_side_is_in_metres(tiles: TileSet) -> None:
    across, down = 20 * 1e-4 * 111_320 * np.cos(np.radians(39.5)), 20 * 1e-4 * 111_000
    assert tiles.side_m == pytest.approx(
        np.sqrt(across * down), rel=5e-3
    )  # six tiles in degrees, four of 200 m


def test_positions_of_ids(tiles: TileSet) -> None:
    ids = tiles.table()["tile_id"].to_pylist()
    assert tiles.positions(ids).tolist() == list(range(10))
    assert tiles.positions(["c/0/20", "nowhere/0/0", "a/0/0"]).tolist() == [5, -1, 0]


def test_what_is_no_tile_set_is_said(tiles: TileSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        TileSet.open(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"manifest\.json"):
        TileSet.open(tmp_path / "empty")
    manifest = tiles.path / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": "tile2vec-tiles/2"}))
    with pytest.raises(DataError, match="tile2vec-tiles/2"):
        TileSet.open(tiles.path)


def test_damaged_pixels_are_said(tiles: TileSet) -> None:
    pixels = tiles.path / "parts" / "a" / "pixels.npy"
    pixels.write_bytes(pixels.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"pixels\.npy.*run `tile2vec tile` again"):
        TileSet.open(tiles.path).pixels(np.array([0]))
    np.save(pixels, np.zeros((4, 3, 21, 20), np.uint8))
    with pytest.raises(DataError, match=r"\(4, 3, 21, 20\)"):
        TileSet.open(tiles.path).pixels(np.array([0]))


def test_the_fingerprint_is_of_the_content(
    tiles: TileSet, tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    before = {part.name: part.fingerprint for part in tiles.parts}
    write_scene("a.tif", noise(3, 40, 40))  # the same pixels, a newer file
    write_scene("b.tif", noise(3, 20, 20))
    cut([str(tmp_path / name) for name in ("a.tif", "b.tif")], tiles.path, TileConfig(size=20))
    after = TileSet.open(tiles.path)
    changed = {part.name for part in after.parts if before[part.name] != part.fingerprint}
    assert changed == {"b"}
    assert after.fingerprint != tiles.fingerprint

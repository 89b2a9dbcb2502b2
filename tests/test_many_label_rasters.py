"""Several label rasters as one, and which rasters are taken for labels, against the pixels themselves."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from conftest import SceneWriter
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin, rowcol
from rasterio.warp import transform

from tile2vec_cli.config.labels import LabelSource
from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import scenes
from tile2vec_cli.labelling import labels
from tile2vec_cli.labelling.label_rasters import LabelRasters
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

LEFT, TOP, SIDE = 500_000, 4_400_000, 64


def at(row: int, col: int, pixel: float = 10) -> rasterio.Affine:
    """The transform of a raster that begins at this pixel of the scene."""
    return from_origin(LEFT + col * 10, TOP - row * 10, pixel, pixel)


def source(*paths: Path, band: int | None = None, nodata: tuple[float, ...] = ()) -> LabelSource:
    return labels.named([str(path) for path in paths], band, nodata)


@pytest.fixture
def tiles(write_scene: SceneWriter, tmp_path: Path) -> TileSet:
    """Of 16 × 16 pixels, 4 × 4 tiles."""
    scene = write_scene("scene.tif", np.random.default_rng(0).integers(1, 99, (1, SIDE, SIDE)).astype("u1"))
    cutting.cut([str(scene)], tmp_path / "tiles", TileConfig(size=16))
    return TileSet.open(tmp_path / "tiles")


@pytest.fixture
def codes() -> np.ndarray:
    return np.random.default_rng(1).integers(1, 5, (1, SIDE, SIDE)).astype(np.uint8)


def whole(tiles: TileSet, found: LabelRasters) -> np.ndarray:
    """(SIDE, SIDE) codes that the tiles get, 0 where they get none."""
    pixels, valid = found.tile_pixels(tiles, np.arange(len(tiles)))
    index, out = tiles.table().to_pandas(), np.zeros((SIDE, SIDE), int)
    for row, col, own in zip(index.row, index.col, np.where(valid, pixels, 0), strict=True):
        out[row : row + 16, col : col + 16] = own
    return out


def test_pieces_of_a_raster_are_the_raster(
    write_scene: SceneWriter, tiles: TileSet, codes: np.ndarray, tmp_path: Path
) -> None:
    for row in (0, 24, 40):  # tiles lie in up to four of them
        for col in (0, 8):
            high, wide = {0: 24, 24: 16, 40: 24}[row], 8 if col == 0 else 56
            piece = codes[:, row : row + high, col : col + wide]
            write_scene(f"pieces/{row}_{col}.tif", piece, transform=at(row, col))
    write_scene("pieces/elsewhere.tif", codes, transform=at(5000, 5000))
    found = LabelRasters(source(tmp_path / "pieces"))
    assert np.array_equal(whole(tiles, found), codes[0])
    assert found.found() == {"rasters": 7, "without_tiles": 1, "tiles_disputed": 0}

    one = LabelRasters(write_scene("one.tif", codes))
    votes = LabelRasters(source(tmp_path / "pieces")).votes(tiles.footprints())
    expected = one.votes(tiles.footprints())
    assert one.found() == {}
    table = [np.zeros((16, 4), int), np.zeros((16, 4), int)]
    for counts, own in zip(table, (votes, expected), strict=True):
        assert own.classes == ("1", "2", "3", "4")
        np.add.at(counts, (own.tile, own.code), own.count)
    assert np.array_equal(*table)


def test_the_first_valid_one_counts_and_disagreement_is_counted(
    write_scene: SceneWriter, tiles: TileSet, codes: np.ndarray
) -> None:
    first = codes.copy()
    first[0, :32, :20] = 255
    second = codes.copy()
    second[0, 50, 3:9] = 9  # one tile, in which the first one counts
    second[0, 3, 3] = 8  # where the first says nothing
    paths = write_scene("a.tif", first, nodata=255), write_scene("b.tif", second[:, :, :40])
    found = LabelRasters(source(*paths))
    expected = np.where(first[0] == 255, np.pad(second[0, :, :40], ((0, 0), (0, 24))), first[0])
    assert np.array_equal(whole(tiles, found), expected)
    assert found.found() == {"rasters": 2, "without_tiles": 0, "tiles_disputed": 1}
    read = labels.read(source(*paths), tiles.footprints(), min_purity=0)
    assert read.rasters == found.found()
    turned = whole(tiles, LabelRasters(source(*paths[::-1])))
    assert (turned[50, 3:9] == 9).all()


def test_rasters_of_other_crs_and_resolution(
    write_scene: SceneWriter, tiles: TileSet, codes: np.ndarray
) -> None:
    corner = geopandas.GeoSeries.from_xy([LEFT + 300], [TOP - 300], crs="EPSG:32614").to_crs("EPSG:4326")[0]
    geographic = from_origin(corner.x, corner.y, 0.0007, 0.0005)
    paths = [
        write_scene("a.tif", codes[:, :20, :20], crs="EPSG:4326", transform=geographic, nodata=2),
        write_scene("b.tif", codes[:, :16, :16] + 10, transform=at(0, 0, pixel=37.5)),
    ]
    found = whole(tiles, LabelRasters(source(*paths)))
    row, col = np.mgrid[:SIDE, :SIDE]
    x, y = LEFT + 10 * (col.ravel() + 0.5), TOP - 10 * (row.ravel() + 0.5)
    expected = np.zeros(SIDE * SIDE, int)
    for path in reversed(paths):
        with rasterio.open(path) as raster:
            xs, ys = transform("EPSG:32614", raster.crs, x, y)
            sampled = np.array(list(raster.sample(zip(xs, ys, strict=True), masked=True)))[:, 0]
            r, c = (np.asarray(v) for v in rowcol(raster.transform, xs, ys))
            known = (r >= 0) & (r < raster.height) & (c >= 0) & (c < raster.width)
            known &= sampled != raster.nodata
        expected = np.where(known, sampled, expected)
    assert len(np.unique(expected)) == 8  # 1, 3, 4; 11 to 14; none
    assert np.array_equal(found.ravel(), expected)


def test_two_rasters_that_meet_at_the_antimeridian(write_scene: SceneWriter) -> None:
    shape = {"crs": "EPSG:4326"}
    east = write_scene("e.tif", np.full((1, 9, 9), 1, "u1"), transform=from_origin(179.1, 9, 0.1, 1), **shape)
    west = write_scene("w.tif", np.full((1, 9, 9), 2, "u1"), transform=from_origin(-180, 9, 0.1, 1), **shape)
    tile = shapely.MultiPolygon([shapely.box(179.9, 4, 180, 5), shapely.box(-180, 4, -179.9, 5)])
    votes = LabelRasters(source(east, west)).votes(np.array([tile], dtype=object))
    assert votes.classes == ("1", "2")
    assert votes.count[0] == votes.count[1] >= 16


def test_a_raster_over_a_pole_covers_it(write_scene: SceneWriter) -> None:
    pole = write_scene(
        "p.tif", np.full((1, 20, 20), 7, "u1"), crs="EPSG:3995", transform=from_origin(-1e6, 1e6, 1e5, 1e5)
    )
    other = write_scene("o.tif", np.full((1, 20, 20), 8, "u1"))
    tile = shapely.box(20, 89.5, 21, 89.6)
    assert LabelRasters(source(pole, other)).votes(np.array([tile], dtype=object)).classes == ("7",)


def test_each_of_many_rasters_is_read_for_its_own_tiles_only(
    write_scene: SceneWriter,
    tiles: TileSet,
    codes: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(64):
        row, col = 8 * (number // 8), 8 * (number % 8)
        write_scene(f"m/{number:02}.tif", codes[:, row : row + 8, col : col + 8], transform=at(row, col))
    asked: list[int] = []
    sample = scenes.sample
    monkeypatch.setattr(scenes, "sample", lambda *args: asked.append(len(args[1])) or sample(*args))
    assert np.array_equal(whole(tiles, LabelRasters(source(tmp_path / "m"))), codes[0])
    assert sum(asked) <= 16 * SIDE * SIDE  # a tile touches 16 of them, and not 64


def test_all_that_cannot_be_used_are_named(
    write_scene: SceneWriter, codes: np.ndarray, tmp_path: Path
) -> None:
    good = write_scene("good.tif", codes)
    (tmp_path / "text.tif").write_text("text")
    picture = write_scene("picture.tif", np.repeat(codes, 3, axis=0), photometric="RGB")
    with pytest.raises(DataError, match=r"text\.tif: cannot be opened.* 2 more .*picture\.tif.*none\.tif"):
        LabelRasters(source(good, tmp_path / "text.tif", picture, tmp_path / "none.tif"))
    with pytest.raises(InputError, match=r"none\.tif: no such file.*text\.tif"):
        LabelRasters(source(good, tmp_path / "none.tif", tmp_path / "text.tif"))


# --- which band, which values ------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [False, True])
def test_a_picture_is_refused_and_its_band_can_be_named(
    write_scene: SceneWriter, tiles: TileSet, codes: np.ndarray, alpha: bool
) -> None:
    bands = np.concatenate([codes * 40, codes, codes * 20, np.full_like(codes, 255)])[: 3 + alpha]
    path = write_scene("rgb.tif", bands, photometric="RGB", **({"alpha": "yes"} if alpha else {}))
    with pytest.raises(DataError, match=r"rgb\.tif: is a picture, .*red, green, blue.*--label-band"):
        LabelRasters(path)
    assert np.array_equal(whole(tiles, LabelRasters(source(path, band=2))), codes[0])
    with pytest.raises(DataError, match=rf"rgb\.tif: has {3 + alpha} bands, no band 5"):
        LabelRasters(source(path, band=5))


@pytest.mark.parametrize("bands", [2, 3, 5])
def test_bands_without_a_meaning_need_one_to_be_named(
    write_scene: SceneWriter, tiles: TileSet, codes: np.ndarray, bands: int
) -> None:
    stack = np.concatenate([np.full_like(codes, 9)] * (bands - 1) + [codes]).astype(np.int16)
    path = write_scene("years.tif", stack)
    with pytest.raises(DataError, match=rf"years\.tif: has {bands} bands; .*--label-band, from 1 to {bands}"):
        LabelRasters(path)
    assert np.array_equal(whole(tiles, LabelRasters(source(path, band=bands))), codes[0])


@pytest.mark.parametrize("kind", ["grey", "palette", "grey and alpha", "palette and alpha", "int16"])
def test_rasters_of_one_band_of_codes_are_taken(
    write_scene: SceneWriter, tiles: TileSet, codes: np.ndarray, kind: str
) -> None:
    mask = np.where(np.arange(SIDE) < 40, 255, 0).astype(np.uint8)[None, :] * np.ones((SIDE, 1), np.uint8)
    bands = np.concatenate([codes, mask[None]]) if "alpha" in kind else codes
    path = write_scene("labels.tif", bands.astype("int16" if kind == "int16" else "uint8"))
    with rasterio.open(path, "r+") as target:
        if "palette" in kind:
            target.colorinterp = [ColorInterp.palette, ColorInterp.alpha][: len(bands)]
        elif "alpha" in kind:
            target.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    expected = np.where(mask == 255, codes[0], 0) if "alpha" in kind else codes[0]
    assert np.array_equal(whole(tiles, LabelRasters(path)), expected)


@pytest.mark.parametrize(
    ("dtype", "fills"),
    [("uint8", (0,)), ("int16", (0, -9999, -32768)), ("float32", (-9999, 0.5)), ("int32", (-(2**31),))],
)
def test_fill_that_is_not_declared(
    write_scene: SceneWriter, tiles: TileSet, codes: np.ndarray, dtype: str, fills: tuple[float, ...]
) -> None:
    filled = codes.astype(dtype)
    for number, fill in enumerate(fills):
        filled[0, 5 * number : 5 * number + 4] = fill
    path = write_scene("labels.tif", filled)
    expected = np.where(np.isin(filled[0], fills), 0, filled[0])
    unused = 3.4e39  # fits into no type
    assert np.array_equal(whole(tiles, LabelRasters(source(path, nodata=(*fills, unused)))), expected)
    read = labels.read(source(path, nodata=fills), tiles.footprints(), min_purity=0)
    assert set(read.classes) == {"1", "2", "3", "4"}


def test_declared_fill_of_any_size_is_no_code(
    write_scene: SceneWriter, tiles: TileSet, codes: np.ndarray
) -> None:
    filled = codes.astype(np.uint32)
    filled[0, :9] = 2**32 - 1
    found = whole(tiles, LabelRasters(write_scene("labels.tif", filled, nodata=2**32 - 1)))
    assert np.array_equal(found, np.where(filled[0] > 9, 0, filled[0]))

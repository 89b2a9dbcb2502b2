"""What `tile` makes of the odd rasters of other projects' test suites, file by file, beside rasterio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import SceneWriter, real
from numpy.lib.stride_tricks import sliding_window_view
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import Tile2VecError
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet

# name, tile side, tiles kept, tiles with invalid pixels, tiles with a corner off the Earth
TILED = """
geotrellis__0_to_99 4 2 0 2
geotrellis__geotiff-off-origin 4 1 0 0
geotrellis__jpeg-test-small-uncompressed 16 288 0 0
geotrellis__lc8-utm-1-re 16 1258 0 0
geotrellis__lc8-utm-2 16 306 0 0
mapchete__4band_test 16 4096 0 0
mapchete__cleantopo_tl 16 462 0 0
mapchete__dummy1_3857 16 32 4 0
mapchete__s2_band 16 150 0 0
rasterio__byte 4 25 0 0
rasterio__float_raster_with_extra_nodata 4 1 34 0
rasterio__goes 16 822 0 267
rasterio__red 16 16 0 0
rasterio__rgb1 16 381 244 0
rasterio__rgb2 16 368 232 0
rasterio__rgb4 16 281 175 0
rasterio__rgb_lzw 16 1339 817 0
rasterio__shade 16 92 4004 0
rasterio__world.byte 16 13500 0 0
riocogeo__bad_output_vrt 16 31950 0 0
riocogeo__image_171px 16 100 0 0
riocogeo__image_51px 16 9 0 0
riocogeo__image_colormap 16 2904 0 0
riocogeo__image_external 16 1024 0 0
riocogeo__image_geos 16 1675 1548 585
riocogeo__image_missing_nodata 16 961 0 0
riocogeo__image_no_overview 16 4096 0 0
riocogeo__image_nodata 16 660 301 0
riocogeo__image_rgb 16 1024 0 0
riocogeo__image_rgba 16 1024 0 0
riocogeo__image_rioCOG_gdal3.1 16 32 4 0
riocogeo__image_tags 16 1024 0 0
riocogeo__image_web_z5_z11 64 17424 0 0
riocogeo__image_with_offsets 16 250 6 0
riotiler__201404_13SED190110_201404_0x1500m_CL_1 16 322 0 0
riotiler__201404_13SED190110_201404_0x1500m_CL_1_extmask 16 322 0 0
riotiler__201404_13SED190110_201404_0x1500m_CL_1_nodata 16 250 72 0
riotiler__blue_nostats 16 152 88 0
riotiler__cog 16 27556 0 0
riotiler__cog_dateline 16 21315 0 0
riotiler__cog_gradient 16 4 0 0
riotiler__cog_int16 16 14047 13509 0
riotiler__cog_nodata 16 14047 13509 0
riotiler__cog_rgb 16 322 0 0
riotiler__cog_rgba 16 264 58 0
riotiler__cog_scale_epsg4326 16 205 33 0
riotiler__cog_tags 16 250 6 0
riotiler__cog_uint8_rgb_nodata 16 192 64 0
riotiler__green_nostats 16 152 88 0
riotiler__lowres 16 31 33 0
riotiler__mosaic_value_1 16 1541 811 0
riotiler__mosaic_value_3 16 173 127 0
riotiler__noweb 16 1225 0 0
riotiler__red 16 152 88 0
riotiler__rgb 16 152 88 0
riotiler__scene_band2 16 1156 0 0
rioxarray__2d_test 4 4 0 0
rioxarray__clip_bbox__out_of_bounds 4 4 0 0
"""

REFUSED = {
    "mapchete__gcps": "no CRS or no position",
    "rasterio__all-nodata": "no tile is left (too few valid pixels: 616)",
    "rasterio__corrupt": "rows 0 to 1024 cannot be read",
    "rasterio__float32": "no CRS or no position",
    "riocogeo__cog_no_offest": "no CRS or no position",
    "riotiler__cog_nonearth": "Europa",
    "rioxarray__test_rpcs": "no CRS or no position",  # a CRS, but the transform is none
}

ROWS = [line.split() for line in TILED.split("\n") if line]


def path_of(name: str) -> Path:
    return real("odd_rasters", f"{name}.tif")


def test_every_file_has_its_row() -> None:
    names = {path.stem for path in real("odd_rasters").glob("*.tif")}
    assert names == {row[0] for row in ROWS} | set(REFUSED)
    assert len(names) == 65


@pytest.mark.parametrize(("name", "side", "kept", "invalid", "off"), ROWS, ids=[row[0] for row in ROWS])
def test_a_raster_that_can_be_cut(
    tmp_path: Path, name: str, side: str, kept: str, invalid: str, off: str
) -> None:
    path = path_of(name)
    report = cut([str(path)], tmp_path / "out", TileConfig(size=int(side)))
    assert not report.failed
    found = (report.tiles, *(report.skipped.pop(key, 0) for key in ("too few valid pixels", "off the Earth")))
    assert found == (int(kept), int(invalid), int(off))
    assert not report.skipped
    compare_with_rasterio(path, TileSet.open(tmp_path / "out"), found[2])


def compare_with_rasterio(path: Path, tiles: TileSet, off: int) -> None:
    """Which windows are whole by rasterio's masks, and the pixels of a few of them."""
    index, side = tiles.table(), tiles.size
    own = set(zip(index["row"].to_pylist(), index["col"].to_pylist(), strict=True))
    with rasterio.open(path) as source:
        shape = (source.height // side, source.width // side)
        whole = np.ones(shape, bool)
        for band in tiles.bands:
            # An alpha band of 0 and 255 is what the masks of the other bands are made of.
            if MaskFlags.all_valid not in source.mask_flag_enums[band - 1]:
                valid = source.read_masks(band) != 0
                if source.nodatavals[band - 1] is not None:  # which GDAL leaves out where there is a mask
                    valid &= source.read(band) != source.nodatavals[band - 1]
                views = sliding_window_view(valid, (side, side))[::side, ::side]
                whole &= views.all(axis=(2, 3))
        expected = {(int(row) * side, int(col) * side) for row, col in np.argwhere(whole)}
        assert own <= expected
        # Invalid windows can be off the Earth too: those are counted once.
        assert len(expected) - off <= len(own)
        if not off:
            assert own == expected
        for number in np.linspace(0, len(index) - 1, 5, dtype=int):
            window = Window(index["col"][int(number)].as_py(), index["row"][int(number)].as_py(), side, side)
            pixels = source.read(list(tiles.bands), window=window)
            assert (tiles.pixels(np.array([number]))[0] == pixels).all()


@pytest.mark.parametrize(("name", "words"), REFUSED.items(), ids=list(REFUSED))
def test_a_raster_that_cannot_be_cut(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(Tile2VecError) as caught:
        cut([str(path_of(name))], tmp_path / "out", TileConfig(size=16), strict=True)
    message = str(caught.value)
    assert caught.value.exit_code == 65
    assert words in message and "\n" not in message and ". " in message
    assert not list((tmp_path / "out" / "parts").glob("*")) or "all-nodata" in name


def test_undeclared_fill_too_large_to_be_summed_up(write_scene: SceneWriter, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((2, 20, 20))
    pixels[1, :5] = np.finfo(np.float64).max
    path = write_scene("a.tif", pixels)
    report = cut([str(path)], tmp_path / "tiles", TileConfig(size=10))
    assert [failure.exit_code for failure in report.failed] == [65]
    assert report.failed[0].message.startswith(f"{path}: the numbers in band 2 are too large")
    named = TileConfig(size=10, nodata=float(np.finfo(np.float64).max))
    assert cut([str(path)], tmp_path / "named", named).tiles == 2

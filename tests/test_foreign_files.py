"""Files of strangers: virtual rasters that point elsewhere or hold code, vectors cut short, odd names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import fields
import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from conftest import Run, SceneWriter
from rasterio.transform import Affine
from segmented import write_model

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.errors import DataError, Tile2VecError
from tile2vec_cli.geo import vectors
from tile2vec_cli.labelling.label_rasters import LabelRasters
from tile2vec_cli.segmentation import mapping
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]
CONFIG = TileConfig(size=10)

VIRTUAL = """<VRTDataset rasterXSize="40" rasterYSize="40"><SRS>EPSG:32614</SRS>
<GeoTransform>500000, 10, 0, 4400000, 0, -10</GeoTransform>
<VRTRasterBand dataType="Byte" band="1"{attributes}>{inside}
<SimpleSource><SourceFilename relativeToVRT="0">{source}</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand></VRTDataset>"""

CODE = """
<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>
<PixelFunctionCode><![CDATA[
open({mark!r}, "w")
def f(in_ar, out_ar, *args, **kwargs):
    open({mark!r}, "w")
    out_ar[:] = 7
]]></PixelFunctionCode>"""


def refused(scene: Path, out: Path) -> str:
    """The one line that `tile` says of a scene it does not cut; nothing of it stays."""
    with pytest.raises(Tile2VecError) as caught:
        cut([str(scene)], out, CONFIG, strict=True)
    message = str(caught.value)
    assert caught.value.exit_code in (65, 66)
    assert str(scene) in message and "\n" not in message
    assert not list((out / "parts").glob("*"))
    return message


def place(x: float, y: float) -> shapely.Point:
    to_lonlat = pyproj.Transformer.from_crs("EPSG:32614", "OGC:CRS84", always_xy=True)
    return shapely.Point(to_lonlat.transform(x, y))


# --- virtual rasters ---------------------------------------------------------------------------


def test_a_virtual_raster_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    scene = tmp_path / "a.vrt"
    scene.write_text(VIRTUAL.format(attributes="", inside="", source=tmp_path / "none.tif"))
    assert "none.tif" in refused(scene, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.tif", "a.TIFF", "a.jp2", "a.img"])
def test_a_virtual_raster_in_disguise_reads_no_other_file(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise, name: str
) -> None:
    secret = write_scene("secret.tif", noise(1, 40, 40))
    scene = tmp_path / name
    scene.write_text(VIRTUAL.format(attributes="", inside="", source=secret))
    refused(scene, tmp_path / "out")
    with pytest.raises(DataError, match=name):
        LabelRasters(scene).votes(np.array([place(500_105, 4_399_895)]))


@pytest.mark.parametrize("asked", [None, "YES", "TRUSTED_MODULES"])
def test_code_in_a_virtual_raster_is_not_run(
    tmp_path: Path,
    write_scene: SceneWriter,
    noise: Noise,
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
) -> None:
    if asked:
        monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", asked)
    mark = tmp_path / "ran"
    inside = CODE.format(mark=str(mark))
    source = write_scene("sound.tif", noise(1, 40, 40))
    scene = tmp_path / "a.vrt"
    scene.write_text(
        VIRTUAL.format(attributes=' subClass="VRTDerivedRasterBand"', inside=inside, source=source)
    )
    refused(scene, tmp_path / "out")
    with pytest.raises(Tile2VecError):
        LabelRasters(scene).votes(np.array([place(500_105, 4_399_895)]))
    assert not mark.exists()


# --- vector files ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".geojson"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_vector_file_cut_short(tmp_path: Path, suffix: str, share: float) -> None:
    square = [shapely.box(k, k, k + 1, k + 1) for k in range(200)]
    frame = geopandas.GeoDataFrame({"class": list(range(200))}, geometry=square, crs="EPSG:32614")
    path, short = tmp_path / f"whole{suffix}", tmp_path / f"short{suffix}"
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_file(path)
    short.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    for read in (vectors.read, vectors.area):
        with pytest.raises(DataError, match="short") as caught:
            read(short)
        assert "\n" not in str(caught.value)
    assert len(vectors.read(path)) == 200


# --- label rasters -----------------------------------------------------------------------------


def test_labels_of_real_numbers_with_nan(write_scene: SceneWriter) -> None:
    codes = np.full((1, 20, 20), 3, np.float32)
    codes[0, :10] = np.nan
    codes[0, 19, 19] = np.inf
    path = write_scene("labels.tif", codes)
    places = [place(500_005, 4_399_995), place(500_105, 4_399_895)]  # without a label, with one
    found = LabelRasters(path).votes(np.array(places))
    assert found.classes == ("3",)
    assert (found.tile.tolist(), found.count.tolist()) == ([1], [1])


# --- transforms --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transform",
    [
        Affine(0, 0, 500_000, 0, -10, 4_400_000),
        Affine(10, 0, 500_000, 0, 0, 4_400_000),
        Affine(10, 20, 500_000, 5, 10, 4_400_000),
        Affine(float("nan"), 0, 500_000, 0, -10, 4_400_000),
        Affine(10, 0, float("inf"), 0, -10, 4_400_000),
        Affine(1e300, 0, 0, 0, -1e300, 0),
    ],
)
def test_a_transform_that_gives_pixels_no_place(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise, transform: Affine
) -> None:
    write_scene("a.tif", noise(1, 40, 40), transform=transform)
    for snap in (False, True):
        with pytest.raises(Tile2VecError, match=r"a\.tif|off the Earth") as caught:
            cut([str(tmp_path / "a.tif")], tmp_path / "out", TileConfig(size=10, snap=snap), strict=True)
        assert caught.value.exit_code == 65 and "\n" not in str(caught.value)


@pytest.mark.parametrize("angle", [30, 90, 200])
def test_footprints_of_a_rotated_scene(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise, angle: float
) -> None:
    transform = Affine.translation(500_000, 4_400_000) @ Affine.rotation(angle) @ Affine.scale(10, -10)
    scene = write_scene("a.tif", noise(1, 40, 30), transform=transform)
    cut([str(scene)], tmp_path / "out", CONFIG)
    index = TileSet.open(tmp_path / "out").table()
    shapes = geopandas.GeoSeries(shapely.from_wkb(index["geometry"].to_numpy()), crs="OGC:CRS84")
    for row, col, shape in zip(
        index["row"].to_pylist(), index["col"].to_pylist(), shapes.to_crs("EPSG:32614"), strict=True
    ):
        corners = [transform @ (col + x, row + y) for x, y in ((0, 10), (10, 10), (10, 0), (0, 0))]
        assert shapely.hausdorff_distance(shape, shapely.Polygon(corners)) < 1e-3
    assert len(index) == 12
    with pytest.raises(DataError, match="rotated"):
        cut([str(scene)], tmp_path / "snapped", TileConfig(size=10, snap=True), strict=True)


# --- names -------------------------------------------------------------------------------------

NAMES = [
    "...tif",
    "..%2F..%2Fescape.tif",
    "with space and 'quotes'.tif",
    "Überflug_東京.tif",
    "line\nbreak.tif",
    "x" * 251 + ".tif",
    "-rf.tif",
    "a+b.tif",
]


@pytest.mark.parametrize("name", NAMES)
def test_scenes_of_odd_names(tmp_path: Path, write_scene: SceneWriter, noise: Noise, name: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_scene("plain.tif", noise(1, 40, 40)).rename(folder / name)
    cut([str(folder / name)], tmp_path / "out", CONFIG)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out"}
    (part,) = (tmp_path / "out" / "parts").iterdir()
    tiles = TileSet.open(tmp_path / "out")
    assert len(tiles) == 16
    assert "\n" not in part.name and len(os.fsencode(part.name)) < 200
    assert tiles.table()["tile_id"][1].as_py() == f"{tiles.scenes[0]}/0/10"
    assert cut([str(folder / name)], tmp_path / "out", CONFIG).made == 0


def test_a_name_that_is_no_utf_8(
    tmp_path: Path, write_scene: SceneWriter, noise: Noise, tile2vec: Callable[..., Run]
) -> None:
    scene = tmp_path / os.fsdecode(b"latin\xe9.tif")
    good = write_scene("good.tif", noise(1, 40, 40))
    scene.write_bytes(good.read_bytes())
    for options in (["--json"], []):
        argv = ["tile", good, scene, "--out", tmp_path / "out", "--size", 10, *options]
        run = tile2vec(*argv, PYTHONIOENCODING="utf-8:strict")
        assert (run.code, run.err.count("error: ")) == (65, 1)
        assert "not UTF-8" in run.err
        assert run.out
        assert "--json" not in options or run.report["failed"] == [str(scene)]


# --- maps --------------------------------------------------------------------------------------


def test_maps_of_bad_scenes_leave_the_good_ones(tmp_path: Path) -> None:
    scene, _, _ = fields.make(tmp_path / "land", side=64)
    write_model(tmp_path / "land", tmp_path / "model", seed=0)
    scenes, out = tmp_path / "scenes", tmp_path / "maps"
    pixels = fields.bands(fields.truth(64))
    short = fields.write(scenes / "short.tif", pixels)
    short.write_bytes(short.read_bytes()[:-2000])
    (scenes / "text.tif").write_text("no raster")
    (scenes / "disguised.tif").write_text(VIRTUAL.format(attributes="", inside="", source=scene))
    (scenes / "virtual.vrt").write_text(VIRTUAL.format(attributes="", inside="", source="none.tif"))
    fields.write(scenes / "line\nbreak.tif", pixels)
    with rasterio.open(fields.write(scenes / "flat.tif", pixels), "r+") as target:
        target.transform = Affine(30, 0, 500_010, 0, 0, 4_400_040)
    listed = sorted(str(path) for path in scenes.iterdir())
    report = mapping.run(listed, tmp_path / "model", out, MapConfig(window=64, device="cpu"))
    assert {Path(failure.name).name for failure in report.failed} == {
        *("short.tif", "text.tif", "disguised.tif", "virtual.vrt", "flat.tif")
    }
    for failure in report.failed:
        assert failure.exit_code in (65, 66) and "\n" not in failure.message
        assert failure.name in failure.message
    assert [path.name for path in out.iterdir()] == ["line%0Abreak.tif"]
    assert {path.name for path in tmp_path.iterdir()} == {"land", "model", "scenes", "maps"}

"""Rasters cut short, with flipped bits, or with a header that lies: a right result or one clear line."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from conftest import SceneWriter
from rasterio.errors import RasterioError
from rasterio.transform import from_origin

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.errors import DataError, Tile2VecError
from tile2vec_cli.geo.rasters import describe
from tile2vec_cli.geo.scenes import open_scene
from tile2vec_cli.outputs import parts
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]

SIDE = 16
CONFIG = TileConfig(size=SIDE, min_valid=0.1)
PIXELS = np.clip(np.random.default_rng(0).normal(100, 6, (2, 80, 72)), 1, 250).astype(np.uint8)
LAYOUTS = {"tiled": {"tiled": True, "blockxsize": 32, "blockysize": 32}, "striped": {"blockysize": 16}}
KINDS = [(compress, layout) for compress in ("none", "deflate", "lzw") for layout in LAYOUTS]
PROFILE = {
    "driver": "GTiff",
    "count": 2,
    "height": 80,
    "width": 72,
    "dtype": "uint8",
    "crs": "EPSG:32614",
    "transform": from_origin(500_000, 4_400_000, 10, 10),
    "nodata": 0,
}


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_sync", lambda path: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], bytes]:
    """The bytes of a sound TIFF of this compression and layout."""
    folder = tmp_path_factory.mktemp("whole")

    def made(compress: str, layout: str) -> bytes:
        path = folder / f"{compress}_{layout}.tif"
        if not path.exists():
            with rasterio.open(path, "w", **PROFILE, **LAYOUTS[layout], compress=compress) as target:
                target.write(PIXELS)
        return path.read_bytes()

    return made


def outcome(content: bytes, folder: Path) -> TileSet | int:
    """What `tile` makes of a file of these bytes: tiles, or an exit code after one line about it."""
    scene, out = folder / "in" / "scene.tif", folder / "out"
    scene.parent.mkdir(exist_ok=True)
    scene.write_bytes(content)
    shutil.rmtree(out, ignore_errors=True)
    try:
        cut([str(scene)], out, CONFIG, strict=True)
    except Tile2VecError as error:
        assert "\n" not in str(error)
        assert str(scene) in str(error) or "no tile is left" in str(error)
        assert error.exit_code in (65, 66)
        return error.exit_code
    finally:
        assert {path.name for path in folder.iterdir()} == {"in", "out"}
        assert [path.name for path in scene.parent.iterdir()] == ["scene.tif"]
    return TileSet.open(out)


@pytest.mark.parametrize(("compress", "layout"), KINDS)
def test_a_file_cut_short_is_refused(
    tmp_path: Path, whole: Callable[[str, str], bytes], compress: str, layout: str
) -> None:
    content = whole(compress, layout)
    places = np.linspace(0, len(content) - 1, 34, dtype=int)
    assert [outcome(content[:place], tmp_path) for place in places] == [65] * 34
    assert isinstance(outcome(content, tmp_path), TileSet)


@pytest.mark.parametrize(("compress", "layout"), KINDS)
def test_a_flipped_bit_is_refused_or_read_as_rasterio_reads_it(
    tmp_path: Path, whole: Callable[[str, str], bytes], compress: str, layout: str
) -> None:
    content = whole(compress, layout)
    rng, seen = np.random.default_rng([len(compress), len(layout)]), Counter[str]()
    for number in range(84):
        damaged = bytearray(content)
        # Every other one in the header, where a bit does more than change a pixel.
        damaged[rng.integers(500 if number % 2 else len(content))] ^= 1 << rng.integers(8)
        found = outcome(bytes(damaged), tmp_path)
        seen["tiles" if isinstance(found, TileSet) else "refused"] += 1
        if isinstance(found, TileSet):
            compare_with_rasterio(found, tmp_path / "in" / "scene.tif")
    assert seen["tiles"] and seen["refused"]


def compare_with_rasterio(tiles: TileSet, path: Path) -> None:
    index, stored = tiles.table(), tiles.parts[0].pixels
    with rasterio.open(path) as source:
        for number in np.linspace(0, len(index) - 1, 7, dtype=int):
            row, col = (index[name][int(number)].as_py() for name in ("row", "col"))
            try:
                expected = source.read(list(tiles.bands), window=((row, row + SIDE), (col, col + SIDE)))
            except RasterioError as error:
                raise AssertionError(f"a tile of pixels that rasterio cannot read: {row}, {col}") from error
            assert (stored[number] == expected).all()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_jpeg_inside_a_tiff_cut_short(tmp_path: Path, write_scene: SceneWriter, share: float) -> None:
    scene = write_scene(
        "jpeg.tif", PIXELS[[0, 1, 0]], compress="jpeg", photometric="ycbcr", **LAYOUTS["tiled"]
    )
    content = scene.read_bytes()
    (tmp_path / "work").mkdir()
    assert outcome(content[: int(len(content) * share)], tmp_path / "work") == 65
    assert isinstance(outcome(content, tmp_path / "work"), TileSet)


def claiming(content: bytes, height: int, width: int) -> bytes:
    """A TIFF whose header says that it is this large."""
    data = bytearray(content)
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    for entry in range(first + 2, first + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if tag in (256, 257):
            struct.pack_into("<HHII", data, entry, tag, 4, 1, width if tag == 256 else height)
    return bytes(data)


def virtual(height: int, width: int) -> str:
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><SRS>EPSG:32614</SRS>'
        "<GeoTransform>500000, 0.001, 0, 4400000, 0, -0.001</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"/></VRTDataset>'
    )


LIMITED = """
import atexit, resource
from tile2vec_cli.cli import main
atexit.register(lambda: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10))
resource.setrlimit(resource.RLIMIT_AS, (4 << 30,) * 2)
main()
"""


def test_a_header_that_claims_a_billion_pixels_a_side_takes_no_memory(
    tmp_path: Path, whole: Callable[[str, str], bytes]
) -> None:
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for compress, layout in KINDS:
        for side in (10**9, 10**7, 10**5):
            damaged = claiming(whole(compress, layout), side, side)
            (scenes / f"{compress}_{layout}_{side}.tif").write_bytes(damaged)
    (scenes / "wide.tif").write_bytes(claiming(whole("deflate", "striped"), 80, 10**9))
    (scenes / "high.tif").write_bytes(claiming(whole("deflate", "striped"), 10**9, 72))
    (scenes / "virtual.vrt").write_text(virtual(10**9, 10**9))
    command = [sys.executable, "-c", LIMITED, "tile", scenes, "--out", tmp_path / "out", "--workers", "1"]
    done = subprocess.run(
        [*command, "--size", str(SIDE)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 65
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")  # no scene at all opens: the first is named
    command[-3] = str(tmp_path / "with_one")
    (scenes / "sound.tif").write_bytes(whole("deflate", "tiled"))
    done = subprocess.run(
        [*command, "--size", str(SIDE)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 65
    *lines, last = done.stderr.splitlines()
    assert last.endswith(f"1 made, 0 skipped (up to date), {len(lines)} failed")
    assert len(lines) == len(list(scenes.iterdir())) - 1
    assert all(line.startswith(f"error: {scenes}") for line in lines)
    assert [path.name for path in (tmp_path / "with_one" / "parts").iterdir()] == ["sound"]
    assert int(done.stdout.splitlines()[-1]) < 2_000  # MiB


def test_a_size_that_cannot_be_is_named(tmp_path: Path, whole: Callable[[str, str], bytes]) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(claiming(whole("deflate", "striped"), 10**5, 10**5))
    with pytest.raises(DataError, match=r"claims 100,000 rows of 100,000 pixels; a file of [\d,]+ bytes"):
        describe(str(path))
    (tmp_path / "a.vrt").write_text(virtual(1 << 24, 1 << 24))
    assert describe(str(tmp_path / "a.vrt")).width == 1 << 24
    (tmp_path / "b.vrt").write_text(virtual(1, (1 << 24) + 1))
    with pytest.raises(DataError, match="sides up to 16,777,216"):
        describe(str(tmp_path / "b.vrt"))
    with pytest.raises(DataError, match="a row of its tiles takes"):
        cut([str(tmp_path / "a.vrt")], tmp_path / "out", TileConfig(size=200), strict=True)


def test_a_sparse_file_of_a_billion_pixels_is_no_lie(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    profile = PROFILE | {"count": 1, "height": 30_000, "width": 40_000, "nodata": None, "tiled": True}
    with rasterio.open(path, "w", **profile, sparse_ok=True, compress="deflate") as target:
        target.write(PIXELS[:1, :80, :72], window=((25_600, 25_680), (256, 328)))
    with open_scene(str(path)) as scene:
        _, valid = scene.read(25_590, 25_700, 0, 1000)
    expected = np.zeros((110, 1000), bool)
    expected[10:, 256:512] = True  # the whole block is there
    assert valid is not None and (valid == expected).all()
    assert path.stat().st_size < 1 << 20

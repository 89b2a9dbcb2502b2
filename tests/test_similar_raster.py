"""`tile2vec similar --raster`: each pixel against the distance of the tile that lies there."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from embedded import Tool, call, truth, write
from rasterio.transform import from_origin
from rasterio.warp import transform as warp
from rio_cogeo.cogeo import cog_validate

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet

SCENES = {  # CRS, west, north, date: b lies over a's east half, a year earlier; c elsewhere, in Albers
    "a": ("EPSG:32633", 500_000, 5_400_000, "2021:06:01 00:00:00"),
    "b": ("EPSG:32633", 500_320, 5_400_000, "2020:06:01 00:00:00"),
    "c": ("EPSG:3035", 4_700_000, 3_000_000, "2020:06:01 00:00:00"),
}


@pytest.fixture
def similar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path) -> Tool:
    monkeypatch.chdir(data)
    return partial(call, capsys, monkeypatch, "similar")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of 8 × 8 tiles of 80 m, and embeddings of them."""
    folder = tmp_path_factory.mktemp("raster")
    random = np.random.default_rng(0)
    for name, (crs, west, north, date) in SCENES.items():
        profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint8", "crs": crs}
        with rasterio.open(
            folder / f"{name}.tif", "w", transform=from_origin(west, north, 10, 10), **profile
        ) as file:
            file.write(random.integers(1, 255, (1, 64, 64), np.uint8))
            file.update_tags(TIFFTAG_DATETIME=date)
    cutting.cut([str(folder / f"{name}.tif") for name in SCENES], folder / "tiles", TileConfig(size=8))
    for part in TileSet.open(folder / "tiles").parts:
        for kind in ("float32", "int8"):
            write(folder / kind / f"{part.name}.parquet", part, random.normal(size=(part.count, 5)), kind)
    (folder / "utm").mkdir()
    for name in "ab":
        (folder / "utm" / f"{name}.parquet").write_bytes(
            (folder / "float32" / f"{name}.parquet").read_bytes()
        )
    return folder


def distances(ids: list[str], vectors: np.ndarray, to: list[str], without: list[str]) -> np.ndarray:
    """(N,) as the help says them: to the nearest example, NaN for what is nearer to a counter-example."""

    def nearest(names: list[str]) -> np.ndarray:
        rows = [ids.index(name) for name in names]
        return np.min([np.linalg.norm(vectors - vectors[row], axis=1) for row in rows], axis=0)

    near = nearest(to)
    return np.where(nearest(without) < near, np.nan, near) if without else near


def seen(path: Path, shapes: np.ndarray) -> np.ndarray:
    """(N,) the pixel at the centre of each footprint; infinite beyond the map."""
    with rasterio.open(path) as file:
        centres = shapely.centroid(shapes)
        x, y = warp("OGC:CRS84", file.crs, shapely.get_x(centres), shapely.get_y(centres))
        rows, cols = map(np.asarray, rasterio.transform.rowcol(file.transform, x, y))
        inside = (rows >= 0) & (rows < file.height) & (cols >= 0) & (cols < file.width)
        pixels = file.read(1)
        return np.where(inside, pixels[rows * inside, cols * inside], np.inf)


@pytest.mark.parametrize("kind", ["float32", "int8"])
@pytest.mark.parametrize("without", [[], ["a/24/8", "c/0/8"]])
def test_each_pixel_is_the_distance_of_its_tile(
    similar: Tool, data: Path, tmp_path: Path, kind: str, without: list[str]
) -> None:
    ids, vectors, shapes = truth(data / kind)
    to = ["a/0/0", "c/40/16"]
    options = [word for name in to for word in ("--to", name)]
    options += [word for name in without for word in ("--not", name)]
    run = similar(kind, *options, "--tiles", "tiles", "--raster", tmp_path / "near.tif", "--json")
    assert run.code == 0, run.err
    names = ["near-EPSG_32633.tif", "near-EPSG_3035.tif"]
    assert run.report["maps"] == names
    assert run.report["outputs"] == [str(tmp_path / name) for name in names]
    wanted = distances(ids, vectors, to, without)
    assert np.isnan(wanted).any() == bool(without)
    scenes = np.array([name[0] for name in ids])
    for name, own in zip(names, (scenes == "a", scenes == "c"), strict=True):
        assert cog_validate(tmp_path / name, quiet=True)[0]
        with rasterio.open(tmp_path / name) as file:
            assert file.dtypes == ("float32",) and np.isnan(file.nodata)
            assert file.res == (80, 80)
            assert file.tags()["TILE2VEC_FORMAT"] == "tile2vec-similar/1"
            assert file.tags()["TILE2VEC_VALUE"].startswith("Euclidean distance")
            assert file.count == 1
        # The newest date wins where a and b overlap: a.
        found = seen(tmp_path / name, shapes[own])
        assert np.allclose(found, wanted[own], rtol=1e-6, equal_nan=True)
    old = seen(tmp_path / names[0], shapes[scenes == "b"])
    east = np.array([int(name.split("/")[2]) >= 32 for name in ids])[scenes == "b"]
    assert np.allclose(old[east], wanted[scenes == "b"][east], rtol=1e-6, equal_nan=True)
    # What the table names has the same distance.
    for row in run.report["similar"]:
        at = ids.index(row["tile_id"])
        assert wanted[at] == pytest.approx(row["distance"], rel=1e-6)


def test_without_tiles_it_lies_in_the_utm_zone(similar: Tool, data: Path, tmp_path: Path) -> None:
    ids, vectors, shapes = truth(data / "utm")
    run = similar("utm", "--to", "a/8/8", "--raster", tmp_path / "near.tif", "--json")
    assert run.code == 0, run.err
    with rasterio.open(tmp_path / "near.tif") as file:
        assert file.crs.to_epsg() == 32633
    own = np.array([name[0] == "a" for name in ids])
    wanted = distances(ids, vectors, ["a/8/8"], [])
    assert np.allclose(seen(tmp_path / "near.tif", shapes[own]), wanted[own], rtol=1e-6)


def test_tiles_on_no_grid_are_refused(similar: Tool, data: Path, tmp_path: Path) -> None:
    rest = ("--to", "c/0/0", "--raster", tmp_path / "near.tif")
    # An Albers scene is turned against its UTM zone; --tiles tell its own CRS.
    run = similar("float32", *rest)
    assert (run.code, len(run.err.splitlines())) == (65, 1)
    assert "float32: the tiles of c lie on no grid in EPSG:32633, up to " in run.err
    assert "Give --tiles" in run.err
    assert not list(tmp_path.iterdir())
    random = np.random.default_rng(0)
    corner = random.uniform(0, 1, (30, 2))
    boxes = shapely.box(corner[:, 0], corner[:, 1], corner[:, 0] + 0.01, corner[:, 1] + 0.01)
    vectors = list(random.normal(size=(30, 4)))
    theirs = geopandas.GeoDataFrame({"embedding": vectors}, geometry=boxes, crs="OGC:CRS84")
    theirs.to_parquet(tmp_path / "theirs.parquet")
    run = similar(tmp_path / "theirs.parquet", "--to", "0", "--raster", tmp_path / "near.tif")
    assert (run.code, len(run.err.splitlines())) == (65, 1)
    assert "lie on no grid in OGC:CRS84" in run.err
    # On a grid with holes it is one.
    west, south = np.divmod(random.permutation(100)[:30], 10) / np.array([[100], [100]])
    theirs.set_geometry(shapely.box(west, south, west + 0.01, south + 0.01)).to_parquet(
        tmp_path / "theirs.parquet"
    )
    run = similar(tmp_path / "theirs.parquet", "--to", "0", "--raster", tmp_path / "near.tif")
    assert run.code == 0, run.err
    with rasterio.open(tmp_path / "near.tif") as file:
        assert np.isfinite(file.read(1)).sum() == 30


def test_again_is_no_work(similar: Tool, data: Path, tmp_path: Path) -> None:
    base = ("float32", "--to", "a/0/0", "--tiles", "tiles", "--json")
    outs = (
        "--raster",
        tmp_path / "near.tif",
        "--picture",
        tmp_path / "near.png",
        "--out",
        tmp_path / "near.csv",
    )
    first = similar(*base, *outs)
    assert first.code == 0, first.err
    state = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    again = similar(*base, *outs)
    assert again.report["up_to_date"]
    for key in ("similar", "maps", "outputs"):
        assert again.report[key] == first.report[key]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()} == state
    # One map that is gone is made again, the same.
    (tmp_path / "near-EPSG_3035.tif").unlink()
    assert similar(*base, *outs).code == 0
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {
        path: bytes for path, (_, bytes) in state.items()
    }
    other = similar(*base, *outs[:2], "--to", "a/8/8")
    assert other.code == 65 and "near.tif: made with to = " in other.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--raster", "near.png"), 2, "--raster near.png: is no map; needs .tif, .tiff."),
        (("--raster", "near.tif", "--picture", "near.png"), 2, "--picture and --tiles: each needs"),
        (("--tiles", "tiles"), 2, "--picture and --tiles: each needs"),
        (("--raster", "near.tif", "--tiles", "nowhere"), 66, "nowhere: no such folder; a tile set"),
    ],
)
def test_errors_are_one_line(similar: Tool, options: tuple[object, ...], code: int, message: str) -> None:
    run = similar("float32", "--to", "a/0/0", *options)
    assert run.code == code, run.err
    assert message in run.err and len(run.err.splitlines()) == 1

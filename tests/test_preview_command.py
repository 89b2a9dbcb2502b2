"""`tile2vec preview`: the colours of a singular value decomposition, each where its tile lies."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import geopandas
import matplotlib.image
import numpy as np
import pytest
import rasterio
import shapely
from embedded import Tool, call, truth, write
from pyproj import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform as warp
from rio_cogeo.cogeo import cog_validate

from tile2vec_cli.config.pipeline import TileConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.tiling import cutting
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.views import mosaics
from tile2vec_cli.views.spectra import Components, Moments

SIZE, DIM = 8, 12
SCENES = {  # CRS, west, north, date: b lies over a's east half, a year later; c in the next zone
    "a": ("EPSG:32633", 500_000, 5_400_000, "2020:06:01 00:00:00"),
    "b": ("EPSG:32633", 500_640, 5_400_000, "2021:06:01 00:00:00"),
    "c": ("EPSG:32634", 400_000, 5_300_000, "2020:06:01 00:00:00"),
}


@pytest.fixture
def preview(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path) -> Tool:
    monkeypatch.chdir(data)
    return partial(call, capsys, monkeypatch, "preview")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes of 16 × 16 tiles in two zones, and embeddings of them."""
    folder = tmp_path_factory.mktemp("preview")
    random = np.random.default_rng(0)
    for name, (crs, west, north, date) in SCENES.items():
        profile = {"driver": "GTiff", "width": 128, "height": 128, "count": 3, "dtype": "uint8", "crs": crs}
        profile["transform"] = from_origin(west, north, 10, 10)
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as file:
            file.write(random.integers(1, 255, (3, 128, 128), np.uint8))
            file.update_tags(TIFFTAG_DATETIME=date)
    paths = [str(folder / f"{name}.tif") for name in SCENES]
    cutting.cut(paths, folder / "tiles", TileConfig(size=SIZE))
    cutting.cut(paths[:1], folder / "half", TileConfig(size=SIZE, stride=SIZE // 2))
    cutting.cut(paths[2:], folder / "only-c", TileConfig(size=SIZE))
    mixing = random.normal(size=(DIM, DIM)) * np.linspace(3, 0.1, DIM)[:, None]
    for tiles, kinds in (("tiles", ("float32", "int8", "later")), ("half", ("half-set",))):
        for part, kind in itertools.product(TileSet.open(folder / tiles).parts, kinds):
            shift = 500 + (kind == "later")
            vectors = random.normal(size=(part.count, DIM)) @ mixing + shift
            write(
                folder / kind / f"{part.name}.parquet", part, vectors, "int8" if kind == "int8" else "float32"
            )
    part = TileSet.open(folder / "tiles").parts[0]
    write(folder / "other.parquet", part, random.normal(size=(part.count, DIM)), model="another")
    write(folder / "narrow.parquet", part, random.normal(size=(part.count, 2)))
    return folder


def colours(vectors: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """(N, 3), as the help says them to be."""
    middle = fit.mean(axis=0)
    _, _, axes = np.linalg.svd(fit - middle, full_matrices=False)
    axes = np.array([axis * np.sign(axis[np.abs(axis).argmax()]) for axis in axes[:3]])
    low, high = np.percentile((fit - middle) @ axes.T, [2, 98], axis=0)
    return np.rint(255 * np.clip(((vectors - middle) @ axes.T - low) / (high - low), 0, 1))


def require_colours(path: Path, ids: list[str], shapes: np.ndarray, wanted: np.ndarray) -> None:
    """Each tile's pixel has its colour, and no other pixel has any."""
    with rasterio.open(path) as source:
        assert source.colorinterp[3].name == "alpha"
        pixels = source.read()
        centres = shapely.centroid(shapes)
        lon, lat = shapely.get_x(centres), shapely.get_y(centres)
        x, y = warp("OGC:CRS84", source.crs, lon, lat)
        rows, cols = rasterio.transform.rowcol(source.transform, x, y)
    found = pixels[:, rows, cols].T
    assert (found[:, 3] == 255).all()
    assert np.abs(found[:, :3].astype(int) - wanted).max() <= 1, ids[0]
    assert (pixels[3] > 0).sum() == len(set(zip(rows, cols, strict=True))) == len(ids)


@pytest.mark.parametrize("kind", ["float32", "int8"])
@pytest.mark.parametrize("options", [(), ("--tiles", "tiles")], ids=["utm", "tiles"])
def test_each_tile_is_a_pixel(preview: Tool, data: Path, tmp_path: Path, kind: str, options: tuple) -> None:
    run = preview(kind, "--out", tmp_path / "map.tif", *options, "--json")
    assert run.code == 0, run.err
    files = [tmp_path / f"map-EPSG_3263{zone}.tif" for zone in (3, 4)]
    assert run.report["outputs"] == list(map(str, files))
    assert [one["pixel"] for one in run.report["maps"]] == pytest.approx(np.full((2, 2), 80), rel=1e-6)
    assert all(cog_validate(path)[0] for path in files)
    ids, vectors, shapes = truth(data / kind)
    wanted = colours(vectors, vectors)
    scene = np.array([name[0] for name in ids])
    west = np.array([int(name.split("/")[2]) < 64 for name in ids])
    # The east half of a lies beneath b, which is newer.
    assert run.report["beneath"] == 128
    for path, shown in ((files[0], ((scene == "a") & west) | (scene == "b")), (files[1], scene == "c")):
        require_colours(path, np.array(ids)[shown].tolist(), shapes[shown], wanted[shown])
    variance = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2
    assert run.report["variance"] == pytest.approx(variance[:3] / variance.sum(), rel=1e-4)


def test_a_second_date_in_the_colours_of_the_first(preview: Tool, data: Path, tmp_path: Path) -> None:
    assert preview("later", "--fit-on", "float32", "--out", tmp_path / "map.tif").code == 0
    ids, vectors, shapes = truth(data / "later")
    shown = np.array([name[0] == "c" for name in ids])
    wanted = colours(vectors, truth(data / "float32")[1])
    require_colours(
        tmp_path / "map-EPSG_32634.tif", np.array(ids)[shown].tolist(), shapes[shown], wanted[shown]
    )
    for options, message in (
        (("other.parquet", "--fit-on", "float32"), "other.parquet: made by another model than float32"),
        (
            ("narrow.parquet", "--fit-on", "float32"),
            "narrow.parquet: vectors of 2 numbers, but 12 in float32",
        ),
    ):
        run = preview(*options, "--out", tmp_path / "never.tif")
        assert run.code == 65 and message in run.err


@pytest.mark.parametrize("options", [(), ("--tiles", "half")], ids=["utm", "tiles"])
def test_overlapping_tiles_are_as_far_apart_as_their_stride(
    preview: Tool, data: Path, tmp_path: Path, options: tuple
) -> None:
    run = preview("half-set", "--out", tmp_path / "map.tif", *options, "--json")
    (one,) = run.report["maps"]
    assert one["pixel"] == pytest.approx([40, 40])
    assert (one["width"], one["height"], one["filled"], run.report["beneath"]) == (31, 31, 31**2, 0)
    ids, vectors, shapes = truth(data / "half-set")
    require_colours(tmp_path / "map.tif", ids, shapes, colours(vectors, vectors))


def test_other_peoples_boxes_and_points(preview: Tool, tmp_path: Path) -> None:
    """Boxes in longitude and latitude, across the antimeridian; points on a grid."""
    random = np.random.default_rng(3)
    lon, lat = (axis.ravel() for axis in np.meshgrid(179.9 + 0.01 * np.arange(20), 10 + 0.01 * np.arange(9)))
    boxes = [shapely.box(x, y, x + 0.01, y + 0.01) for x, y in zip(lon, lat, strict=True)]
    east = [shapely.affinity.translate(box, -360 * (box.centroid.x > 180)) for box in boxes]
    frame = geopandas.GeoDataFrame(
        {"embedding": list(random.normal(size=(180, 4)))}, geometry=east, crs="OGC:CRS84"
    )
    frame.to_parquet(tmp_path / "boxes.parquet")
    run = preview(tmp_path / "boxes.parquet", "--out", tmp_path / "boxes.tif", "--json")
    (one,) = run.report["maps"]
    assert (one["width"], one["height"], one["filled"]) == (20, 9, 180)
    assert one["pixel"] == pytest.approx([0.01, 0.01])
    x, y = np.meshgrid(500_000 + 250 * np.arange(12), 250 * np.arange(7))
    points = geopandas.GeoDataFrame(
        {"embedding": list(random.normal(size=(84, 4)))},
        geometry=geopandas.points_from_xy(x.ravel(), y.ravel()),
        crs="EPSG:32633",
    )
    points.to_parquet(tmp_path / "points.parquet")
    run = preview(tmp_path / "points.parquet", "--out", tmp_path / "points.tif", "--json")
    assert run.report["maps"][0] | {"pixel": 0} == {
        "crs": "EPSG:32633", "pixel": 0, "width": 12, "height": 7, "filled": 84
    }  # fmt: skip
    assert preview(tmp_path / "points.parquet", "--out", tmp_path / "points.png").code == 0


def test_tiles_far_apart_share_pixels(preview: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosaics, "MOST_PIXELS", 100)
    run = preview("half-set", "--out", tmp_path / "map.tif", "--json")
    (one,) = run.report["maps"]
    assert one["pixel"] == pytest.approx([160, 160])
    assert (one["width"], one["height"], one["filled"]) == (8, 8, 64)
    assert run.report["beneath"] == 31**2 - 64


def test_a_coarse_tile_has_many_pixels() -> None:
    """Two tiles of 30 in a field of tiles of 10: no holes, whatever their order."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(5, 60, 10.0), np.arange(5, 60, 10.0)))
    fine = np.column_stack([x, y])[(x > 30) | (y < 30)]
    xy = np.concatenate([[[15, 45]], fine])
    steps = np.concatenate([[[30, 30]], np.full(fine.shape, 10)]).astype(float)
    time = np.full(len(xy), np.datetime64("NaT"), "datetime64[ms]")
    found = mosaics._mosaic("EPSG:32633", np.arange(len(xy)), xy, steps, time)
    picture = np.full((found.height, found.width), -1)
    picture[found.row, found.col] = found.tile
    assert (
        picture.shape == (6, 6) and (picture[:3, :3] == 0).all() and (np.sort(picture[3:].ravel()) > 0).all()
    )


def test_one_crs_in_two_spellings_is_one_map() -> None:
    placing = mosaics.Placing()
    for number, spelling in enumerate(("EPSG:32633", CRS("EPSG:32633").to_wkt())):
        placing._lattices[str(number)] = mosaics._Lattice(spelling, (100.0, 100.0))
    points = shapely.points(15 + 0.001 * np.arange(20), np.full(20, 48.0))
    scene = np.array(["0", "1"] * 10, dtype=object)
    placing.add(Embeddings.of(np.zeros((20, 2)), points, scene=scene))
    (one,) = placing.mosaics()
    assert len(one.tile) == len(set(one.col)) and one.height == 1


def test_moments_far_from_zero_are_those_of_numpy() -> None:
    random = np.random.default_rng(4)
    vectors = random.normal(size=(1000, 5)) @ random.normal(size=(5, 5)) + 1e6
    moments = Moments()
    for start in (0, 1, 400):
        moments.add(vectors[start : {0: 1, 1: 400, 400: None}[start]])
    assert np.allclose(moments.mean, vectors.mean(axis=0), rtol=1e-12)
    assert np.allclose(moments.scatter / 999, np.cov(vectors.T), rtol=1e-6)
    flat = Moments()
    flat.add(np.ones((10, 5)))
    assert (Components.of(flat).axes == 0).all() and Components.of(flat).shares == (0, 0, 0)


def test_the_picture_shows_places_in_their_colours(preview: Tool, data: Path, tmp_path: Path) -> None:
    assert preview("float32", "--out", tmp_path / "map.png").code == 0
    picture = np.rint(matplotlib.image.imread(tmp_path / "map.png")[..., :3] * 255)
    _, vectors, _ = truth(data / "float32")
    for wanted in colours(vectors, vectors)[-256::16]:  # of c, which nothing lies over
        assert (np.abs(picture - wanted).max(axis=-1) <= 1).sum() > 100


def test_the_sheet_has_a_row_a_cluster(preview: Tool, data: Path, tmp_path: Path) -> None:
    base = ("float32", "--tiles", "tiles", "--out", tmp_path / "map.png", "--sheet", tmp_path / "kinds.png")
    run = preview(*base, "--clusters", 4, "--json")
    assert run.code == 0, run.err
    assert len(run.report["clusters"]) == 4 and sum(run.report["clusters"]) == 3 * 256
    assert matplotlib.image.imread(tmp_path / "kinds.png").shape[0] > 500
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = preview(*base, "--clusters", 4, "--json")
    assert again.report["up_to_date"] and again.report["outputs"] == run.report["outputs"]
    (tmp_path / "kinds.png").unlink()
    assert preview(*base, "--clusters", 4).code == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    other = preview(*base, "--clusters", 5)
    assert other.code == 65 and "made with clusters = 4; this run has 5" in other.err


def test_maps_of_another_extent_replace_those_before(preview: Tool, data: Path, tmp_path: Path) -> None:
    own, out = tmp_path / "own", tmp_path / "map.tif"
    own.mkdir()
    for path in (data / "float32").iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    assert preview(own, "--out", out).code == 0
    (own / "c.parquet").unlink()
    run = preview(own, "--out", out, "--json")
    assert not run.report["up_to_date"]
    assert sorted(path.name for path in tmp_path.glob("map*")) == ["map.tif", "map.tif.json"]
    # A file that someone else put where one of ours would go stays.
    (own / "c.parquet").write_bytes((data / "float32" / "c.parquet").read_bytes())
    (tmp_path / "map-EPSG_32634.tif").write_text("mine")
    run = preview(own, "--out", out)
    assert run.code == 65 and "map-EPSG_32634.tif: exists and is not what `preview` wrote" in run.err
    assert (tmp_path / "map-EPSG_32634.tif").read_text() == "mine" and out.exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (
            ("--out", "map.jpg"),
            2,
            "names no format; needs .tif, .tiff, .png, .svg, .pdf.",
        ),
        (("--out", "map.tif", "--sheet", "s.png"), 2, "--sheet: needs the tiles' pixels. Give --tiles."),
        (
            ("--out", "map.tif", "--sheet", "s.jpg", "--tiles", "tiles"),
            2,
            "names no picture; needs .png",
        ),
        (("--out", "s.png", "--sheet", "s.png", "--tiles", "tiles"), 2, "is --out too"),
        (("--out", "map.tif", "--tiles", "only-c"), 65, "only-c: holds no scene a;"),
        (("--out", "map.tif", "--clusters", "0"), 2, "--clusters 0: needs a number of at least 1."),
        (
            ("--out", "map.tif", "--sheet", "s.png", "--tiles", "tiles", "--clusters", "769"),
            65,
            "--clusters 769: float32 holds 768 tiles",
        ),
        (("--out", "map.tif", "--fit-on", "none.parquet"), 66, "none.parquet"),
        (("--out", "float32/map.tif"), 2, "float32/map.tif: lies where float32 does"),
        (("--out", "tiles"), 2, "its suffix names no format"),
    ],
)
def test_errors_are_one_line(preview: Tool, options: tuple[object, ...], code: int, message: str) -> None:
    run = preview("float32", *options)
    assert run.code == code, run.err
    assert message in run.err
    assert len(run.err.splitlines()) == 1

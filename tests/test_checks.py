from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import forks
import numpy as np
import pytest
from conftest import Run, SceneWriter

from tile2vec_cli.geo import geoparquet

Command = Callable[..., Run]


@pytest.fixture(scope="module")
def tile2vec() -> Command:
    """As everywhere, but forked: these tests run some sixty commands."""

    def run(*arguments: object) -> Run:
        done = forks.run(arguments)
        return Run(done.code, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="module")
def made(tile2vec: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bit of everything that the commands make."""
    import rasterio

    folder = tmp_path_factory.mktemp("made")
    (folder / "scenes").mkdir()
    profile = {
        "driver": "GTiff",
        "count": 2,
        "height": 64,
        "width": 64,
        "dtype": "int16",
        "crs": "EPSG:32614",
    }
    for number in range(2):
        pixels = np.random.default_rng(number).integers(1, 250, (2, 64, 64)).astype("int16")
        pixels[0, 3, number] = -1
        place = rasterio.transform.from_origin(500_000 + 700 * number, 4_400_000, 10, 10)
        with rasterio.open(
            folder / f"scenes/s{number}.tif", "w", **profile, nodata=-1, transform=place
        ) as file:
            file.write(pixels)
    for argv in commands(folder):
        run = tile2vec(*argv)
        assert run.code == 0, run.err
    return folder


def commands(folder: Path) -> Iterator[list[object]]:
    tiles, triplets, model = folder / "tiles", folder / "triplets.parquet", folder / "model"
    yield ["tile", folder / "scenes", "--out", tiles, "--size", 8, "--min-valid", 0.5]
    yield ["sample-triplets", tiles, "--out", triplets, "--count", 500, "--neighborhood", 100]
    yield [
        "train",
        triplets,
        "--tiles",
        tiles,
        "--out",
        model,
        "--encoder",
        "small",
        "--dim",
        4,
        "--steps",
        2,
    ]
    yield ["embed", tiles, "--model", model, "--out", folder / "vectors"]
    yield ["embed", tiles, "--model", model, "--out", folder / "vectors.parquet"]


OUTPUTS = {"tiles": 2, "triplets.parquet": 1, "model": 1, "vectors": 2, "vectors.parquet": 1}


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_is_whole_passes(tile2vec: Command, made: Path, name: str) -> None:
    run = tile2vec("check", made / name, "--json")
    assert run.code == 0, run.err
    assert (run.report["checked"], run.report["damaged"]) == (OUTPUTS[name], 0)


@pytest.mark.parametrize(
    "name",
    [
        "tiles/parts/s1/pixels.npy",
        "tiles/parts/s1/valid.npy",
        "tiles/parts/s1/tiles.parquet",
        "tiles/parts/s1/part.json",
        "triplets.parquet",
        "model/model.safetensors",
        "model/model.json",
        "vectors/s1.parquet",
        "vectors.parquet",
    ],
)
def test_a_changed_byte_is_found_and_what_it_spoils_is_made_again(
    tile2vec: Command, made: Path, name: str
) -> None:
    path, whole = made / name, (made / name).read_bytes()
    middle = len(whole) // 2
    if path.suffix == ".json":  # a digit, so that it stays JSON
        middle = max(i for i, byte in enumerate(whole) if chr(byte) in "12345678")
    if path.suffix == ".parquet":  # of the pages, which have checksums; the footer behind them has none
        middle = (len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    root = made / name.split("/")[0]
    unit = made / "/".join(name.split("/")[:3]) if name.startswith("tiles") else path
    unit = root if name.startswith("model") else unit
    run = tile2vec("check", root, "--json", "--remove")
    assert run.code == 65
    assert run.report["failed"] == [str(unit)]
    assert str(unit) in run.err
    for argv in commands(made):
        again = tile2vec(*argv)
        assert again.code == 0, again.err
    assert path.read_bytes() == whole


def test_what_is_nothing_of_ours(tile2vec: Command, tmp_path: Path, write_scene: SceneWriter) -> None:
    assert tile2vec("check", tmp_path / "none").code == 66
    assert tile2vec("check", write_scene("a.tif", np.ones((1, 4, 4), np.uint8))).code == 65
    (tmp_path / "folder").mkdir()
    run = tile2vec("check", tmp_path / "folder")
    assert run.code == 66 and "manifest.json" in run.err
    (tmp_path / "folder" / "manifest.json").write_text(json.dumps({"format": "other/1"}))
    assert tile2vec("check", tmp_path / "folder").code == 65


def test_only_what_is_damaged_is_removed(tile2vec: Command, made: Path, tmp_path: Path) -> None:
    for name in ("vectors", "tiles", "model"):
        shutil.copytree(made / name, tmp_path / name)
    table = tmp_path / "vectors" / "classes.parquet"
    geoparquet.write(table, geoparquet.read(made / "tiles" / "parts" / "s0" / "tiles.parquet")[0])
    newer = tmp_path / "vectors" / "s1.parquet"
    rows, footer = geoparquet.read(newer)
    geoparquet.write(newer, rows, {"tile2vec": footer["tile2vec"].replace("embeddings/1", "embeddings/2")})
    (tmp_path / "tiles" / "parts" / "notes.txt").write_text("mine")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"damaged")
    (tmp_path / "vectors" / "s0.parquet").write_bytes(b"damaged")
    runs = {name: tile2vec("check", tmp_path / name, "--remove") for name in ("vectors", "tiles", "model")}
    assert {name: run.code for name, run in runs.items()} == {"vectors": 65, "tiles": 0, "model": 65}
    assert "classes.parquet: not made by `tile2vec embed`" in runs["vectors"].err
    left = {path.name for path in (tmp_path / "vectors").iterdir()}
    assert left == {"classes.parquet", "s1.parquet", "manifest.json"}
    assert (tmp_path / "tiles" / "parts" / "notes.txt").exists()
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["notes.txt"]
    assert tile2vec("check", table, "--remove").code == 65
    assert table.exists()

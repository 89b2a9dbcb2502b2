"""Scenes behind a server that is slow, forgetful or moody."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
from conftest import Run, SceneWriter
from rasterio.errors import RasterioError

from tile2vec_cli.config.pipeline import TileConfig, TripletConfig
from tile2vec_cli.errors import DataError, InputError
from tile2vec_cli.geo import locations, rasters
from tile2vec_cli.geo.scene_lists import choose
from tile2vec_cli.tiling import cutting, triplets
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet

Noise = Callable[..., np.ndarray]


@dataclass
class Server:
    """Serves one file in ranges, and misbehaves as told."""

    content: bytes
    etag: str = '"1"'
    fail: int = 0  # so many answers are 503 before all is well
    cut_after: int | None = None  # requests after which connections break off
    cut_from: int | None = None  # the byte from which on they do
    change_after: int | None = None  # requests after which the file is another
    other: bytes = b""
    pause_s: float = 0.0  # in the middle of each answer
    requests: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/scene.tif"


HEAD_BYTES = 16384  # what GDAL asks for when it opens a file
PATHS = ("/scene.tif", "/scene", "/scene_red.tif", "/scene_nir.tif")  # one file by several names


@pytest.fixture
def server(write_scene: SceneWriter, noise: Noise) -> Iterator[Server]:
    scene = write_scene("scene.tif", noise(2, 200, 200), tiled=True, blockxsize=64, blockysize=64)
    state = Server(scene.read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            with state.lock:
                state.requests += 1
                number = state.requests
                failing = state.fail > 0
                state.fail -= failing
            if failing:
                self.send_error(503)
                return
            asked = int(self.headers.get("Range", "").rpartition("-")[2] or 0)
            if (state.cut_after is not None and number > state.cut_after) or (
                state.cut_from is not None and asked >= state.cut_from
            ):
                self.wfile.write(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 99999\r\n\r\nshort")
                return
            changed = state.change_after is not None and number > state.change_after
            content = state.other if changed else state.content
            first, last = 0, len(content) - 1
            wanted = self.headers.get("Range", "").removeprefix("bytes=")
            if wanted and self.path in PATHS:
                start, _, stop = wanted.partition("-")
                first, last = int(start), min(int(stop) if stop else last, last)
            if self.path not in PATHS:
                self.send_error(404)
                return
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("ETag", '"2"' if changed else state.etag)
            self.send_header("Accept-Ranges", "bytes")
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.end_headers()
            if with_body:
                middle = (first + last) // 2
                self.wfile.write(content[first:middle])
                time.sleep(state.pause_s)
                self.wfile.write(content[middle : last + 1])

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        state.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield state
        listening.shutdown()


@pytest.mark.parametrize("prefix", ["", "/vsicurl/"])
def test_a_remote_scene_gives_the_same_tiles(
    tile2vec: Callable[..., Run], server: Server, tmp_path: Path, prefix: str
) -> None:
    run = tile2vec("tile", prefix + server.url, "--out", tmp_path / "far", "--size", 50, "--json")
    assert run.code == 0, run.err
    near = tile2vec("tile", tmp_path / "scene.tif", "--out", tmp_path / "near", "--size", 50, "--json")
    assert run.report["tiles"] == near.report["tiles"] == 16
    far, near_tiles = TileSet.open(tmp_path / "far"), TileSet.open(tmp_path / "near")
    assert far.fingerprint == near_tiles.fingerprint
    assert tile2vec("tile", prefix + server.url, "--out", tmp_path / "far", "--size", 50, "--json").report[
        "up_to_date"
    ]
    server.etag = '"3"'
    assert not tile2vec(
        "tile", prefix + server.url, "--out", tmp_path / "far", "--size", 50, "--json"
    ).report["up_to_date"]


@pytest.mark.parametrize("virtual", [False, True])
def test_a_stack_of_remote_files(server: Server, tmp_path: Path, virtual: bool) -> None:
    urls = [server.url.replace("scene", f"scene_{band}") for band in ("nir", "red", "qa")]
    chosen = choose(urls, stack=("red", "nir"))
    assert (chosen.names, list(chosen.left_out.values())) == ({chosen.scenes[0]: "scene"}, [1])
    config = TileConfig(size=50, stack=("red", "nir"), virtual=virtual)
    assert cut(chosen.scenes, tmp_path / "far", config).made == 1
    assert cut(chosen.scenes, tmp_path / "far", config).made == 0
    with rasterio.open(tmp_path / "scene.tif") as source:
        expected = source.read(window=((0, 50), (50, 100)))
    found = TileSet.open(tmp_path / "far").pixels(np.array([1]))[0]
    assert (found == np.concatenate([expected, expected])).all()
    server.etag = '"3"'
    assert cut(chosen.scenes, tmp_path / "far", config).made == 1
    missing = choose(urls, stack=("red", "green"))
    with pytest.raises(InputError, match=r"scene_green\.tif: .*404"):
        cut(missing.scenes, tmp_path / "none", replace(config, stack=("red", "green")))


def test_pixels_that_stay_on_the_server(tile2vec: Callable[..., Run], server: Server, tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    assert tile2vec("tile", tmp_path / "scene.tif", "--out", near, "--size", 50).code == 0
    assert tile2vec("tile", server.url, "--out", far, "--size", 50, "--virtual").code == 0
    expected = TileSet.open(near).pixels(np.arange(16))
    assert (TileSet.open(far).pixels(np.arange(16)) == expected).all()
    assert (TileSet.open(far).pixels(np.array([9])) == expected[9]).all()
    server.etag = '"3"'
    with pytest.raises(DataError, match=r"scene\.tif: has changed since .* \(etag \"3\", was \"1\"\)"):
        TileSet.open(far).pixels(np.arange(16))
    server.fail = 1000
    with pytest.raises(InputError, match="the server does not give it"):
        TileSet.open(far).pixels(np.arange(16))


def test_a_server_that_fails_for_a_while_is_asked_again(
    tile2vec: Callable[..., Run], server: Server, tmp_path: Path
) -> None:
    server.fail = 2
    run = tile2vec("tile", server.url, "--out", tmp_path / "far", "--size", 50, "--json")
    assert (run.code, run.report["tiles"]) == (0, 16)


def test_a_slow_server_is_waited_for(
    tile2vec: Callable[..., Run], server: Server, tmp_path: Path, write_scene: SceneWriter, noise: Noise
) -> None:
    server.pause_s = 0.1
    near = write_scene("near.tif", noise(2, 200, 200), tiled=True, blockxsize=64, blockysize=64)
    cutting.cut([str(near)], tmp_path / "near", TileConfig())
    run = tile2vec("tile", server.url, "--out", tmp_path / "far", "--size", 50, "--json")
    assert (run.code, run.report["tiles"]) == (0, 16)
    every = np.arange(16)
    expected = TileSet.open(tmp_path / "near").pixels(every)
    assert (TileSet.open(tmp_path / "far").pixels(every) == expected).all()


@pytest.mark.parametrize("trouble", ["fail", "cut", "change", "gone", "missing"])
def test_a_server_that_goes_on_failing_is_named(
    tile2vec: Callable[..., Run],
    server: Server,
    tmp_path: Path,
    write_scene: SceneWriter,
    noise: Noise,
    trouble: str,
) -> None:
    url = server.url
    if trouble == "fail":
        server.fail = 1000
    elif trouble == "cut":
        server.cut_after = 4
    elif trouble == "change":
        server.change_after = 4
        server.other = write_scene(
            "other.tif", noise(2, 190, 210), tiled=True, blockxsize=64, blockysize=64
        ).read_bytes()
    elif trouble == "gone":
        url = "http://127.0.0.1:9/scene.tif"
    else:
        url = server.url.replace("scene.tif", "nothing.tif")
    run = tile2vec("tile", url, "--out", tmp_path / "far", "--size", 50)
    assert run.code == 66, run.err
    assert url in run.err
    assert run.err.count("\n") == 1
    assert not list(tmp_path.glob("far/parts/*"))


def test_a_virtual_raster_in_disguise_is_refused(
    tile2vec: Callable[..., Run], server: Server, tmp_path: Path
) -> None:
    """It could read any file here as the user; `scene.tif` of a server may be one as well."""
    rasterio.shutil.copy(tmp_path / "scene.tif", tmp_path / "scene.vrt", driver="VRT")
    server.content = (tmp_path / "scene.vrt").read_bytes()
    for path in (server.url, server.url.replace(".tif", "")):
        done = tile2vec("tile", path, "--out", tmp_path / "tiles")
        assert done.code in (65, 66) and done.err.startswith("error: "), done.err
        assert not list((tmp_path / "tiles").glob("parts/*"))


# GDAL with several threads reads ahead, in one of its own: without a second try, and with zeros for what
# does not come. Users set GDAL_NUM_THREADS, too.


@pytest.mark.parametrize("kind", ["remote", "stack", "virtual"])
def test_pixels_that_do_not_come_are_an_error_and_not_zeros(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("GDAL_NUM_THREADS", "4")
    path, others = server.url, {"GDAL_NUM_THREADS": "4"}  # as when another thread has left its `Env`
    if kind == "stack":
        path = path.replace("scene", "scene_{red,nir}")
    elif kind == "virtual":
        path, others = str(tmp_path / "far.vrt"), {}
        rasterio.shutil.copy(f"/vsicurl/{server.url}", path, driver="VRT")
    server.cut_from = HEAD_BYTES
    with rasterio.Env(), rasters.environment(path), rasterio.Env(**others):  # the outermost keeps what is set
        source = rasters.open_dataset(path, threads=4)
        with pytest.raises(RasterioError):
            source.read([1], window=((0, 200), (0, 200)))


def test_training_from_a_server_that_fails_says_one_line(
    tile2vec: Callable[..., Run], server: Server, tmp_path: Path
) -> None:
    cut([server.url], tmp_path / "far", TileConfig(size=50, virtual=True))
    drawn = triplets.draw(TileSet.open(tmp_path / "far"), TripletConfig(count=50))
    triplets.save(tmp_path / "t.parquet", drawn)
    server.cut_from = HEAD_BYTES
    files = ("t.parquet", "--tiles", "far", "--out", "model", "--epochs", 1, "--device", "cpu", "--quiet")
    run = tile2vec("train", *files, cwd=tmp_path, SLURM_CPUS_PER_TASK="4", GDAL_NUM_THREADS="4")
    assert run.code == 66, run.err
    assert run.err.startswith(f"error: {server.url}: rows ") and run.err.count("\n") == 1


@pytest.mark.parametrize("asked", [{}, {"CPL_LOG": "/dev/stdout"}, {"CPL_DEBUG": "OFF"}])
def test_what_gdal_says_in_its_own_threads_goes_where_the_user_wants_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    """Nowhere, if nothing is asked for; what rasterio raises keeps its reason."""
    server.cut_from = HEAD_BYTES
    for name in ("CPL_LOG", "CPL_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    code = f"""if True:
        import rasterio, tile2vec_cli.job.silence as silence
        silence.silence_gdal()
        rasterio.open("{server.url}", NUM_THREADS=4).read()
        rasterio.open("{server.url}.none")"""
    command, env = [sys.executable, "-c", code], {**os.environ, **asked}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    heard = ["ERROR 1: Request for" in words for words in (done.stdout, done.stderr)]
    assert heard == ["CPL_LOG" in asked, "CPL_DEBUG" in asked]
    assert "RasterioIOError: HTTP response code: 404" in done.stderr


def test_identity(server: Server) -> None:
    found = locations.server_identity(f"/vsicurl/{server.url}")
    assert found == {"size": len(server.content), "mtime": None, "etag": '"1"'}
    assert locations.server_identity("s3://bucket/key.tif") == {"size": None, "mtime": None, "etag": None}
    with pytest.raises(InputError, match="404"):
        locations.server_identity(server.url + ".none")

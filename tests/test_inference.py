"""`embed`: the same vectors as the network's own, in files that are made once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from projects import DIM, FP32, content, cut, embed, make, write_model, write_scene

from tile2vec_cli.config.pipeline import EmbedConfig
from tile2vec_cli.embedding import embedding_outputs, inference
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.errors import DataError, InputError, Interrupted, OutputError, UsageError
from tile2vec_cli.geo import geoparquet
from tile2vec_cli.neural import models
from tile2vec_cli.tiling.tiles import TileSet
from tile2vec_cli.workers.work import Shard


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made"))


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "root"))


# --- vectors -----------------------------------------------------------------------------------


def expected(root: Path) -> dict[str, np.ndarray]:
    tiles = TileSet.open(root / "tiles")
    encoder, _ = models.load_encoder(root / "model", torch.device("cpu"))
    with torch.inference_mode():
        vectors = encoder(torch.from_numpy(tiles.pixels(np.arange(len(tiles))))).numpy()
    return dict(zip(tiles.table()["tile_id"].to_pylist(), vectors, strict=True))


@pytest.mark.parametrize(("out", "files"), [("e.parquet", 1), ("e", 3)])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float16", 2e-3), ("int8", 1e-2)])
def test_vectors_are_the_networks(root: Path, out: str, files: int, dtype: str, tolerance: float) -> None:
    report = embed(root, out, EmbedConfig(dtype, 20, precision="fp32"))
    assert (report.tiles, report.dim, report.parts, report.made) == (108, DIM, 3, 3)
    assert report.tiles_per_second > 0
    assert len(list(root.rglob("e*/*.parquet") if files == 3 else root.glob("e.parquet"))) == files
    found = Embeddings.open(root / out)
    truth = expected(root)
    assert set(found.tile_id) == set(truth)
    errors = [
        np.abs(vector - truth[name]).max() for name, vector in zip(found.tile_id, found.vectors, strict=True)
    ]
    assert max(errors) < tolerance * np.abs(found.vectors).max()
    assert np.median(errors) > 0 or dtype == "float32"


def test_bf16_is_close(root: Path) -> None:
    embed(root, "e", EmbedConfig(precision="bf16"))
    found, truth = Embeddings.open(root / "e"), expected(root)
    exact = np.array([truth[name] for name in found.tile_id])
    assert np.linalg.norm(found.vectors - exact) < 0.02 * np.linalg.norm(exact)


def test_the_metadata_names_model_parts_and_settings(root: Path) -> None:
    embed(root, "e.parquet", EmbedConfig("int8", precision="fp32"))
    footer = geoparquet.read_metadata(root / "e.parquet")
    own, emb = json.loads(footer["tile2vec"]), json.loads(footer["emb"])
    assert own["format"] == "tile2vec-embeddings/1"
    assert own["model"] == models.fingerprint(root / "model")
    assert own["settings"] == {"dtype": "int8", "precision": "fp32"}
    assert [part["name"] for part in own["parts"]] == ["a", "b", "c"]
    assert emb["quantization"]["scale"] == [own["scale"]]
    assert emb["chip_layout"] == {"layout_type": "regular_grid", "chip_size": [10, 10], "stride": [10, 10]}


def test_tiles_of_partly_invalid_pixels_have_vectors(tmp_path: Path) -> None:
    write_scene(tmp_path / "scenes" / "a.tif", 500_000)
    with rasterio.open(tmp_path / "scenes" / "a.tif", "r+") as scene:
        scene.nodata = 0
        scene.write(np.zeros((3, 5, 5), np.uint8), window=((0, 5), (0, 5)))
    cut(tmp_path, min_valid=0.5)
    write_model(tmp_path / "model")
    assert embed(tmp_path, "e").tiles == 36


# --- what is made once -------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["e", "e.parquet"])
def test_run_again(root: Path, out: str) -> None:
    first = embed(root, out)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("e*")}
    again = embed(root, out, EmbedConfig(batch_size=5, precision="fp32"))  # how, not what
    assert (again.tiles, again.dim, again.parts, again.made) == (first.tiles, first.dim, first.parts, 0)
    assert again.tiles_per_second is None
    assert {path: path.stat().st_mtime_ns for path in root.rglob("e*")} == before


def test_shards_and_resumed_runs_write_the_same_bytes(root: Path) -> None:
    embed(root, "whole")
    for index in (1, 2):
        embed(root, "shards", shard=Shard(index, 2))
    assert content(root / "shards") == content(root / "whole")
    (root / "shards" / "b.parquet").unlink()
    (root / "shards" / "a.parquet").write_bytes(b"damaged")
    (root / "shards" / ".tmp-0123.parquet").write_bytes(b"of a killed run")
    assert embed(root, "shards").made == 2
    assert content(root / "shards") == content(root / "whole")
    embed(root, "one.parquet")
    embed(root, "two.parquet")
    assert (root / "one.parquet").read_bytes() == (root / "two.parquet").read_bytes()


def test_only_new_and_changed_parts_are_made(tmp_path: Path) -> None:
    root = make(tmp_path)
    embed(root, "e")
    embed(root, "e.parquet")
    write_scene(root / "scenes" / "d.tif", 510_000, seed=7)
    write_scene(root / "scenes" / "b.tif", 501_000, seed=8)
    cut(root)
    before = content(root / "e")
    report = embed(root, "e")
    assert (report.tiles, report.made) == (144, 2)
    after = content(root / "e")
    assert {name for name in after if after[name] != before.get(name)} == {"b.parquet", "d.parquet"}
    assert embed(root, "e.parquet").made == 4
    embed(root, "fresh")
    assert content(root / "fresh") == after


def test_other_settings_or_models_are_refused(root: Path) -> None:
    write_model(root / "other", seed=1)
    for out in ("e", "e.parquet"):
        embed(root, out)
        before = content(root / "e")
        with pytest.raises(DataError, match=r"made with dtype = 'float32'; this run has 'int8'.*--overwrite"):
            embed(root, out, EmbedConfig("int8", precision="fp32"))
        with pytest.raises(DataError, match=r"made with model = .*--overwrite"):
            embed(root, out, model="other")
        assert content(root / "e") == before
        assert embed(root, out, model="other", overwrite=True).made == 3
        assert embed(root, out, model="other", overwrite=True).made == 0
    assert Embeddings.open(root / "e").metadata["model"] == models.fingerprint(root / "other")


def test_a_stop_leaves_whole_files_and_the_rest_is_done_later(root: Path) -> None:
    embed(root, "whole")

    def stop(done: int, _total: int) -> None:
        if done > 60:
            raise Interrupted

    small = EmbedConfig(batch_size=20, precision="fp32")
    with pytest.raises(Interrupted):
        embed(root, "e", small, on_progress=stop)
    with pytest.raises(Interrupted):
        embed(root, "e.parquet", small, on_progress=stop)
    assert not (root / "e.parquet").exists()
    assert not list(root.rglob(".tmp-*"))
    assert "c.parquet" not in content(root / "e")
    assert embed(root, "e", small).made >= 1
    assert content(root / "e") == content(root / "whole")


# --- what goes wrong ---------------------------------------------------------------------------


def test_a_damaged_part_does_not_stop_the_others(root: Path) -> None:
    pixels = root / "tiles" / "parts" / "b" / "pixels.npy"
    whole = pixels.read_bytes()
    pixels.write_bytes(whole[:500])
    report = embed(root, "e")
    assert (report.tiles, report.parts, report.made) == (72, 2, 2)
    (failure,) = report.failed
    assert failure.name == "b"
    assert failure.exit_code == 65
    assert "pixels.npy" in failure.message
    with pytest.raises(DataError, match=r"pixels\.npy"):
        embed(root, "strict", strict=True)
    with pytest.raises(DataError, match=r"pixels\.npy"):
        embed(root, "e.parquet")
    assert not (root / "e.parquet").exists()
    pixels.write_bytes(whole)
    assert embed(root, "e").made == 1


def test_a_part_whose_description_is_damaged_does_not_stop_the_others(root: Path) -> None:
    embed(root, "e")
    (root / "e" / "a.parquet").unlink()
    described = root / "tiles" / "parts" / "b" / "part.json"
    whole = described.read_bytes()
    described.write_bytes(whole[:100])
    report = embed(root, "e")
    assert (report.tiles, report.parts, report.made) == (72, 2, 1)
    assert (report.others, report.removed) == (0, 0)  # what was made of it before is none of these
    (failure,) = report.failed
    assert (failure.name, failure.exit_code) == ("b", 65)
    assert "part.json" in failure.message
    for out, strict in (("e", True), ("e.parquet", False)):
        with pytest.raises(DataError, match=r"part\.json"):
            embed(root, out, strict=strict)
    described.write_bytes(whole)
    assert embed(root, "e").failed == []
    for part in "abc":
        (root / "tiles" / "parts" / part / "part.json").write_text("{")
    with pytest.raises(DataError, match=r"a/part\.json"):
        embed(root, "e")


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"numbers": (3, 2, 1)}, "its bands is 1,2,3; the model .* needs bands 3,2,1"),
        ({"numbers": (1, 2)}, "needs bands 1,2"),
        ({"dtype": "uint16"}, "its dtype is uint8; the model .* needs dtype uint16"),
        ({"size": 50}, "its tile size is 10; the model .* needs tile size 50"),
        ({"kind": "segmenter"}, "its kind is 'segmenter'"),
    ],
)
def test_a_model_for_other_tiles_is_refused(root: Path, description: dict[str, Any], words: str) -> None:
    write_model(root / "other", **description)
    with pytest.raises(DataError, match=words):
        embed(root, "e", model="other")
    assert not (root / "e").exists()


def test_paths_that_do_not_serve(root: Path) -> None:
    with pytest.raises(InputError, match="none: no such folder"):
        embed(root, "e", model="none")
    with pytest.raises(InputError, match="nothing: no such folder"):
        inference.embed(root / "nothing", root / "model", root / "e", FP32)
    with pytest.raises(UsageError, match="--shard"):
        embed(root, "e.parquet", shard=Shard(1, 2))
    (root / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        embed(root, "file")
    with pytest.raises(OutputError, match="file"):
        embed(root, "file/e.parquet")
    (root / "folder.parquet").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        embed(root, "folder.parquet")
    (root / "e.parquet").write_text("someone's")
    with pytest.raises(DataError, match="exists and is not what `embed` writes"):
        embed(root, "e.parquet")
    assert embed(root, "e.parquet", overwrite=True).made == 3


def test_vectors_beyond_float16(root: Path) -> None:
    shutil.rmtree(root / "model")
    write_model(root / "model", std=1e-6)
    half = EmbedConfig("float16", precision="fp32")
    with pytest.raises(DataError, match="float16 ends at 65504"):
        embed(root, "e.parquet", half)
    assert [failure.name for failure in embed(root, "e", half).failed] == ["a", "b", "c"]
    assert embed(root, "f.parquet").made == 3


def test_the_manifest_tells_the_format(root: Path) -> None:
    embed(root, "e")
    found = json.loads((root / "e" / embedding_outputs.MANIFEST).read_text())
    assert found["format"] == "tile2vec-embeddings/1"
    assert found["settings"] == {"dtype": "float32", "precision": "fp32"}

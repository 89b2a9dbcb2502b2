"""Our own files as strangers could have made them: newer, edited, or claiming what they do not hold."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from strange import CPU, edit, edit_footer, make, refuses

from tile2vec_cli.api.checking import check
from tile2vec_cli.config.pipeline import EmbedConfig, TileConfig, TripletConfig
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.embedding.inference import embed
from tile2vec_cli.neural import models
from tile2vec_cli.segmentation import mapping, segmenters
from tile2vec_cli.tiling import triplets
from tile2vec_cli.tiling.cutting import cut
from tile2vec_cli.tiling.tiles import TileSet

MAP = MapConfig(window=64, device="cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made"))


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def load_encoder(folder: Path) -> object:
    return models.load_encoder(folder / "encoder", CPU)


def load_segmenter(folder: Path) -> object:
    return segmenters.load(folder / "segmenter", CPU)


LOADS = {"encoder": load_encoder, "segmenter": load_segmenter}


# --- a newer version ---------------------------------------------------------------------------


def newer(found: dict[str, Any]) -> None:
    name, _, version = found["format"].partition("/")
    found["format"] = f"{name}/{int(version) + 1}"


@pytest.mark.parametrize("kind", LOADS)
def test_a_newer_model(copy: Path, kind: str) -> None:
    edit(copy / kind / "model.json", newer)
    words = ("model.json", "tile2vec-model/2", "tile2vec-model/1")
    refuses(lambda: LOADS[kind](copy), *words)
    report = check(copy / kind)
    assert len(report.failed) == 1 and all(word in report.failed[0].message for word in words)


def test_a_newer_tile_set(copy: Path) -> None:
    edit(copy / "tiles" / "manifest.json", newer)
    words = ("manifest.json", "tile2vec-tiles/2", "tile2vec-tiles/1")
    before = (copy / "tiles" / "manifest.json").read_bytes()
    scene = [str(copy / "scenes" / "land.tif")]
    refuses(lambda: TileSet.open(copy / "tiles"), *words)
    refuses(lambda: check(copy / "tiles"), *words)
    for overwrite in (False, True):
        refuses(lambda: cut(scene, copy / "tiles", TileConfig(size=16), overwrite=overwrite), *words)  # noqa: B023
    assert (copy / "tiles" / "manifest.json").read_bytes() == before


def test_newer_triplets(copy: Path) -> None:
    path = copy / "triplets.parquet"
    edit_footer(path, newer)
    words = ("triplets.parquet", "tile2vec-triplets/2", "tile2vec-triplets/1")
    refuses(lambda: triplets.read(path), *words)
    report = check(path)
    assert report.keys["kind"] == "triplets"
    assert "tile2vec-triplets/2" in report.failed[0].message or "not what" in report.failed[0].message


def test_newer_embeddings(copy: Path) -> None:
    words = ("tile2vec-embeddings/2", "tile2vec-embeddings/1")
    edit_footer(copy / "vectors.parquet", newer)
    refuses(lambda: Embeddings.open(copy / "vectors.parquet").rows, "vectors.parquet", *words)
    edit(copy / "vectors" / "manifest.json", newer)
    out = copy / "vectors"
    refuses(lambda: embed(copy / "tiles", copy / "encoder", out, EmbedConfig(device="cpu")), *words)


# --- edited by hand ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [("settings_fingerprint", 3), ("dtype", "object of desire")]
    + [(key, value) for key in ("settings", "bands", "dtype") for value in (None, 3)],
)
def test_a_manifest_that_makes_no_sense(copy: Path, key: str, value: object) -> None:
    edit(copy / "tiles" / "manifest.json", lambda found: found.update({key: value}))
    refuses(lambda: TileSet.open(copy / "tiles"), "manifest.json")
    scene = [str(copy / "scenes" / "land.tif")]
    refuses(lambda: cut(scene, copy / "tiles", TileConfig(size=16)), "manifest.json")


@pytest.mark.parametrize("size", [None, -1, 0, 10**9, "16"])
def test_a_manifest_of_another_size(copy: Path, size: object) -> None:
    edit(copy / "tiles" / "manifest.json", lambda found: found["settings"].update(size=size))
    refuses(lambda: TileSet.open(copy / "tiles").pixels(np.array([0])), "tiles")


@pytest.mark.parametrize("key", ["tiles", "settings", "scene", "fingerprint", "sha256", "blocks"])
def test_a_part_that_lacks_a_key_is_refused_and_cut_again(copy: Path, key: str) -> None:
    path = copy / "tiles" / "parts" / "land" / "part.json"
    before = path.read_bytes()
    edit(path, lambda found: found.pop(key))
    refuses(lambda: TileSet.open(copy / "tiles"), "part.json", key)
    assert check(copy / "tiles").failed
    edit(path, lambda found: found.update(source=str(copy / "scenes" / "land.tif")))
    report = cut([str(copy / "scenes" / "land.tif")], copy / "tiles", TileConfig(size=16, min_valid=0.25))
    assert report.made == 1
    assert json.loads(path.read_bytes())["fingerprint"] == json.loads(before)["fingerprint"]


def test_deep_json_is_no_crash(copy: Path) -> None:
    for path in (copy / "encoder" / "model.json", copy / "tiles" / "manifest.json"):
        path.write_text("[" * 1_000_000)
    refuses(lambda: load_encoder(copy), "not valid JSON")
    refuses(lambda: TileSet.open(copy / "tiles"), "not valid JSON")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000000000, 3, 16, 16)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (9, 99)}",
        "__import__('os').abort()",
        "(" * 5000,
    ],
)
@pytest.mark.parametrize("name", ["pixels.npy", "valid.npy"])
def test_arrays_that_claim_what_they_do_not_hold(copy: Path, name: str, header: str) -> None:
    path = copy / "tiles" / "parts" / "land" / name
    text = header.encode() + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(2000))
    tiles = TileSet.open(copy / "tiles")
    refuses(lambda: (tiles.pixels(np.array([0])), tiles.valid(np.array([0]))), name)
    assert name in check(copy / "tiles").failed[0].message


# --- models ------------------------------------------------------------------------------------


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("kind", LOADS)
def test_pickles_are_not_opened(copy: Path, kind: str) -> None:
    mark, path = copy / "went-off", copy / kind / "model.safetensors"
    torch.save({"a": Bomb(mark)}, copy / "zipped.pt")
    others = (b"\x80" * 8, b"", path.read_bytes()[:-100])
    for content in (pickle.dumps(Bomb(mark)), (copy / "zipped.pt").read_bytes(), *others):
        path.write_bytes(content)
        refuses(lambda: LOADS[kind](copy), "model.safetensors", "not a whole safetensors file")
    assert not mark.exists()


@pytest.mark.parametrize("kind", LOADS)
def test_safetensors_that_claim_vast_tensors(copy: Path, kind: str) -> None:
    path = copy / kind / "model.safetensors"
    whole = path.read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    header = json.loads(whole[8 : 8 + length])
    name = next(key for key in header if key != "__metadata__")
    for shape in ([2**40], [2**20, 2**20, 2**20], [2**63, 4]):
        count = int(np.prod([float(side) for side in shape]))
        for end in (count * 4, header[name]["data_offsets"][1]):
            claim = {**header, name: {**header[name], "shape": shape, "data_offsets": [0, end]}}
            text = json.dumps(claim).encode()
            path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + length :])
            refuses(lambda: LOADS[kind](copy), "model.safetensors")
    path.write_bytes(struct.pack("<Q", 2**62) + whole[8:])
    refuses(lambda: LOADS[kind](copy), "model.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"bands": 10**9},
        {"bands": float("inf")},
        {"members": [{"width": 10**9, "levels": 2, "pixel_path": False}]},
        {"members": [{"width": 4096, "levels": 8, "pixel_path": True}] * 64},
        {"members": [{"width": 4, "levels": 2, "pixel_path": False}] * 10**5},
        {"members": "wide"},
        {"network": ["unet"]},
    ],
)
def test_a_vast_segmenter_takes_no_memory(copy: Path, change: dict[str, Any]) -> None:
    edit(copy / "segmenter" / "model.json", lambda found: found["architecture"].update(change))
    refuses(lambda: load_segmenter(copy), "segmenter")


@pytest.mark.parametrize(
    "change",
    [
        {"resolution_m": None},
        {"resolution_m": 0},
        {"resolution_m": float("nan")},
        {"tile_settings": None},
        {"tile_settings": {"bands": None, "alpha": "auto"}},
        {"tile_settings": {"bands": None, "alpha": "sometimes", "nodata": None}},
        {"tile_settings": {"bands": [0], "alpha": "auto", "nodata": None}},
        {"tile_settings": {"bands": "x", "alpha": "auto", "nodata": None}},
    ],
)
def test_a_segmenter_of_unknown_origin_maps_nothing(copy: Path, change: dict[str, Any]) -> None:
    edit(copy / "segmenter" / "model.json", lambda found: found["provenance"].update(change))
    scene = [str(copy / "scenes" / "land.tif")]
    refuses(lambda: mapping.run(scene, copy / "segmenter", copy / "maps", MAP), "model.json")
    assert not (copy / "maps").exists()


def test_a_footer_that_makes_no_sense(copy: Path) -> None:
    tiles = TileSet.open(copy / "tiles")
    path = copy / "triplets.parquet"
    for key in ("settings", "asked", "parts"):
        shutil.copy(path, copy / "changed.parquet")
        edit_footer(copy / "changed.parquet", lambda found: found.pop(key))  # noqa: B023
        refuses(lambda: triplets.read(copy / "changed.parquet"), "changed.parquet", "header is damaged")
        refuses(lambda: triplets.is_current(copy / "changed.parquet", tiles, TripletConfig()), "changed")
    pq.write_table(pa.table({"anchor": [1]}), copy / "other.parquet")
    refuses(lambda: triplets.read(copy / "other.parquet"), "triplets are needed")

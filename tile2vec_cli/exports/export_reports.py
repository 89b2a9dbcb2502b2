"""A model folder to one file that other programs run, compared with the model before it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tile2vec_cli.config.pipeline import ExportConfig
from tile2vec_cli.config.weak import MapConfig
from tile2vec_cli.errors import DataError, UsageError
from tile2vec_cli.exports import formats, metadata
from tile2vec_cli.exports.formats import EncoderGraph, Graph, SegmenterGraph, Values
from tile2vec_cli.exports.metadata import Tensor
from tile2vec_cli.neural import encoders, models
from tile2vec_cli.neural.batches import Standardise
from tile2vec_cli.neural.device import Runtime
from tile2vec_cli.neural.models import Description
from tile2vec_cli.outputs import records
from tile2vec_cli.outputs.records import Keys, Report
from tile2vec_cli.segmentation import segmenters
from tile2vec_cli.tiling.tile_files import filled

TOLERANCE = 1e-4  # of the largest number of the model's own output
_CPU = Runtime(torch.device("cpu"), "fp32")
_BATCH = 3  # tiles that are compared


@dataclass(frozen=True)
class _Subject:
    """A model as a graph, and as `embed` or `map` runs it."""

    model: Description
    graph: Graph
    dim: int  # numbers a tile, or a pixel
    wanted: Callable[[NDArray[Any], NDArray[np.bool_]], Values]  # of pixels and which of them are valid


def run(model_path: Path, out: Path, config: ExportConfig, overwrite: bool = False) -> Report:
    """Export a model, unless that is done.

    Raises UsageError for another suffix than .onnx and .pt2, where the packages for ONNX are missing, and
    for a window that the network can't take; InputError and DataError for what is no model, DataError where
    the file's outputs are not the model's.
    """
    format = formats.format_of(out)
    described = models.describe(model_path)
    output = records.output(out, "export", config.settings(), {"model": model_path})
    keys = records.current(output, overwrite)
    if keys is not None:
        return Report(keys, (out,), True)
    make = _encoder if described.kind == "encoder" else _segmenter
    subject = make(model_path, config, "ONNX" if format == "onnx" else "PyTorch")
    encoded = formats.encode(subject.graph, format)
    unchecked = formats.why_unchecked(format)
    difference = None if unchecked else _difference(subject, encoded, format, out)
    keys = _keys(subject, format, difference, unchecked)
    records.write(output, {out: lambda path: path.write_bytes(encoded)}, keys, overwrite)
    return Report(keys, (out,), False)


def _keys(subject: _Subject, format: str, checked: float | None, unchecked: str | None) -> Keys:
    described = subject.graph.metadata
    given, made = described["mlm:input"][0], described["mlm:output"][0]
    return {
        "kind": subject.model.kind,
        "file_format": format,
        "opset": formats.OPSET if format == "onnx" else None,
        "input": {"name": given["name"], "shape": given["input"]["shape"], "dtype": "float32"},
        "output": {"name": made["name"], "shape": made["result"]["shape"], "dtype": "float32"},
        "dim": subject.dim,
        "bands": metadata.bands(subject.model),
        "checked": checked,
        **({"unchecked": unchecked} if unchecked else {}),
    }


# --- the two kinds of models -------------------------------------------------------------------


def _encoder(path: Path, config: ExportConfig, framework: str) -> _Subject:
    if config.window is not None:
        raise UsageError(f"--window {config.window}: is for segmenters; {path} is an encoder. Leave it out.")
    encoder, model = models.load_encoder(path, _CPU.device)
    shape = (len(model.bands), model.size, model.size)
    described = {
        **metadata.own(model, models.fingerprint(path), None),
        **_mlm(model, framework, [-1, *shape], Tensor("embedding", [-1, model.dim], ("batch", "dim"))),
        "tiles_size": model.size,
    }
    network = encoders.fused(encoder)

    def wanted(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> Values:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(filled(pixels, valid))).numpy())

    graph = EncoderGraph(encoder, whole=np.dtype(model.dtype).kind in "ui")
    return _Subject(model, Graph(graph, "embedding", (2, *shape), {}, described), model.dim, wanted)


def _segmenter(path: Path, config: ExportConfig, framework: str) -> _Subject:
    segmenter, model = segmenters.load(path, _CPU.device)
    resolution_m, tiles = segmenters.origin(path, model)
    stride, window = segmenter.stride, config.window
    if window is not None and (window % stride or window <= 2 * segmenter.reach):
        raise UsageError(
            f"--window {window}: {path} needs a multiple of {stride} above {2 * segmenter.reach}, what its "
            "pixels see of their surroundings. Choose one."
        )
    side, bands = window or MapConfig().window, len(model.bands)
    free = window or -1
    described = {
        **metadata.own(model, models.fingerprint(path), tiles.nodata),
        **_mlm(
            model,
            framework,
            [-1, bands, free, free],
            Tensor("probability", [-1, 1, free, free], ("batch", "class", "height", "width")),
        ),
        **metadata.deepness(model, resolution_m, side, segmenter.reach, float(segmenter.threshold)),
    }

    def wanted(pixels: NDArray[Any], valid: NDArray[np.bool_]) -> Values:
        if tiles.nodata is not None:
            valid = valid & (pixels != tiles.nodata).all(axis=1)
        found = segmenters.probability(segmenter, pixels, valid, _CPU)
        return np.where(valid, found, np.nan)[:, None]

    shown = window or -(-max(model.size, 2) // stride) * stride
    multiples = {} if window else {2: ("height", stride), 3: ("width", stride)}
    # Axes of one length would be taken for one and the same axis.
    shape = (2, bands, shown, shown if window else shown + stride)
    graph = Graph(SegmenterGraph(segmenter, tiles.nodata), "probability", shape, multiples, described)
    return _Subject(model, graph, 1, wanted)


def _mlm(model: Description, framework: str, shape: list[int], made: Tensor) -> Keys:
    scaled = "with scale and offset applied" if model.scaled else "as the scenes hold them"
    given = Tensor(formats.INPUT, shape, metadata.IMAGE)
    return metadata.mlm(model, framework, given, made, f"Pixels {scaled}, NaN where there are no data.")


# --- the comparison ------------------------------------------------------------------------------


def _difference(subject: _Subject, encoded: bytes, format: str, out: Path) -> float:
    """The largest one between the file's outputs and the model's, of made-up pixels, some of them not valid.

    Raises DataError where it is more than rounding.
    """
    pixels, valid = _made_up(subject)
    wanted = [subject.wanted(pixels, valid), subject.wanted(pixels[:1], valid[:1])]
    raw = np.where(valid[:, None], pixels, np.nan).astype(np.float32)
    found = formats.outputs(encoded, format, [raw, raw[:1]])
    scale = max(float(np.nanmax(np.abs(one))) for one in wanted)
    same = all(np.array_equal(np.isnan(a), np.isnan(b)) for a, b in zip(found, wanted, strict=True))
    largest = max(float(np.nanmax(np.abs(a - b))) for a, b in zip(found, wanted, strict=True))
    if not same or not largest <= TOLERANCE * scale:
        raise DataError(
            f"{out}: its outputs differ from the model's by {largest:.3g}, where these reach {scale:.3g}; "
            "no more than rounding is allowed, and nothing is written. Use another version of torch or "
            "onnxruntime, or tell us."
        )
    return float(f"{largest:.3g}")


def _made_up(subject: _Subject) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    random, dtype = np.random.default_rng(0), np.dtype(subject.model.dtype)
    shape = (_BATCH, *subject.graph.shape[1:])
    standardise = next(m for m in subject.graph.network.modules() if isinstance(m, Standardise))
    mean, std = standardise.mean.numpy(), standardise.std.numpy()
    values = mean + std * random.normal(size=shape)
    if dtype.kind in "ui":
        values = np.rint(values).clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    valid = np.ones((shape[0], *shape[2:]), bool)
    valid[1] = random.random(valid[1].shape) < 0.9
    return values.astype(dtype), valid

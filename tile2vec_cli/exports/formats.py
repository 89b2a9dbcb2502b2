"""The formats of exported networks: ONNX, and torch's own .pt2, without where or when they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tile2vec_cli.errors import UsageError
from tile2vec_cli.job.silence import silence
from tile2vec_cli.neural.descriptors import STEP, Descriptors
from tile2vec_cli.neural.encoders import Encoder, fused
from tile2vec_cli.segmentation.unet import Segmenter

OPSET = 18
INPUT = "pixels"
_METADATA = "metadata.json"  # in a .pt2
_NEEDED = ("onnx", "onnxscript")
_ONNX, _PT2 = "onnx", "pt2"
Values = NDArray[np.float32]


class EncoderGraph(nn.Module):
    """(B, C, S, S) to (B, D); invalid pixels are filled as by `embed`, with their band's mean in the tile."""

    centre: Tensor  # (C, 1, 1)

    def __init__(self, encoder: Encoder, whole: bool) -> None:
        """whole: the pixels are whole numbers, and so are the means."""
        super().__init__()
        self.encoder = fused(encoder)
        if self.encoder.place is not None:
            self.encoder.place.descriptors = _Descriptors.of(self.encoder.place.descriptors)
        self.whole = whole
        # Sums of what is left of the pixels without it are exact, or nearly so, in float32.
        self.register_buffer("centre", self.encoder.standardise.mean.round())

    def forward(self, pixels: Tensor) -> Tensor:
        known = pixels.isfinite().all(1, keepdim=True)
        count = known.float().sum((2, 3), keepdim=True)
        means = torch.where(known, pixels - self.centre, 0.0).sum((2, 3), keepdim=True) / count.clamp(min=1)
        means = torch.where(count > 0, means + self.centre, 0.0)
        vectors: Tensor = self.encoder(torch.where(known, pixels, means.round() if self.whole else means))
        return vectors


class _Descriptors(Descriptors):
    """The same numbers without a choice that depends on the batch."""

    kernels: Tensor  # (F, C, K, K)

    @classmethod
    def of(cls, found: Descriptors) -> _Descriptors:
        made = cls(found.filters, found.axes, found.edges)
        made.register_buffer("kernels", found.filters.weight.permute(0, 3, 1, 2).contiguous())
        return made

    def forward(self, pixels: Tensor, standardised: Tensor) -> Tensor:
        filters = self.filters
        answers = F.conv2d(pixels - filters.shift[:, None, None], self.kernels, filters.bias, filters.stride)
        values = self._values(standardised[:, :, ::STEP, ::STEP])
        return torch.cat([answers.relu().mean((2, 3)), self._components(standardised), values], dim=1)

    def _patches(self, pixels: Tensor) -> Tensor:
        side = self.filters.side
        last = STEP * ((pixels.shape[-1] - side) // STEP) + 1
        taps = [
            pixels[:, :, row : row + last : STEP, col : col + last : STEP]
            for row in range(side)
            for col in range(side)
        ]
        return torch.stack(taps, 2).flatten(3).flatten(1, 2)

    def _values(self, pixels: Tensor) -> Tensor:
        above = (pixels.flatten(2)[:, :, None] > self.edges[:, :, None]).float().mean(3)
        shares = F.pad(above, (1, 0), value=1.0) - F.pad(above, (0, 1))
        return shares.clamp(min=0).sqrt().flatten(1)


class SegmenterGraph(nn.Module):
    """(B, C, H, W) to probabilities (B, 1, H, W), NaN where a pixel is not valid."""

    def __init__(self, segmenter: Segmenter, nodata: float | None) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.nodata = nodata

    def forward(self, pixels: Tensor) -> Tensor:
        known = pixels.isfinite()
        if self.nodata is not None:
            known = known & (pixels != self.nodata)
        valid = known.all(1)
        shares = self.segmenter(pixels, valid).sigmoid()
        return torch.where(valid, shares, torch.nan)[:, None]


@dataclass(frozen=True)
class Graph:
    """What is to be exported: a network of one input and one output."""

    network: nn.Module
    output: str  # what its output is called
    shape: tuple[int, ...]  # of an input that shows how it works
    multiples: Mapping[
        int, tuple[str, int]
    ]  # by axis: what it is called, and that any multiple of it will do
    metadata: Mapping[str, Any]  # values are JSON


def format_of(path: Path) -> str:
    """By the suffix. Raises UsageError for another one, or where what writes it is missing."""
    found = path.suffix.lower().removeprefix(".")
    if found not in (_ONNX, _PT2):
        raise UsageError(
            f"{path}: its suffix is no format of models; needs .onnx or .pt2. Choose one of them."
        )
    missing = [name for name in _NEEDED if find_spec(name) is None] if found == _ONNX else []
    if missing:
        raise UsageError(
            f"{path}: the package {missing[0]} is not installed; needs the extra export. "
            "Run: pip install 'tile2vec-cli[export]'"
        )
    return found


def encode(graph: Graph, format: str) -> bytes:
    """The file's bytes."""
    with silence():
        program = torch.export.export(
            graph.network.eval(), (torch.zeros(graph.shape),), dynamic_shapes=(_dynamic(graph),)
        )
        return _onnx_bytes(program, graph) if format == _ONNX else _pt2_bytes(program, graph)


def why_unchecked(format: str) -> str | None:
    """Why a file of this format can't be run here; None: it can."""
    can = format != _ONNX or find_spec("onnxruntime") is not None
    return None if can else "onnxruntime is not installed"


def outputs(encoded: bytes, format: str, inputs: Sequence[Values]) -> list[Values]:
    """What the file gives, by the program that its users run: onnxruntime or torch."""
    if format == _ONNX:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # it talks past Python's stderr
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(encoded, options, providers=["CPUExecutionProvider"])
        return [np.asarray(session.run(None, {INPUT: one})[0]) for one in inputs]
    with silence(), torch.inference_mode():
        network = torch.export.load(BytesIO(encoded)).module()
        return [network(torch.from_numpy(one)).numpy() for one in inputs]


def _dynamic(graph: Graph) -> dict[int, Any]:
    axes: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    for axis, (name, multiple) in graph.multiples.items():
        axes[axis] = multiple * torch.export.Dim(name, min=1)
    return axes


def _onnx_bytes(program: torch.export.ExportedProgram, graph: Graph) -> bytes:
    made = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[graph.output],
        verbose=False,
    )
    assert made is not None
    model = made.model_proto
    _tidy(model)
    names = {0: "batch", **{axis: name for axis, (name, _) in graph.multiples.items()}}
    for value in (*model.graph.input, *model.graph.output):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.dim_param = names[axis]
    for key, value in graph.metadata.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    return bytes(model.SerializeToString(deterministic=True))


def _tidy(model: Any) -> None:
    """Without what tells which lines of which files, on which machine, each operation comes from."""
    model.doc_string = ""
    parts = (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output)
    for part in (*parts, *model.graph.value_info, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    del model.graph.value_info[:]  # onnxruntime finds the shapes by itself


def _pt2_bytes(program: torch.export.ExportedProgram, graph: Graph) -> bytes:
    for node in program.graph.nodes:
        for where in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn"):
            node.meta.pop(where, None)
    file = BytesIO()
    torch.export.save(program, file, extra_files={_METADATA: json.dumps(graph.metadata)})
    return file.getvalue()

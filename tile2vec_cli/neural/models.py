"""The model folder (`tile2vec-model/1`): model.json, model.safetensors, metrics.jsonl.

Nothing is ever unpickled. What a file claims to hold is compared with what the network of
model.json needs, by name, shape and type, before memory is taken for it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from tile2vec_cli import __version__
from tile2vec_cli.errors import DataError, InputError, OutputError, UsageError
from tile2vec_cli.geo.scene_facts import Names
from tile2vec_cli.neural import DESCRIPTION as DESCRIPTION
from tile2vec_cli.neural import encoders, pixel_kinds
from tile2vec_cli.outputs.parts import dump_json, read_json, sha256_file

if TYPE_CHECKING:
    from tile2vec_cli.tiling.tiles import TileSet

FORMAT = "tile2vec-model/1"
WEIGHTS = "model.safetensors"
METRICS = "metrics.jsonl"
FILES = (DESCRIPTION, WEIGHTS, METRICS)  # all that is ours in a model folder

Kind = TypeVar("Kind")

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "I64": torch.int64}


@dataclass(frozen=True)
class Description:
    """What model.json says."""

    kind: str  # "encoder": tile -> vector; "segmenter": tile -> a probability a pixel
    architecture: dict[
        str, Any
    ]  # for an encoder: encoder, bands (their number), dim of what is trained, place
    bands: tuple[int, ...]  # 1-based numbers of the scenes' bands, in the order of the pixels
    dtype: str  # of the pixels
    size: int  # side in pixels of the tiles it was trained on
    normalisation: dict[str, list[float]]  # mean and std a band; the network's first layer holds them too
    settings: dict[str, Any]
    provenance: dict[str, Any]
    scores: dict[str, Any] = field(default_factory=dict)
    band_names: Names = ()  # what the scenes call the bands
    scaled: bool = False  # whether scale and offset of the scenes are applied to the pixels
    scaling: tuple[tuple[float, float], ...] = ()  # where they are not: a band's, as the scenes declare them

    @property
    def dim(self) -> int:
        """The length of an encoder's vectors."""
        return sum(encoders.part_sizes(self.architecture).values())

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "tile2vec": __version__,
            "kind": self.kind,
            "architecture": self.architecture,
            "bands": list(self.bands),
            **({"band_names": list(self.band_names)} if self.band_names else {}),
            "dtype": self.dtype,
            **({"scaled": True} if self.scaled else {}),
            **({"scaling": [list(pair) for pair in self.scaling]} if self.scaling else {}),
            "size": self.size,
            "normalisation": self.normalisation,
            "settings": self.settings,
            "provenance": self.provenance,
            "scores": self.scores,
        }


def write(
    folder: Path, model: Description, weights: Mapping[str, Tensor], metrics: Sequence[Mapping[str, Any]]
) -> None:
    """Fill a folder (of `parts.new_folder`) with a model. One line of `metrics` per epoch."""
    write_tensors(folder / WEIGHTS, weights)
    described = {**model.to_json(), "sha256": sha256_file(folder / WEIGHTS)}
    (folder / DESCRIPTION).write_text(dump_json(described), encoding="utf-8")
    lines = "".join(json.dumps(line, allow_nan=False) + "\n" for line in metrics)
    (folder / METRICS).write_text(lines, encoding="utf-8")


def require_room(path: Path) -> None:
    """Raise OutputError where `path` is a file, or a folder that holds anything but a model."""
    if path.is_dir() and not (path / DESCRIPTION).exists() and any(path.iterdir()):
        raise OutputError(
            f"{path}: holds other files; a model is written to a folder of its own. Choose another."
        )
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path}: is a file; a folder is written here. Choose another.")


def describe(path: Path) -> Description:
    """Read model.json of a model folder.

    Raises InputError where there is no such folder, DataError where it is no model of this format.
    """
    if not path.exists():
        raise InputError(f"{path}: no such folder; a model is needed. Make one with `tile2vec train`.")
    if not (path / DESCRIPTION).exists():
        raise DataError(
            f"{path}: holds no {DESCRIPTION}; a model folder is needed. Make one with `tile2vec train`."
        )
    found = read_json(path / DESCRIPTION, FORMAT)
    try:
        return Description(
            kind=_typed(found["kind"], str),
            architecture=_typed(found["architecture"], dict),
            bands=tuple(_typed(band, int) for band in _typed(found["bands"], list)),
            dtype=_typed(found["dtype"], str),
            size=_typed(found["size"], int),
            normalisation=_typed(found["normalisation"], dict),
            settings=_typed(found["settings"], dict),
            provenance=_typed(found["provenance"], dict),
            scores=_typed(found["scores"], dict),
            band_names=_names(found.get("band_names", [])),
            scaled=_typed(found.get("scaled", False), bool),
            scaling=tuple((float(scale), float(offset)) for scale, offset in found.get("scaling", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(path / DESCRIPTION, f"{error} is missing or of another type") from error


def verify(path: Path) -> None:
    """Raise DataError where a model's description, log or weights are not those that were written."""
    describe(path)
    metrics(path)
    if _digest(path) != read_json(path / DESCRIPTION, FORMAT).get("sha256"):
        raise _unusable(path / WEIGHTS, "its bytes are not those that were written")


def fingerprint(path: Path) -> str:
    """A short name for a model's weights and the pixels they are for; other scores leave it as it is."""
    return _digest(path)[:32]


def _digest(path: Path) -> str:
    try:
        return sha256_file(path / WEIGHTS)
    except OSError as error:
        raise _unusable(path / WEIGHTS, f"it cannot be read ({error.strerror})") from error


def start_fingerprint(path: Path, out: Path) -> str:
    """The fingerprint of the model of --init, which must not be the one that is to be written."""
    if path.absolute() == out.absolute():
        raise UsageError(f"--init {path}: is also --out. Choose another --out.")
    describe(path)
    return fingerprint(path)


def require_same(path: Path, wanted: str) -> None:
    """Raise DataError where a model no longer has this fingerprint."""
    if fingerprint(path) != wanted:
        raise DataError(f"{path}: has changed during the run; it must stay as it is. Run again.")


def metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, one per epoch."""
    try:
        lines = (path / METRICS).read_text(encoding="utf-8").splitlines()
        return [_typed(json.loads(line), dict) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(path / METRICS, "it cannot be read as one line of JSON per epoch") from error


def require_start(path: Path, model: Description, tiles: TileSet, *more: tuple[str, object, object]) -> None:
    """Raise DataError where the model of --init is not one that training on these tiles could start from.

    more: what else has to agree, as the model has it and as the run needs it.
    """
    for what, found, wanted in (*pixel_kinds.agreements(model, tiles), *more):
        if found != wanted:
            raise DataError(
                f"--init {path}: its {what} is {found}; this run needs {wanted}. "
                "Start from another model, or leave --init out."
            )


def require_kind(path: Path, kind: str, needed: str = "encoder") -> None:
    """Raise DataError where a model is of another kind."""
    if kind != needed:
        maker = "train" if needed == "encoder" else "weak-segment"
        raise DataError(f"{path}: its kind is {kind!r}; a model of `tile2vec {maker}` is needed.")


def require_fit(path: Path, model: Description, tiles: TileSet) -> None:
    """Raise DataError where a model was trained on other pixels than those of the tile set."""
    require_kind(path, model.kind)
    for name, needed, found in (*pixel_kinds.agreements(model, tiles), ("tile size", model.size, tiles.size)):
        if found != needed:
            raise DataError(
                f"{tiles.path}: its {name} is {found}; the model {path} needs {name} {needed}. "
                f"Cut tiles as for that model{pixel_kinds.bands_option(model, tiles)}, or train one on these."
            )


def load_encoder(path: Path, device: torch.device) -> tuple[encoders.Encoder, Description]:
    """The encoder of a model folder, in evaluation mode on `device`, and what model.json says.

    It maps (B, C, S, S) raw pixels to (B, D) float32. Raises InputError and DataError.
    """
    model = describe(path)
    require_kind(path, model.kind)
    encoder = _build(path, model)
    load_weights(path / WEIGHTS, encoder)
    encoder.finished = True
    return encoder.eval().to(device), model


def _build(path: Path, model: Description) -> encoders.Encoder:
    """The network that model.json describes, without memory for its weights."""
    try:
        _typed(model.architecture["encoder"], str)
        with torch.device("meta"):
            return encoders.described(model.architecture)
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(path / DESCRIPTION, f"its architecture is unknown: {error}") from error


# --- tensors ---------------------------------------------------------------------------------


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of any device as safetensors, in row-major order."""
    # As bytes: safetensors' own file could be read by its owner alone.
    path.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))


def read_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read a safetensors file that holds just the tensors of these names, shapes and types.

    The tensors of `expected` may lie on the meta device. Raises DataError and InputError.
    """
    try:
        with safe_open(path, framework="pt") as file:
            _require_tensors(path, file, expected)
            return {name: file.get_tensor(name) for name in expected}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; the model's weights are needed. Train it again.") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; it cannot be read.") from error
    except (SafetensorError, struct.error, ValueError) as error:
        raise _unusable(path, f"it is not a whole safetensors file ({error})") from error


def load_weights(path: Path, network: nn.Module) -> None:
    """Fill a network (on any device, meta too) with the weights of a safetensors file."""
    network.load_state_dict(read_tensors(path, network.state_dict()), assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _require_tensors(path: Path, file: Any, expected: Mapping[str, Tensor]) -> None:
    names = set(file.keys())
    for name in sorted(names ^ set(expected)):
        raise _unusable(path, f"tensor {name} is {'not part of the network' if name in names else 'missing'}")
    for name, tensor in expected.items():
        found = file.get_slice(name)
        shape, dtype = tuple(found.get_shape()), _DTYPES.get(found.get_dtype())
        if shape != tuple(tensor.shape) or dtype != tensor.dtype:
            raise _unusable(
                path,
                f"tensor {name} is {found.get_dtype()} {shape}, not {tensor.dtype} {tuple(tensor.shape)}",
            )


def _unusable(path: Path, reason: str) -> DataError:
    return DataError(f"{path}: {reason}; a {FORMAT} file is needed. Train the model again.")


def _typed(value: object, kind: type[Kind]) -> Kind:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(repr(value))
    return value


def _names(value: object) -> Names:
    return tuple(None if name is None else _typed(name, str) for name in _typed(value, list))

"""What an exported network says of itself: to QGIS Deepness, and in terms of STAC's MLM extension (1.4.0)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tile2vec_cli import __version__

if TYPE_CHECKING:
    from tile2vec_cli.neural.models import Description

Json = dict[str, Any]

FORMAT = "tile2vec-export/1"
IMAGE = ("batch", "bands", "height", "width")


def bands(model: Description) -> list[str]:
    """The input's bands in order: what the scenes call them, else band1 for the first of the scene."""
    names = model.band_names or (None,) * len(model.bands)
    return [name or f"band{number}" for name, number in zip(names, model.bands, strict=True)]


def own(model: Description, fingerprint: str, nodata: float | None) -> Json:
    """For programs that know tile2vec."""
    return {
        "tile2vec": {
            "format": FORMAT,
            "tile2vec": __version__,
            "model": fingerprint,
            "kind": model.kind,
            "bands": list(model.bands),
            "band_names": bands(model),
            "dtype": model.dtype,
            "scaled": model.scaled,
            "size": model.size,
            "nodata": nodata,
        }
    }


@dataclass(frozen=True)
class Tensor:
    """An input or output; -1 in its shape is any length."""

    name: str
    shape: list[int]
    order: tuple[str, ...]  # what its dimensions are
    dtype: str = "float32"

    def as_json(self) -> Json:
        return {"shape": self.shape, "dim_order": list(self.order), "data_type": self.dtype}


def mlm(model: Description, framework: str, given: Tensor, made: Tensor, description: str) -> Json:
    """Fields of the MLM extension; `description` is of the input."""
    name = model.architecture.get("encoder") or model.architecture.get("network")
    task = "similarity-search" if model.kind == "encoder" else "semantic-segmentation"
    return {
        "mlm:name": f"tile2vec-{name}",
        "mlm:architecture": str(name),
        "mlm:tasks": [task],
        "mlm:framework": framework,
        "mlm:pretrained": True,
        "mlm:input": [
            {
                "name": given.name,
                "bands": [{"name": name} for name in bands(model)],
                "input": given.as_json(),
                "description": description,
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": made.name,
                "tasks": [task],
                "result": made.as_json(),
                "post_processing_function": None,
            }
        ],
    }


def deepness(model: Description, resolution_m: float, side: int, reach: int, threshold: float) -> Json:
    """What the QGIS plugin Deepness reads of a segmenter. side: of its windows; reach: see `UNet.reach`."""
    count = len(model.bands)
    return {
        "model_type": "Segmentor",
        "class_names": {"0": "other", "1": str(model.provenance.get("class") or "positive")},
        "resolution": 100 * resolution_m,  # centimetres
        "tiles_size": side,
        "tile_size": side,  # what its documentation calls tiles_size its code calls so
        "tiles_overlap": min(90, -(-200 * reach // side)),  # per cent
        "seg_thresh": threshold,
        # It divides pixels by 255 and then standardises: this gives the pixels back.
        "standardization_mean": [0.0] * count,
        "standardization_std": [1 / 255] * count,
    }

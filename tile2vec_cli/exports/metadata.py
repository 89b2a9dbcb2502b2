"""What an exported network says of itself: to QGIS Deepness, and in the words of STAC's MLM extension."""

from __future__ import annotations

from typing import Any

from tile2vec_cli import __version__
from tile2vec_cli.exports.formats import INPUT
from tile2vec_cli.neural.models import Model

Json = dict[str, Any]

FORMAT = "tile2vec-export/1"


def bands(model: Model) -> list[str]:
    """The input's bands in order: what the scenes call them, else band1 for the first of the scene."""
    names = model.band_names or (None,) * len(model.bands)
    return [name or f"band{number}" for name, number in zip(names, model.bands, strict=True)]


def own(model: Model, fingerprint: str, nodata: float | None) -> Json:
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


def mlm(model: Model, framework: str, given: list[int], output: str, made: list[int]) -> Json:
    """Fields of the MLM extension. given, made: shapes of input and output, -1 for any length."""
    encodes = model.kind == "encoder"
    name = model.architecture.get("encoder") or model.architecture.get("network")
    task = "similarity-search" if encodes else "semantic-segmentation"
    scaled = "with scale and offset applied" if model.scaled else "as the scenes hold them"
    return {
        "mlm:name": f"tile2vec-{name}",
        "mlm:architecture": str(name),
        "mlm:tasks": [task],
        "mlm:framework": framework,
        "mlm:pretrained": True,
        "mlm:input": [
            {
                "name": INPUT,
                "bands": [{"name": name} for name in bands(model)],
                "input": {
                    "shape": given,
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": "float32",
                },
                "description": f"Pixels {scaled}, NaN where there are no data.",
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": output,
                "tasks": [task],
                "result": {
                    "shape": made,
                    "dim_order": ["batch", "dim"] if encodes else ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
                "post_processing_function": None,
            }
        ],
    }


def deepness(model: Model, resolution_m: float, side: int, reach: int, threshold: float) -> Json:
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

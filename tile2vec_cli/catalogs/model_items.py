"""A model folder as a STAC item (MLM extension 1.4.0): what goes in, what comes out, and the weights."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.catalogs.items import FILE, WORLD, Item, Json, asset, class_of, extension
from tile2vec_cli.neural import models

MLM = extension("mlm", "1.4.0")


def item(path: Path) -> Item:
    """Errors as for `models.describe`."""
    model = models.describe(path)
    bands = [
        (model.band_names[at] if at < len(model.band_names) else None) or f"band{number}"
        for at, number in enumerate(model.bands)
    ]
    encodes = model.kind == "encoder"
    name = model.architecture.get("encoder") or model.architecture.get("network")
    task = "similarity-search" if encodes else "semantic-segmentation"
    given: Json = {
        "name": "pixels",
        "bands": [{"name": band} for band in bands],
        "input": {
            "shape": [-1, len(bands), model.size, model.size],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": model.dtype,
        },
        "description": "Pixels as the scenes hold them: the network's first layer standardises them.",
        "resize_type": None,
        "pre_processing_function": None,
    }
    order = ["batch", "embedding"] if encodes else ["batch", "height", "width"]
    shape = [-1, model.dim] if encodes else [-1, model.size, model.size]
    output: Json = {
        "name": "embedding" if encodes else "probability",
        "tasks": [task],
        "result": {"shape": shape, "dim_order": order, "data_type": "float32"},
        "post_processing_function": None,
    }
    if not encodes:
        title = str(model.provenance.get("class") or "positive")
        output["classification:classes"] = [class_of(0, "other"), class_of(1, title)]
    weights, description = path / models.WEIGHTS, path / models.DESCRIPTION
    return Item(
        kind="models",
        id=path.resolve().name,
        source=path,
        geometry=WORLD,
        times=(None, None),
        properties={
            "mlm:name": f"tile2vec-{name}",
            "mlm:architecture": str(name),
            "mlm:tasks": [task],
            "mlm:framework": "PyTorch",
            "mlm:pretrained": True,
            "mlm:accelerator_constrained": False,
            "mlm:input": [given],
            "mlm:output": [output],
            # Without them here the extension takes no names of bands in its input; with them here
            # alone STAC takes no item.
            "bands": given["bands"],
        },
        assets={
            "model": asset(
                weights,
                "application/octet-stream",
                "mlm:model",
                "mlm:weights",
                **{"mlm:artifact_type": "safetensors.torch.save_file", "bands": given["bands"]},
            ),
            "description": asset(description, "application/json", "metadata"),
        },
        extensions=(MLM, FILE),
        fingerprint=models.fingerprint(path),
    )

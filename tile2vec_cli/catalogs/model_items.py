"""A model folder as a STAC item (MLM extension 1.4.0): what goes in, what comes out, and the weights."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.catalogs.items import FILE, WORLD, Item, asset, class_of, extension
from tile2vec_cli.exports import metadata
from tile2vec_cli.exports.metadata import Tensor
from tile2vec_cli.neural import models

MLM = extension("mlm", "1.4.0")
_PIXELS = "Pixels as the scenes hold them: the network's first layer standardises them."


def item(path: Path) -> Item:
    """Errors as for `models.describe`."""
    model = models.describe(path)
    size = model.size
    given = Tensor("pixels", [-1, len(model.bands), size, size], metadata.IMAGE, model.dtype)
    if model.kind == "encoder":
        made = Tensor("embedding", [-1, model.dim], ("batch", "embedding"))
    else:
        made = Tensor("probability", [-1, size, size], ("batch", "height", "width"))
    said = metadata.mlm(model, "PyTorch", given, made, _PIXELS)
    if model.kind != "encoder":
        title = str(model.provenance.get("class") or "positive")
        said["mlm:output"][0]["classification:classes"] = [class_of(0, "other"), class_of(1, title)]
    bands = said["mlm:input"][0]["bands"]
    weights, description = path / models.WEIGHTS, path / models.DESCRIPTION
    return Item(
        kind="models",
        id=path.resolve().name,
        source=path,
        geometry=WORLD,
        times=(None, None),
        properties={
            **said,
            "mlm:accelerator_constrained": False,
            # Without them here the extension takes no names of bands in its input; with them here
            # alone STAC takes no item.
            "bands": bands,
        },
        assets={
            "model": asset(
                weights,
                "application/octet-stream",
                "mlm:model",
                "mlm:weights",
                **{"mlm:artifact_type": "safetensors.torch.save_file", "bands": bands},
            ),
            "description": asset(description, "application/json", "metadata"),
        },
        extensions=(MLM, FILE),
        fingerprint=models.fingerprint(path),
    )

"""`tile2vec export`: a model for other programs."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands import options
from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.config.pipeline import ExportConfig
from tile2vec_cli.console import Console


def export(
    model: Path = option(flag="MODEL", help="A model, made by `train` or `weak-segment`."),
    out: Path = option(metavar="PATH", help="The file: .onnx, or .pt2 for torch alone."),
    *,
    config: ExportConfig,
    overwrite: options.Overwrite = False,
    console: Console,
    call: Call,
) -> None:
    """Export a model as one file that runs without tile2vec: raw pixels in, vectors or probabilities out.

    Pixels are float32, as the scenes hold them, NaN where there are no data; the file standardises them
    itself. It is compared with the model before it is kept, and says what QGIS (Deepness) and STAC (MLM)
    ask of a model. Beside it a file OUTPUT.json says what it was made from.

    Example: tile2vec export model --out model.onnx
    """
    done = call()
    if why := done.keys.get("unchecked"):
        console.say(f"{out}: not compared with the model: {why}.")
    console.show(done)

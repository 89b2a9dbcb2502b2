"""Writes tile2vec_cli/__init__.pyi from the functions: PYTHONPATH=. python tests/stubs.py"""

from __future__ import annotations

import inspect
import typing
from pathlib import Path

import tile2vec_cli as t2v
from tile2vec_cli.api.calls import public

STUB = Path(t2v.__file__).with_suffix(".pyi")
HEAD = '''"""The types of what `__init__.py` loads late. Written by tests/stubs.py."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tile2vec_cli import errors as errors
from tile2vec_cli.api.models import Model as Model
from tile2vec_cli.api.outcomes import Outcome as Outcome
from tile2vec_cli.api.verdicts import Verdict as Verdict
from tile2vec_cli.embedding.embeddings import Embeddings as Embeddings
from tile2vec_cli.tiling.tiles import TileSet as TileSet
from tile2vec_cli.tiling.triplets import Triplets as Triplets

__version__: str
_FUNCTIONS: dict[str, str]

def _function(name: str) -> Callable[..., Outcome[Any]]: ...
'''


def text() -> str:
    return HEAD + "".join(map(_stub, t2v._FUNCTIONS))


def _stub(name: str) -> str:
    signature = inspect.signature(getattr(t2v, name))
    lines, starred = [], False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not starred:
            lines.append("*")
            starred = True
        kind = "Callable[[int, int], None]" if one.name == "on_progress" else public(one.name, one.annotation)
        default = "" if one.default is one.empty else " = ..."
        lines.append(f"{one.name}: {kind}{default}")
    (found,) = typing.get_args(typing.get_type_hints(t2v._function(name))["return"])
    returned = "Outcome[None]" if found is type(None) else found.__name__
    return f"def {name}(\n" + "".join(f"    {line},\n" for line in lines) + f") -> {returned}: ...\n"


if __name__ == "__main__":
    STUB.write_text(text(), encoding="utf-8")

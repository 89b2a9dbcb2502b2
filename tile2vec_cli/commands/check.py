"""`tile2vec check`: whether what lies on disk is what was written."""

from __future__ import annotations

from pathlib import Path

from tile2vec_cli.commands.signatures import Call
from tile2vec_cli.config.fields import option
from tile2vec_cli.console import Console


def check(
    path: Path = option(flag="PATH", help="A tile set, triplets, a model or embeddings."),
    remove: bool = option(False, help="Delete what is damaged, so that the next run makes it again."),
    *,
    console: Console,
    call: Call,
) -> None:
    """Verify every fingerprint of a tile set, triplets, a model or embeddings.

    Names what is damaged, one line each, and then exits with 65.

    Example: tile2vec check tiles && tile2vec check embeddings
    """
    done = call("check", "parts")
    console.show(done)

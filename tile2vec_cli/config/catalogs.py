"""What a STAC catalog is called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tile2vec_cli.config.fields import option
from tile2vec_cli.errors import UsageError


@dataclass(frozen=True)
class StacConfig:
    """What a catalog says of itself and its collections."""

    id: str = option("tile2vec", help="The catalog's id; those of its collections begin with it.")
    title: str | None = option(None, help="The catalog's title (default: its id).")
    description: str = option("Embeddings, maps and models made with tile2vec.", help="What the catalog is.")
    license: str = option("other", metavar="SPDX", help="License of what it holds, such as CC-BY-4.0.")

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.id):
            raise UsageError(f"--id {self.id!r}: letters, digits, '.', '-' and '_' are needed.")
        if not re.fullmatch(r"[A-Za-z0-9.+-]+", self.license):
            raise UsageError(f"--license {self.license!r}: an SPDX identifier, such as CC-BY-4.0, is needed.")
        if not self.description.strip():
            raise UsageError("--description: is empty; STAC needs one.")

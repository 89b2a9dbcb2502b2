"""What a STAC catalog is called, and what cannot be read from the files it lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from tile2vec_cli.errors import UsageError


@dataclass(frozen=True)
class StacConfig:
    """date: of embeddings and maps that carry none; license: an SPDX identifier, or "other"."""

    id: str = "tile2vec"
    title: str | None = None
    description: str = "Embeddings, maps and models made with tile2vec."
    license: str = "other"
    date: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.id):
            raise UsageError(f"--id {self.id!r}: letters, digits, '.', '-' and '_' are needed.")
        if not re.fullmatch(r"[\w.+-]+", self.license):
            raise UsageError(f"--license {self.license!r}: an SPDX identifier, such as CC-BY-4.0, is needed.")
        if not self.description:
            raise UsageError("--description is empty; STAC needs one.")
        _ = self.when

    @property
    def when(self) -> datetime | None:
        """The date, as a time in UTC."""
        if self.date is None:
            return None
        try:
            found = datetime.fromisoformat(self.date)
        except ValueError as error:
            raise UsageError(f"--date {self.date!r}: a date such as 2021-08-27 is needed.") from error
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)

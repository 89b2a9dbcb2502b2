"""Where labels are, and how they are read. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tile2vec_cli.config.fields import check, option
from tile2vec_cli.config.rules import parse_numbers
from tile2vec_cli.errors import UsageError

UNSAID: Mapping[str, Any] = {"label_band": None, "label_nodata": None, "layer": None, "crs": None}
"""Settings that are left out where they are not used: what was made before has none of them."""


@dataclass(frozen=True)
class LabelSource:
    """Labels as the user named them, and the files that these names stand for."""

    given: tuple[str, ...]  # files, folders, globs, @lists
    files: tuple[str, ...]  # in their order: of two rasters that disagree the first counts
    band: int | None = option(
        None,
        flag="--label-band",
        metavar="N",
        least=1,
        help="Label rasters: the band that holds the classes, from 1, of several.",
    )
    nodata: tuple[float, ...] = option(
        (),
        flag="--label-nodata",
        metavar="VALUE",
        repeatable=True,
        parse=parse_numbers,
        help="Label rasters: value that means no label, such as 0, besides those they declare. "
        "Repeatable, or with commas.",
    )
    layer: str | None = option(None, metavar="NAME", help="Layer of a vector file that holds several.")
    crs: str | None = option(
        None,
        metavar="EPSG:N",
        help="CRS of a table's coordinates (default: degrees), or of a vector file that names none.",
    )

    def __post_init__(self) -> None:
        if not self.files:
            raise UsageError("--labels: names no file; at least one is needed.")
        check(self)
        for value in self.nodata:
            if not math.isfinite(value):
                raise UsageError(f"--label-nodata {value:g}: needs a finite number; NaN never is a label.")

    @classmethod
    def of(cls, labels: str | Path | LabelSource) -> LabelSource:
        """That of one file by its path."""
        if isinstance(labels, LabelSource):
            return labels
        return cls((str(labels),), (str(labels),))

    def __str__(self) -> str:
        """What errors call it."""
        return ", ".join(self.given[:3]) + ", …" * (len(self.given) > 3)

    @property
    def is_single(self) -> bool:
        """Whether it is one file, named by its path."""
        return self.given == self.files and len(self.files) == 1

    def settings(self) -> dict[str, Any]:
        """What decides how they are read, as JSON; see UNSAID."""
        return self.raster_settings() | self.vector_settings()

    def raster_settings(self) -> dict[str, Any]:
        return _said({"label_band": self.band, "label_nodata": sorted(set(self.nodata)) or None})

    def vector_settings(self) -> dict[str, Any]:
        return _said({"layer": self.layer, "crs": self.crs})


def _said(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}

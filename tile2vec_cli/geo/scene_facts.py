"""What a catalog says of a scene: when it was taken, and what its numbers mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from tile2vec_cli.errors import Tile2VecError
from tile2vec_cli.geo import fills

if TYPE_CHECKING:
    from tile2vec_cli.geo.rasters import Raster

_AS_STORED = (1.0, 0.0)  # scale and offset


@dataclass(frozen=True)
class BandFacts:
    """What is said of a band; None where nothing is."""

    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None


@dataclass(frozen=True)
class Facts:
    """What is said of a scene that is one file or a stack of files."""

    id: str
    collection: str | None = None
    datetime: datetime | None = None
    names: tuple[str, ...] = ()  # of what was chosen; empty: the only file, by no name
    picks: tuple[tuple[int, int | None], ...] = ((0, None),)  # for each name the file and its band; None: all
    bands: tuple[tuple[BandFacts, ...], ...] = ()  # of each file's bands; one stands for all of the file's
    error: Tile2VecError | None = None  # why the scene cannot be used

    @classmethod
    def of_json(cls, found: Mapping[str, Any] | None) -> Facts | None:
        """What `as_json` has written; None of none."""
        if found is None:
            return None
        taken = found.get("datetime")
        return cls(
            id=found["id"],
            collection=found.get("collection"),
            datetime=None if taken is None else datetime.fromisoformat(taken),
            names=tuple(found["names"]),
            picks=tuple((file, band) for file, band in found["picks"]),
            bands=tuple(tuple(BandFacts(**_numbers(band)) for band in file) for file in found["bands"]),
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "collection": self.collection,
            "datetime": None if self.datetime is None else self.datetime.isoformat(),
            "names": list(self.names),
            "picks": [list(pick) for pick in self.picks],
            "bands": [[_texts(asdict(band)) for band in file] for file in self.bands],
        }

    def require(self) -> None:
        """Raise what keeps the scene from being used."""
        if self.error is not None:
            raise self.error

    def is_of(self, other: Mapping[str, Any] | None) -> bool:
        """Whether another, as JSON, is of the same item."""
        return other is not None and (other["id"], other.get("collection")) == (self.id, self.collection)

    def chosen(self, bands: Sequence[int] | None) -> Sequence[int] | None:
        """Numbers in the scene's file of these of the bands chosen (None: all of them).

        In a stack they are the stack's own numbers: it holds only what was chosen.
        """
        own = [band for file, band in self.picks if file == 0 and band is not None]
        if len(own) < len(self.picks) or self.is_stack:
            return bands
        # A number that there is not is said as one that the file has not.
        return own if bands is None else [own[b - 1] if b <= len(own) else (1 << 30) + b for b in bands]

    @property
    def is_stack(self) -> bool:
        return len({file for file, _ in self.picks}) > 1

    def of_raster(self, raster: Raster, origins: Sequence[tuple[int, int]]) -> dict[str, Any]:
        """The raster's fields that are other with what is said; `origins` are each band's file and number.

        Where both say something of the numbers in it, the raster does.
        """
        own = [self._of_band(*origin) for origin in origins]
        pairs = list(zip(raster.declared, own, strict=True))
        scaling = zip(raster.scaling, own, strict=True)
        found: dict[str, Any] = {
            "declared": tuple(said.nodata if value is None else value for value, said in pairs),
            "nodata": tuple(
                _held(said.nodata, raster.dtype) if declared is None else value
                for value, (declared, said) in zip(raster.nodata, pairs, strict=True)
            ),
            "scaling": tuple(
                (_or(said.scale, 1.0), _or(said.offset, 0.0)) if pair == _AS_STORED else pair
                for pair, said in scaling
            ),
        }
        if self.datetime is not None:
            found["datetime"] = self.datetime
        if not self.is_stack:
            called = dict(zip((band or 1 for _, band in self.picks), self.names, strict=False))
            if all(band is None for _, band in self.picks) and raster.count > 1:
                called = {}
            found["descriptions"] = tuple(
                called.get(band, name) for band, name in enumerate(raster.descriptions, 1)
            )
        return found

    def _of_band(self, file: int, band: int) -> BandFacts:
        bands = self.bands[file] if file < len(self.bands) else ()
        if len(bands) == 1:
            return bands[0]
        return bands[band - 1] if band <= len(bands) else BandFacts()


def broken(name: str, error: Tile2VecError) -> Facts:
    """Of a scene that cannot be used."""
    return replace(Facts(name), error=error)


def _held(value: float | None, dtype: str) -> float | None:
    return None if fills.first_foreign([value], np.dtype(dtype)) is not None else value


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _texts(band: Mapping[str, float | None]) -> dict[str, float | str]:
    """What is said of a band, as JSON, which has no NaN."""
    said = {name: value for name, value in band.items() if value is not None}
    return {name: value if math.isfinite(value) else str(value) for name, value in said.items()}


def _numbers(band: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) if isinstance(value, str) else value for name, value in band.items()}

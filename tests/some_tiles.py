"""Tiles that are but places, and the triplets drawn from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import Geod

from tile2vec_cli.config.pipeline import TripletConfig
from tile2vec_cli.geo.grid import ecef
from tile2vec_cli.tiling import triplets

WGS84 = Geod(ellps="WGS84")


@dataclass(frozen=True)
class SomePart:
    name: str
    fingerprint: str
    count: int


@dataclass(frozen=True)
class SomeTiles:
    """What `triplets` needs of a TileSet: places, scenes, parts."""

    lonlat: np.ndarray
    parts: tuple[SomePart, ...]
    side_m: float = 30.0
    path: Path = field(default=Path("tiles"))

    def __len__(self) -> int:
        return len(self.lonlat)

    @property
    def ecef(self) -> np.ndarray:
        return ecef(self.lonlat)

    @property
    def offsets(self) -> np.ndarray:
        return np.cumsum([0, *(part.count for part in self.parts)])

    @property
    def scenes(self) -> list[str]:
        return [part.name for part in self.parts]

    @property
    def scene_codes(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.parts), dtype=np.int32), [part.count for part in self.parts])

    def away_m(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(WGS84.inv(*self.lonlat[a].T, *self.lonlat[b].T)[2])


def grid(
    count: int, west: float, south: float, side_m: float = 30.0, name: str = "a"
) -> tuple[np.ndarray, SomePart]:
    """count × count tiles, side by side."""
    rows, cols = np.divmod(np.arange(count * count), count)
    lat = south + rows * side_m / 111_000
    lon = west + cols * side_m / (111_320 * np.cos(np.radians(south)))
    return np.column_stack([(lon + 180) % 360 - 180, lat]), SomePart(name, f"of {name}", count * count)


def tile_set(*grids: tuple[np.ndarray, SomePart]) -> SomeTiles:
    return SomeTiles(np.concatenate([lonlat for lonlat, _ in grids]), tuple(part for _, part in grids))


def of_many_places() -> SomeTiles:
    """Two dates of one place, a place across the antimeridian, one at 85 degrees north."""
    return tile_set(
        grid(7, 6 - 1e-4, 52),  # across the border of two UTM zones
        grid(7, 6 - 1e-4, 52, name="b"),
        grid(6, 180 - 1e-3, -17, name="c"),
        grid(4, 25, 85, name="d"),
    )


def draw(tiles: SomeTiles, **settings: Any) -> triplets.Triplets:
    return triplets.draw(tiles, TripletConfig(**settings))  # type: ignore[arg-type]

"""Contact sheets: the pixels of chosen tiles side by side, each with a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tile2vec_cli.embedding.embeddings import TileId
from tile2vec_cli.errors import DataError
from tile2vec_cli.figures import figure_file
from tile2vec_cli.tiling.tiles import TileSet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 100  # nearest tiles on a sheet at most, and a tenth of that of either kind of examples

_CELL = 0.85  # inches a tile is wide
_GAP = 0.08  # between tiles, in tiles
_SEAM = 0.02  # between a tile and what stands beside it
_TEXT, _HEAD = 0.2, 0.34  # heights of a line below a tile and of a heading, in tiles
_MORE = 0.12  # that of each further line
_LETTERS = 18  # of a line as wide as a tile
_COLUMNS = 10
_LOW, _HIGH = 2, 98  # percentiles that become black and white
_EDGE = {"blue": "#0072B2", "orange": "#D55E00", "": "#999999"}  # Okabe and Ito (2008)


@dataclass(frozen=True)
class Group:
    """Tiles under one heading."""

    heading: str
    pixels: NDArray[Any]  # (N, 1 or 3, S, S), as stored
    captions: Sequence[str]  # (N,)
    colour: str = ""  # of the frames, a key of _EDGE or #rrggbb
    beside: NDArray[Any] | None = None  # (N, 1 or 3, S, S) what stands right of each, as one with it

    @property
    def width(self) -> int:
        """Of one of its tiles, with what stands beside it, in tiles."""
        return 1 if self.beside is None else 2


@dataclass(frozen=True)
class Source:
    """Where the pixels of a sheet come from."""

    tiles: TileSet
    bands: list[int]  # 1-based numbers, in the tile set, of those that are shown: three, or one for grey

    @classmethod
    def of(cls, path: Path, rgb: Sequence[int] | None) -> Source:
        """rgb: the bands; None: the first three, or the first. Raises InputError and DataError."""
        tiles = TileSet.open(path)
        count = len(tiles.bands)
        chosen = list(rgb or ((1, 2, 3) if count >= 3 else (1,)))
        if max(chosen) > count:
            raise DataError(f"{path}: holds {count} bands; --rgb asks for band {max(chosen)}. Choose others.")
        return cls(tiles, chosen)

    def group(
        self, heading: str, ids: Sequence[TileId], captions: Sequence[str] = (), colour: str = ""
    ) -> Group:
        """Tiles by their ids. Raises DataError for one that the tile set does not hold."""
        positions = self.tiles.positions([str(tile_id) for tile_id in ids])
        for tile_id, position in zip(ids, positions, strict=True):
            if position < 0:
                raise DataError(
                    f"{self.tiles.path}: holds no tile {tile_id}; the tile set that was embedded is needed. "
                    "Give that one with --tiles."
                )
        pixels = self.tiles.pixels(positions)[:, [band - 1 for band in self.bands]]
        return Group(heading, pixels, captions or [""] * len(ids), colour)


def named(heading: str, ids: Sequence[TileId], source: Source) -> Group:
    """Tiles with their ranks and ids."""
    captions = [f"{rank}\n{_folded(str(tile_id))}" for rank, tile_id in enumerate(ids, 1)]
    return source.group(heading, ids, captions)


def _folded(tile_id: str) -> str:
    """In lines no wider than a tile; the row and column of "<scene>/<row>/<col>" stay together."""
    scene, *cell = tile_id.rsplit("/", 2)
    width = -(-len(scene) // -(-len(scene) // _LETTERS))  # of equal lines
    lines = [scene[at : at + width] for at in range(0, len(scene), width)]
    return "\n".join([*lines, *(["/".join(cell)] if cell else [])])


def write(path: Path, groups: Sequence[Group]) -> None:
    """A picture of the groups below each other, at most ten tiles per row, all in one stretch."""
    columns = min(_COLUMNS, max(5, *(len(group.captions) * group.width for group in groups)))
    step = 1 + _GAP
    lines = [-(-len(group.captions) // (columns // group.width)) for group in groups]
    height = sum(_HEAD + count * _line(group) for group, count in zip(groups, lines, strict=True))
    width = columns * step - _GAP
    low, high = _limits([pixels for group in groups for pixels in _pixels(group)])
    with figure_file(path, width=width * _CELL, height=height * _CELL) as figure:
        figure.set_layout_engine("none")
        axis = figure.add_axes((0, 0, 1, 1))
        axis.set_axis_off()
        top = 0.0
        for group, count in zip(groups, lines, strict=True):
            axis.text(0, top + _HEAD / 2, group.heading, va="center", fontsize=8, fontweight="bold")
            top += _HEAD
            for number, caption in enumerate(group.captions):
                row, column = divmod(number, columns // group.width)
                left, upper = column * group.width * step, top + row * _line(group)
                for place, pixels in enumerate(_pixels(group)):
                    image = _shown(pixels[number], low, high)
                    _tile(axis, left + place * (1 + _SEAM), upper, image, group.colour)
                middle = left + (group.width + _SEAM * (group.width - 1)) / 2
                below = upper + 1 + (_TEXT + _MORE * caption.count("\n")) / 2
                axis.text(middle, below, caption, ha="center", va="center", fontsize=6)
            top += count * _line(group)
        axis.set(xlim=(0, width), ylim=(height, 0))  # imshow has moved them


def _pixels(group: Group) -> list[NDArray[Any]]:
    return [group.pixels] if group.beside is None else [group.pixels, group.beside]


def _tile(axis: Axes, left: float, upper: float, image: NDArray[np.float64], colour: str) -> None:
    from matplotlib.patches import Rectangle

    # aspect: else imshow would set that of the axes.
    axis.imshow(image, extent=(left, left + 1, upper + 1, upper), aspect="auto", interpolation="nearest")
    thick = 0.4 if not colour else 1.2 if colour in _EDGE else 2.4
    frame = Rectangle(
        (left, upper), 1, 1, fill=False, edgecolor=_EDGE.get(colour, colour), linewidth=thick, clip_on=False
    )
    axis.add_patch(frame)


def _line(group: Group) -> float:
    """The height of a row of tiles; text below takes room only where there is some."""
    more = max((caption.count("\n") for caption in group.captions), default=0)
    return 1 + _GAP + _TEXT * any(group.captions) + _MORE * more


def _limits(pixels: Sequence[NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(C, 1, 1) values of each band that become black and white: the same for all tiles of a sheet."""
    bands = [np.concatenate([p[:, band].ravel() for p in pixels]) for band in range(pixels[0].shape[1])]
    found = np.array([np.percentile(band[np.isfinite(band)], [_LOW, _HIGH]) for band in bands])
    return found[:, 0, None, None], found[:, 1, None, None]


def _shown(tile: NDArray[Any], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """(S, S, 3) in 0 to 1 of one tile (C, S, S)."""
    spread = np.where(high > low, high - low, 1)
    grey = np.clip((np.nan_to_num(tile.astype(np.float64)) - low) / spread, 0, 1)
    return np.broadcast_to(grey, (3, *tile.shape[1:])).transpose(1, 2, 0)
